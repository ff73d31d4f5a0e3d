"""What has been saved: files that ship, and hold something else than before."""

from __future__ import annotations

from collections.abc import Iterable

import anyio
from anyio.to_thread import run_sync

from apothic_emulator.dev.files import Files
from apothic_emulator.dev.spares import Spares
from apothic_emulator.dev.watching import Watcher

HALF_MS = 150
"""What the rest of a file gets to be written."""


class Changes:
    """Finds them; what is new in the project is asked about, since it may be ignored."""

    def __init__(self, files: Files, watcher: Watcher, spares: Spares) -> None:
        self._files = files
        self._watcher = watcher
        self._spares = spares

    async def begin(self) -> bool:
        """Find the files, and have them watched; False if the system does not tell of changes."""
        self._watcher.watch(["."])
        tells = await self._watcher.try_out()
        await self._list()
        return tells

    @property
    def count(self) -> int:
        """How many files ship."""
        return len(self._files)

    async def next(self) -> set[str]:
        """What has been changed, maybe nothing, once something was written."""
        changed = await self._sift(await self._watcher.next())
        return changed | await self._rest(changed) if changed else changed

    async def ship(self, shipped: Iterable[str]) -> set[str]:
        """These are shipped now; which of them were not before, or are no more."""
        changed = await run_sync(self._files.ship, shipped)
        self._watcher.watch(self._files.folders())
        return changed

    async def _list(self) -> set[str]:
        """Look which files are shipped; those that were not before, or are no more."""
        found = await self._spares.listed()
        return set() if found is None else await self.ship(found)

    async def _sift(self, paths: set[str] | None) -> set[str]:
        """What has really changed of what was written: all is looked at if nobody knows."""
        if paths is None:
            return await run_sync(self._files.changed, self._files.all) | await self._list()
        named = {path for it in paths if (path := self._files.relative(it)) is not None}
        changed = self._files.changed(named)
        unknown = self._files.unknown(named)
        if unknown:
            changed |= await self._list()
            self._files.leave_out(unknown)
            self._watcher.watch(self._files.folders())
        return changed

    async def _rest(self, changed: set[str]) -> set[str]:
        """Wait a little where a file seems to be but half of what it will be; what else changed."""
        more: set[str] = set()
        end = anyio.current_time() + HALF_MS / 1000
        while self._files.half(changed | more):
            left_ms = int((end - anyio.current_time()) * 1000)
            if left_ms <= 0:
                break
            more |= await self._sift(await self._watcher.next(left_ms))
        return more
