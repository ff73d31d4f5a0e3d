"""Numbers that are given to nothing again, where a store was put back from a copy.

What was handed out after the copy was made is unknown to it: jobs, functions and deployments,
revisions and with them fences, messages of queues, executors on agents. So from then on all of them
begin above the time of day, in microseconds. That is more than any that was given before, since
nobody gives a million of them in a second, and more each time that the same copy is put back.

| key      | what it holds                                                        |
|----------|----------------------------------------------------------------------|
| `last/3` | the floor: no number up to there is given any more                   |
| `last/4` | that the store was put back, and no control plane has seen that yet  |
| `last/5` | a count that somebody else keeps, too: see `host/witness.py`         |
"""

from __future__ import annotations

from collections.abc import Mapping

from apothic_emulator.core.journal import Kept

FLOOR, PUT_BACK, COUNT = "last/3", "last/4", "last/5"

Last = Mapping[int, bytes]
"""The records of the kind `last`, by number."""


class Floor(Kept):
    """No number up to here is given any more."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def pack(self) -> bytes:
        """As a record."""
        return b"%d" % self.number


def floor_in(last: Last) -> int:
    """The floor that was written down."""
    return int(last.get(3, b"0"))


def is_put_back(last: Last) -> bool:
    """Whether the store was put back from a copy, and its numbers may have been given since."""
    return 4 in last  # noqa: PLR2004 - the key above


def floor_at(unix_s: float) -> int:
    """The floor for what is put back at that moment."""
    return int(unix_s * 1_000_000)
