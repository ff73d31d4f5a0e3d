"""When sandboxes end by themselves: after their time, and for good some time after that.

That counts from when a sandbox has its process: what it waits for a machine is not taken from it.
One that nobody has called ends as long after it was made.

A sandbox is an instance that is never made again. One that has ended is kept for a while, so that
whoever has a handle is told how it ended.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from apothic_backends.model.errors import UsageError
from apothic_emulator.core.instance import Instance

TOLD_S = 3600.0
"""How long is said of a sandbox how it has ended."""

MOST_TAGS = 32
MOST_TAG = 256
"""Characters of the name of a tag, and of its value."""


class Ends:
    """What is due when, on the clock of the core."""

    def __init__(self, wake_at: Callable[[float], None]) -> None:
        self._wake_at = wake_at
        self._due: list[tuple[float, int, bool]] = []

    def expect(self, it: Instance, now: float, offset: float) -> None:
        """Have an end in mind: of the sandbox, or of what is known of it once it has ended."""
        if it.dead:
            self._add(now + TOLD_S, it.number, is_over=True)
        elif it.expires_at is not None:
            self._add(it.expires_at - offset, it.number, is_over=False)

    def put_off(self, it: Instance, now: float) -> None:
        """Think of its end again later: it has not begun, and calls wait for that."""
        assert it.lifetime_s is not None, "it has a time"
        self._add(now + it.lifetime_s, it.number, is_over=False)

    def _add(self, due: float, number: int, *, is_over: bool) -> None:
        heappush(self._due, (due, number, is_over))
        self._wake_at(due)

    def due(self, now: float) -> list[tuple[int, bool]]:
        """The numbers of those that are due, and whether they had ended before."""
        found: list[tuple[int, bool]] = []
        while self._due and self._due[0][0] <= now:
            _, number, is_over = heappop(self._due)
            found.append((number, is_over))
        if self._due:
            self._wake_at(self._due[0][0])
        return found


def check_tags(tags: tuple[tuple[str, str], ...]) -> None:
    """See to it that tags are few and short.

    Raises:
        UsageError: they are not.
    """
    if len(tags) > MOST_TAGS or any(len(it) > MOST_TAG for tag in tags for it in tag):
        raise UsageError(
            f"an instance takes {MOST_TAGS} tags, with up to {MOST_TAG} characters in a name and "
            "in a value"
        )
