"""The object of a process that serves a method of a class; its hooks run on the server's loop."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Self

from apothic_emulator.executors.objects import method_of


class Object:
    """It is made without arguments, and entered; `method` is what serves."""

    def __init__(self, thing: object, service: Mapping[str, Any]) -> None:
        self.method: Callable[..., Any] = method_of(thing, service["method"])
        self._enter: list[str] = service["enter"]
        self._exit: list[str] = service["exit"]
        self._object = thing

    @classmethod
    async def made(cls, kind: Any, service: Mapping[str, Any]) -> Self:
        """One that has run what its class does first.

        Raises:
            BaseException: what that raised.
        """
        it = cls(getattr(kind, "__wrapped__", kind)(), service)
        for name in it._enter:
            await it._run(name)
        return it

    async def leave(self) -> None:
        """Run what its class does last; what that raises is printed."""
        for name in self._exit:
            try:
                await self._run(name)
            except Exception:  # noqa: BLE001 - the others are run nevertheless
                traceback.print_exc(file=sys.stderr)

    async def _run(self, name: str) -> None:
        made = getattr(self._object, name)()
        if hasattr(made, "__await__"):
            await made
