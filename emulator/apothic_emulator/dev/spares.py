"""The one interpreter that waits for the next version, and is asked what would be shipped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio

from apothic_emulator.dev.standby import StandBy, StoodDown


class Spares:
    """One at a time; `begin` starts one."""

    def __init__(self, begin: Callable[[], Awaitable[StandBy]]) -> None:
        self.modules: Sequence[str] = ()
        """What the next one imports before it is needed."""
        self._begin = begin
        self._is_used = anyio.Lock()
        self._spare: StandBy | None = None

    async def take(self) -> StandBy:
        """The one that waits; whoever has taken it ends it.

        Raises:
            StoodDown: none can be started.
        """
        async with self._is_used:
            taken, self._spare = await self._ready(), None
            return taken

    async def listed(self) -> list[str] | None:
        """What would be shipped; None if that cannot be said."""
        async with self._is_used:
            try:
                told = await (await self._ready()).listed()
            except StoodDown:
                return None
        files: list[str] | None = told.get("files")
        return files

    async def prepare(self) -> None:
        """See to it that one waits, if one can be started."""
        async with self._is_used:
            try:
                await self._ready()
            except StoodDown:
                return

    async def close(self) -> None:
        """End the one that waits."""
        spare, self._spare = self._spare, None
        if spare is not None:
            await spare.end(0)

    async def _ready(self) -> StandBy:
        if self._spare is not None and self._spare.is_fresh:
            return self._spare
        await self.close()
        spare: Any = await self._begin()
        try:
            await spare.warm(self.modules)
        except BaseException:
            await spare.end(0)
            raise
        self._spare = spare
        return spare
