"""Tells of files that are written, in folders and not below them: by the system, else by looking.

Whether the system tells is tried with a file of our own: on some mounts it never does.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import anyio
from anyio.to_thread import run_sync
from watchfiles._rust_notify import RustNotify
from watchfiles.main import _default_force_polling as forces_polling

from apothic_emulator.dev.looking import Looking

STEP_MS, DEBOUNCE_MS = 5, 100
"""Changes are told once none has come for the first, or after the second in any case."""

TRY_MS = 1000
"""How long the system may take to tell of a change."""


class Notify(Protocol):
    """What `watchfiles` has for folders."""

    def watch(  # noqa: D102
        self, debounce_ms: int, step_ms: int, timeout_ms: int, stop_event: Any
    ) -> set[tuple[int, str]] | str: ...
    def close(self) -> None: ...  # noqa: D102


def notify(folders: Iterable[str], *, is_polling: bool) -> Notify:
    """Begin to watch folders."""
    if is_polling:
        return Looking(folders)
    return RustNotify([*folders], False, False, 0, False, True)


class Watcher:
    """Watches folders, which may become others; `own` is one to try it in."""

    def __init__(self, root: Path, own: Path, begin: Callable[..., Notify] = notify) -> None:
        self._root = root
        self._own = own
        self._begin = begin
        self._wanted: set[str] = set()
        self._folders: set[str] = set()
        self._notify: Notify | None = None
        self._stop = threading.Event()
        self.is_polling = forces_polling(None)

    def watch(self, folders: Iterable[str]) -> None:
        """Watch these from now on, of which `next` says that they may have changed."""
        self._wanted = {str(self._root / name) for name in folders if (self._root / name).is_dir()}
        if self._wanted != self._folders:
            self._stop.set()

    async def try_out(self) -> bool:
        """See whether the system tells of a change, else look from now on; whether it does."""
        await self.next(1)
        (self._own / "probe").write_text(str(os.getpid()), "utf-8")
        with anyio.move_on_after(TRY_MS / 1000):
            while not self.is_polling:
                if str(self._own / "probe") in (await self.next(TRY_MS // 4) or ()):
                    return True
        was_said, self.is_polling = self.is_polling, True
        self._anew()
        return was_said

    async def next(self, timeout_ms: int = 0) -> set[str] | None:
        """The paths of what has changed, none after a time; None if anything may have."""
        if self._notify is None or self._wanted != self._folders:
            self._anew()
            return None
        try:
            found = await run_sync(
                self._notify.watch, DEBOUNCE_MS, STEP_MS, timeout_ms, self._stop,
                abandon_on_cancel=True,
            )  # fmt: skip
        except anyio.get_cancelled_exc_class():
            self._stop.set()  # so that the thread ends
            raise
        return set() if isinstance(found, str) else {path for _, path in found}

    def _anew(self) -> None:
        """Watch what is wanted; nothing waits for what was watched before."""
        if self._notify is not None:
            self._notify.close()
        self._stop = threading.Event()
        self._folders = self._wanted
        self._notify = self._begin(self._folders | {str(self._own)}, is_polling=self.is_polling)
