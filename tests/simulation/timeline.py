"""Virtual time: what is going to happen, and when."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

NEVER = float("inf")


class Timeline:
    """Events in the order of their moments; those of one moment as they were planned."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.planned = 0
        """How many events there have been, or will be."""
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []

    def at(self, when: float, what: Callable[..., None], *args: Any) -> None:
        """Have something happen; at once if its moment has passed."""
        self.planned += 1
        heappush(self._heap, (max(when, self.now), self.planned, what, args))

    @property
    def following(self) -> float:
        """When the next event is."""
        return self._heap[0][0] if self._heap else NEVER

    def happen(self) -> None:
        """Have the next event happen."""
        self.now, _, what, args = heappop(self._heap)
        what(*args)
