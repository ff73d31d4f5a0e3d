"""Messages by the moments at which to look at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush

from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.messages import Message

SWEPT = 64
"""Entries below which nobody looks for those that stand for nothing any more."""


class Timers:
    """A message may be here several times; what it does not await any more is passed over."""

    def __init__(self, wake_at: Callable[[float], None]) -> None:
        self._wake_at = wake_at
        self.heap: list[tuple[float, int, Message]] = []
        self._entries = 0
        self._sweep_at = SWEPT

    def set(self, message: Message, moment: float) -> None:
        """Look at a message at a moment."""
        if moment == NEVER:
            return
        self._entries += 1
        heappush(self.heap, (moment, self._entries, message))
        self._wake_at(moment)
        if len(self.heap) >= self._sweep_at:
            self.heap = [entry for entry in self.heap if entry[2].awaits(entry[0])]
            heapify(self.heap)
            self._sweep_at = SWEPT + 2 * len(self.heap)

    def due(self, now: float) -> Iterator[Message]:
        """The messages for which something is due."""
        while self.heap and self.heap[0][0] <= now:
            moment, _, message = heappop(self.heap)
            if message.awaits(moment):
                yield message
        if self.heap:
            self._wake_at(self.heap[0][0])
