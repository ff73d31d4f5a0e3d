"""Where functions run that have an image, or have to be in a container: one `Environment` each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from apothic_backends import codec
from apothic_backends.images.lanes import VENV, lane
from apothic_backends.images.steps import slim
from apothic_backends.model.agents import PythonMismatch
from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.images import ImageSpec
from apothic_emulator.agent.venvs import VenvEnvironment
from apothic_emulator.agent.zygotes import Environment

EXECUTORS = "APOTHIC_EXECUTORS"
PROCESS = "process"

_MOST_TOLD = 64 * 1024
"""The longest recipe that a variable of the environment is to hold."""


class Environments:
    """The environments of one agent; it is asked by one thread at a time."""

    def __init__(self, stock: Any, executors: str = PROCESS) -> None:
        """`executors` says what functions run in: see `EXECUTORS`."""
        self._stock = stock
        self._executors = executors
        self._known: dict[str, Environment] = {}
        self.binds: tuple[str, ...] = ()
        """What each container may write to, at the same paths as here."""
        self.image = ""
        """The digest of the recipe of which this machine was made, if it was of one."""

    def of(self, spec: FunctionSpec) -> Environment:
        """The environment that a function's image describes, be it there or not.

        Raises:
            ApothicError: it can never be had here, or cannot load the function's code.
        """
        if self.image and spec.image is not None and spec.image.digest == self.image:
            return self._inhabited(spec, spec.image)
        image = spec.image or self._callers()
        if spec.python and image.python and spec.python != image.python:
            raise _mismatch(spec, image)
        if self._executors != PROCESS or lane(image).kind != VENV:
            return self._in_container(spec, image)
        known = self._known.get(image.digest)
        if known is None:
            tree = None if image.context is None else self._stock.tree(image.context)
            known = self._known[image.digest] = VenvEnvironment(image, tree)
        return known

    def _inhabited(self, spec: FunctionSpec, image: ImageSpec) -> Environment:
        from apothic_emulator.agent.inhabited import InhabitedEnvironment  # few  # noqa: PLC0415

        series = f"{sys.version_info.major}.{sys.version_info.minor}"
        if spec.python not in ("", series):
            raise _mismatch(spec, image.replace(python=series))
        known = self._known.get(self.image)
        if known is None:
            known = self._known[self.image] = InhabitedEnvironment(self.image)
        return known

    def _in_container(self, spec: FunctionSpec, image: ImageSpec) -> Environment:
        from apothic_emulator.agent.containers import environment  # for few  # noqa: PLC0415

        tree = None if image.context is None else self._stock.tree(image.context)
        archive = None if tree is None else Path(tree["archive"])
        return environment.ContainerEnvironment(spec, image, archive, self.binds)

    def _callers(self) -> ImageSpec:
        """The image for functions that have none: the caller's Python, and nothing else.

        Raises:
            InvalidOption: `APOTHIC_EXECUTORS` is nothing that there is.
        """
        kind, _, base = self._executors.partition(":")
        if kind != "docker":
            raise InvalidOption(
                f"{EXECUTORS}={self._executors!r}: it must be process, docker, or docker:IMAGE",
                option=EXECUTORS,
            )
        series = f"{sys.version_info.major}.{sys.version_info.minor}"
        return ImageSpec(base=base or slim(series), python=series)


def _mismatch(spec: FunctionSpec, image: ImageSpec) -> PythonMismatch:
    return PythonMismatch(
        f"{spec.name!r} was pickled under Python {spec.python}, and its image has {image.python}. "
        f"Give the image python_version={spec.python!r}, or put the function into a module: then "
        "it is found by its name",
        python=spec.python,
        machines={"image": image.python},
    )


def own_image(spec: FunctionSpec) -> dict[str, str]:
    """What a worker is told of the image that it runs in, if that brings files: it has them not."""
    if spec.image is None or spec.image.context is None:
        return {}
    recipe = codec.to_bytes(spec.image, []).decode()
    if len(recipe) > _MOST_TOLD:
        return {}
    return {"APOTHIC_IMAGE": f"{spec.app_name}/{spec.name}\n{recipe}"}
