"""What a function needs to be there before it is introduced: its image, and its project's files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apothic._declared import DECLARED
from apothic._drive import block
from apothic.images import CARRIED, Image
from apothic_backends.base import Backend
from apothic_backends.commands import Command, RegisterFunction
from apothic_backends.model.images import ImageSpec
from apothic_backends.registry import is_worker, own_image


async def placed(
    backend: Backend, introduction: Callable[[], list[Command[Any]]], image: Image | None
) -> list[Command[Any]]:
    """What introduces a function, once all that it needs to run there has been sent.

    Its image goes first, since what is taken along of the function takes that along.

    Raises:
        NotFound: a file or a module that belongs to its image is missing.
        PackageRefused: files cannot be shipped as they are.
    """
    recipe = None if image is None else await _recipe(backend, image)
    *before, introduced = introduction()
    if not isinstance(introduced, RegisterFunction):
        return [*before, introduced]  # it is there already
    spec = introduced.spec.replace(image=recipe)
    if not backend.shares_files:
        from apothic._shipping import running_in, shipped_once  # seldom  # noqa: PLC0415

        spec = running_in(spec, await shipped_once(backend))
    return [*before, RegisterFunction(spec, introduced.code)]


def placed_now(
    backend: Backend, introduction: Callable[[], list[Command[Any]]], image: Image | None
) -> list[Command[Any]]:
    """The same, waited for."""
    return block(placed(backend, introduction, image))


async def _recipe(backend: Backend, image: Image) -> ImageSpec:
    if not image.brings_files:
        return image.spec()
    known = _known_to_worker(image) if is_worker() else None
    if known is not None:
        return known
    from apothic._shipping import image_once  # what packs files is large  # noqa: PLC0415

    return await image_once(backend, image)


def _known_to_worker(image: Image) -> ImageSpec | None:
    """What an image is that came here, or that this worker itself runs in: no file is read."""
    known = CARRIED.get(image)
    own = own_image()
    if known is not None or own is None:
        return known
    app_name, _, name = own[0].partition("/")
    handle = DECLARED.get((app_name, name))
    is_same = handle is not None and handle.options.get("image") == image
    return own[1] if is_same else None
