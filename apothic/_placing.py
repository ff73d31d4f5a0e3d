"""What a function needs to be there before it is introduced: its image, and its project's files."""

from __future__ import annotations

from typing import Any

from apothic.images import Image
from apothic_backends.base import Backend
from apothic_backends.commands import Command, RegisterFunction
from apothic_backends.model.functions import FunctionSpec


async def placed(backend: Backend, introduced: Command[Any], image: Image | None) -> Command[Any]:
    """What introduces a function, once all that it needs to run there has been sent.

    Raises:
        NotFound: a file or a module that belongs to its image is missing.
        PackageRefused: files cannot be shipped as they are.
    """
    if not isinstance(introduced, RegisterFunction):
        return introduced  # it is there already
    spec = introduced.spec
    if image is not None:
        spec = await _in_image(backend, spec, image)
    if not backend.shares_files:
        from apothic._shipping import running_in, shipped_once  # seldom  # noqa: PLC0415

        spec = running_in(spec, await shipped_once(backend))
    return RegisterFunction(spec, introduced.code)


async def _in_image(backend: Backend, spec: FunctionSpec, image: Image) -> FunctionSpec:
    if not image.brings_files:
        recipe = image.spec()
    else:
        from apothic._shipping import image_once  # what packs files is large  # noqa: PLC0415

        recipe = await image_once(backend, image)
    found: FunctionSpec = spec.replace(image=recipe)
    return found
