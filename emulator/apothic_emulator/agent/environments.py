"""Where functions run that have an image: one `Environment` for each."""

from __future__ import annotations

from typing import Any

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.images import ImageBuildFailed
from apothic_emulator.agent.zygotes import Environment


class Environments:
    """The environments of one agent; it is asked by one thread at a time."""

    def __init__(self, stock: Any) -> None:
        self._stock = stock

    def of(self, spec: FunctionSpec) -> Environment:
        """The environment that a function's image describes, be it there or not.

        Raises:
            ImageBuildFailed: it can never be had here; the message says why.
        """
        raise ImageBuildFailed(f"{spec.name} has an image, and this version cannot make any")
