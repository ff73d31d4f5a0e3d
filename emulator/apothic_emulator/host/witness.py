"""A file apart from a store that knows how far the store had come.

    commit with the count n + 1 in it ──durable──► the file says n + 1

The count goes along with a commit once in a while, and into the file after that. So a store that
is behind its file was put back from a copy, or emptied: numbers that it gave since must not be
given again, see `core/floors.py`. What it cannot know of is a copy of the last minute before a
crash, and one that was put back together with this file.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from apothic_backends.private import write_private
from apothic_emulator.core.floors import COUNT, PUT_BACK
from apothic_emulator.core.records import Change

EVERY_S = 60.0
"""How often a count goes along, at the most."""

Records = list[tuple[str, bytes]]


class Witness:
    """How far a store has come, as its file and its records say."""

    def __init__(
        self,
        path: Path,
        *,
        is_put_back: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """With `is_put_back` somebody says that the store was put back from a copy."""
        self.path = path
        self._is_put_back = is_put_back
        self._clock = clock
        self._count = self._said = self._read()
        self._due_at = 0.0

    def _read(self) -> int:
        try:
            return int(self.path.read_text("ascii"))
        except (OSError, ValueError):
            return 0  # whatever is there, it knows nothing

    def look_at(self, records: Records) -> Records:
        """What a store holds, with a note in it if that was put back from a copy."""
        count = int(dict(records).get(COUNT, b"0"))
        is_behind = count < self._said or self._is_put_back
        self._count = max(count, self._count)
        return [*records, (PUT_BACK, b"1")] if is_behind else records

    def come_along(self, changes: Sequence[Change]) -> Sequence[Change]:
        """What is about to be committed, with the next count if it is time for that."""
        if self._clock() < self._due_at:
            return changes
        return [*changes, (COUNT, b"%d" % (self._count + 1))]

    def note(self, changes: Sequence[Change]) -> None:
        """That was committed, durably."""
        if not changes or changes[-1][0] != COUNT:
            return
        self._count += 1
        self._due_at = self._clock() + EVERY_S
        self._said, self._is_put_back = self._count, False
        with contextlib.suppress(OSError):  # it is a help, and no more than that
            write_private(self.path, f"{self._count}\n")


def witness_of(folder: Path, place: str, *, is_put_back: bool = False) -> Witness:
    """The file for the store at that place."""
    seen = folder / "seen"
    seen.mkdir(mode=0o700, exist_ok=True)
    name = sha256(place.encode()).hexdigest()[:32]
    return Witness(seen / name, is_put_back=is_put_back)
