"""The items of one generator, on their way from its process to whoever reads them.

    number of items   0 ─────── taken ─────── given ─────── produced ─────── taken + MOST_AHEAD
                      │ done with │ the reader has │ held here │ the generator may go on │

Items travel in chunks, which nobody here looks into. `taken` moves when the reader asks for what
comes after it; only then may the generator go on, so everything between it and the generator is
bounded, however slow the reader is. Once an item is given the attempt cannot be repeated.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from apothic_backends.model.payloads import Payload

MOST_AHEAD = 256
"""How many items a generator may be ahead of its reader."""

MOST_AHEAD_BYTES = 1 << 20
"""How many bytes; a larger item travels alone."""


class Chunk(NamedTuple):
    """`length` items that travel together, up to number `end`."""

    end: int
    length: int
    nbytes: int
    items: Payload


class Stream:
    """What is known of the items of one job."""

    __slots__ = ("chunks", "given", "nbytes", "opener", "produced", "readers", "taken")

    def __init__(self, opener: int) -> None:
        self.opener = opener
        """The executor whose code reads, 0 if it is none."""
        self.readers: list[Any] = []
        """The wait of whoever reads, if it waits."""
        self.taken = self.given = self.produced = 0
        self.chunks: deque[Chunk] = deque()
        """What is not taken."""
        self.nbytes = 0
        """Its size."""

    def add(self, count: int, items: Payload) -> bool:
        """Hold a chunk; False if its generator had no credit for it."""
        nbytes = items.nbytes
        ahead = self.produced + count - self.taken
        if not 0 < count <= ahead <= MOST_AHEAD:
            return False
        if ahead > 1 and self.nbytes + nbytes > MOST_AHEAD_BYTES:
            return False
        self.produced += count
        self.nbytes += nbytes
        self.chunks.append(Chunk(self.produced, count, nbytes, items))
        return True

    def take(self, after: int) -> bool:
        """Let go of the items up to a number; False if the reader does not stand there."""
        if after == self.taken:
            return True
        if after != self.given:
            return False
        self.nbytes -= self.chunks.popleft().nbytes
        self.taken = after
        return True

    def give(self) -> Chunk | None:
        """The next chunk, if there is one; it is held until it is taken."""
        if not self.chunks:
            return None
        chunk = self.chunks[0]
        self.given = chunk.end
        return chunk

    def restart(self) -> None:
        """Begin anew, with another attempt."""
        self.clear()
        self.taken = self.given = self.produced = 0

    def clear(self) -> None:
        """Let go of everything."""
        self.chunks.clear()
        self.nbytes = 0
