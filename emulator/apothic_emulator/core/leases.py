"""What is due at moments that move: leases, which are renewed far more often than they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush

from apothic_emulator.core.jobs import NEVER

_MANY = 64
"""So many places in the heap may be of things that are not due any more."""


class Leased:
    """Something that is due at a moment, `NEVER` if at none."""

    __slots__ = ("due", "looked_at")

    def __init__(self) -> None:
        self.due = NEVER
        self.looked_at = NEVER
        """The moment for which it stands in the heap: that is not later than `due`."""


class Leases:
    """A heap in which a thing stays where it is when its moment moves away."""

    def __init__(self, wake_at: Callable[[float], None]) -> None:
        self._wake_at = wake_at
        self._heap: list[tuple[float, int, Leased]] = []
        self._pushed = 0
        self._dropped = 0

    def set(self, thing: Leased, due: float) -> None:
        """A thing is due at that moment, and at no other."""
        thing.due = due
        if due < thing.looked_at:
            thing.looked_at = due
            self._pushed += 1
            heappush(self._heap, (due, self._pushed, thing))
            self._wake_at(due)

    def drop(self, thing: Leased) -> None:
        """A thing is not due any more."""
        if thing.due == NEVER:
            return
        thing.due = NEVER
        self._dropped += 1
        if self._dropped > _MANY and 2 * self._dropped > len(self._heap):
            self._clear()

    def _clear(self) -> None:
        """Make room: things that were dropped must not live on in the heap."""
        left: list[tuple[float, int, Leased]] = []
        for place in self._heap:
            if place[2].due == NEVER:
                place[2].looked_at = NEVER
            elif place[0] == place[2].looked_at:
                left.append(place)
        heapify(left)
        self._heap, self._dropped = left, 0

    def take(self, now: float) -> Iterator[Leased]:
        """Everything that is due, in order; what is to be due again has to be set anew."""
        while self._heap and self._heap[0][0] <= now:
            at, _, thing = heappop(self._heap)
            if at != thing.looked_at:
                continue  # its moment came nearer after this
            thing.looked_at = NEVER
            if thing.due <= now:
                thing.due = NEVER
                yield thing
            elif thing.due < NEVER:
                self.set(thing, thing.due)
        if self._heap:
            self._wake_at(self._heap[0][0])

    @property
    def alarm(self) -> float:
        """When to look next."""
        return self._heap[0][0] if self._heap else NEVER
