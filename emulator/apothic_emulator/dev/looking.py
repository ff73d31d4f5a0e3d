"""Finds changes by looking, again and again, where the system does not tell of them.

`watchfiles` can look, too, but compares times by the second: of two saves within one it misses the
second.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import suppress

POLL_MS = 100
"""How often it looks."""

Seen = dict[str, tuple[int, int, int]]


class Looking:
    """Looks at the files in folders, from now on."""

    def __init__(self, folders: Iterable[str]) -> None:
        self._folders = [*folders]
        self._seen = self._look()

    def watch(
        self, debounce_ms: int, step_ms: int, timeout_ms: int, stop_event: threading.Event
    ) -> set[tuple[int, str]] | str:
        """What has changed, once something has; otherwise as `watchfiles` says it."""
        waited_ms = 0
        pause_ms = min(POLL_MS, timeout_ms or POLL_MS)
        while not stop_event.wait(pause_ms / 1000):
            before, self._seen = self._seen, self._look()
            if before != self._seen:
                return {(0, path) for path, _ in before.items() ^ self._seen.items()}
            waited_ms += pause_ms
            if timeout_ms and waited_ms >= timeout_ms:
                return "timeout"
        return "stop"

    def close(self) -> None:
        """Nothing is held open."""

    def _look(self) -> Seen:
        found: Seen = {}
        for folder in self._folders:
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    with suppress(OSError):
                        it = entry.stat(follow_symlinks=False)
                        found[entry.path] = (it.st_mtime_ns, it.st_size, it.st_ino)
        return found
