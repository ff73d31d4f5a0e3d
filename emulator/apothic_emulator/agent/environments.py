"""Where functions run that have an image: one `Environment` for each."""

from __future__ import annotations

from typing import Any

from apothic_backends.images.lanes import VENV, lane
from apothic_backends.model.agents import PythonMismatch
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.images import ImageBuildFailed, ImageSpec
from apothic_emulator.agent.venvs import VenvEnvironment
from apothic_emulator.agent.zygotes import Environment


class Environments:
    """The environments of one agent; it is asked by one thread at a time."""

    def __init__(self, stock: Any) -> None:
        self._stock = stock
        self._known: dict[str, Environment] = {}

    def of(self, spec: FunctionSpec) -> Environment:
        """The environment that a function's image describes, be it there or not.

        Raises:
            ApothicError: it can never be had here, or cannot load the function's code.
        """
        image = spec.image
        assert image is not None, "asked for those that have one"
        if spec.python and image.python and spec.python != image.python:
            raise _mismatch(spec, image)
        known = self._known.get(image.digest)
        if known is None:
            known = self._known[image.digest] = self._new(spec, image)
        return known

    def _new(self, spec: FunctionSpec, image: ImageSpec) -> Environment:
        kind, reasons = lane(image)
        if kind != VENV:
            raise ImageBuildFailed(
                f"the image of {spec.name!r} needs Docker: {'; '.join(reasons)}", step="", output=""
            )
        tree = None if image.context is None else self._stock.tree(image.context)
        return VenvEnvironment(image, tree)


def _mismatch(spec: FunctionSpec, image: ImageSpec) -> PythonMismatch:
    return PythonMismatch(
        f"{spec.name!r} was pickled under Python {spec.python}, and its image has {image.python}. "
        f"Give the image python_version={spec.python!r}, or put the function into a module: then "
        "it is found by its name",
        python=spec.python,
        machines={"image": image.python},
    )
