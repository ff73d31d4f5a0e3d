"""What changes in a directory: it is looked at again and again, by descriptor.

Not by inotify: that goes by paths, which others can turn into links that lead out, and needs a
watch for each directory, of which a machine has few.
"""

from __future__ import annotations

import os
import stat
import threading
import weakref
from collections.abc import Mapping

from apothic_backends.model.sandboxes import FileChange, FileTooLarge
from apothic_backends.sandboxes.beneath import FOLDER, open_beneath, told
from apothic_backends.sandboxes.paths import shown
from apothic_backends.sandboxes.trees import walk

INTERVAL_S = 0.25
"""How long it is from look to look."""
MOST_WATCHED = 50_000
"""Files and directories that can be watched at once."""

Seen = Mapping[str, tuple[int, ...]]
"""By path what is different once something has changed."""


class Watch:
    """What changes at a path from now on, in the directory there and in those below."""

    def __init__(self, root: int, path: str, prefix: str) -> None:
        self._root = os.dup(root)
        weakref.finalize(self, os.close, self._root)  # once nobody looks any more
        self._path = path
        self._prefix = prefix
        self._stopped = threading.Event()
        self._seen = self._look()

    def poll(self) -> list[FileChange]:
        """What has changed since the last call, sorted by path."""
        before, self._seen = self._seen, self._look()
        return [
            FileChange(shown(path, self._prefix), kind)
            for path, kind in changes_between(before, self._seen)
        ]

    def wait(self, timeout_s: float) -> list[FileChange]:
        """What has changed, as soon as something has; nothing after that time, or once closed."""
        for _ in range(max(1, round(timeout_s / INTERVAL_S))):
            if self._stopped.wait(INTERVAL_S):
                break
            if found := self.poll():
                return found
        return []

    def close(self) -> None:
        """Have no more. Safe to repeat."""
        self._stopped.set()

    def _look(self) -> Seen:
        with told(shown(self._path, self._prefix)):
            return _look(self._root, self._path)


def _look(root: int, path: str) -> Seen:
    try:
        place = open_beneath(root, path, os.O_PATH)
    except FileNotFoundError:
        return {}
    try:
        status = os.fstat(place)
        if not stat.S_ISDIR(status.st_mode):
            return {path: _mark(status)}
        folder = os.open(".", FOLDER, dir_fd=place)
    finally:
        os.close(place)
    try:
        return _look_below(folder, f"{path}/" if path else "")
    finally:
        os.close(folder)


def _look_below(folder: int, above: str) -> Seen:
    seen: dict[str, tuple[int, ...]] = {}
    for entry in walk(folder, MOST_WATCHED, above):
        seen[entry.path] = _mark(entry.status)
        if len(seen) > MOST_WATCHED:
            raise FileTooLarge(
                f"more than {MOST_WATCHED} files are too many to watch; watch a directory that "
                "has fewer",
                limit_entries=MOST_WATCHED,
            )
    return seen


def _mark(status: os.stat_result) -> tuple[int, ...]:
    if stat.S_ISDIR(status.st_mode):
        return (stat.S_IFDIR,)  # what changes in it is told by itself
    return (status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def changes_between(before: Seen, now: Seen) -> list[tuple[str, str]]:
    """What differs, as paths and kinds of `FileChange`."""
    removed = [(path, "removed") for path in before.keys() - now.keys()]
    added = [(path, "added") for path in now.keys() - before.keys()]
    modified = [
        (path, "modified") for path, mark in now.items() if path in before and before[path] != mark
    ]
    return sorted(removed + added + modified)
