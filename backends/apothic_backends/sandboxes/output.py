"""What a program writes, kept in memory within bounds; no I/O here.

Whoever reads says from which position on. While somebody reads, a full buffer has room for no more,
so that the program waits on its pipe; when nobody does, the oldest bytes make room, and are counted
as lost where they are asked for.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

KEPT_BYTES = 16 * 1024 * 1024
READER_PATIENCE_S = 10.0
"""How long a program waits for who read last to read on."""

_BLOCK = 64 * 1024
_MOST_OF_A_CHUNK = 1024 * 1024
_SLACK = 1024 * 1024
"""What is kept beyond that: a program that has ended does not wait for its reader."""


class Chunk(NamedTuple):
    """Some of what a program wrote: `data` begins at `position`; read on from `end`.

    `lost_bytes` came before it, were asked for, and are not kept any more. After `is_end` there is
    nothing more.
    """

    data: bytes
    position: int
    lost_bytes: int = 0
    is_end: bool = False

    @property
    def end(self) -> int:
        """The position behind it."""
        return self.position + len(self.data)


class Output:
    """One stream; positions count bytes from its beginning."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self.is_ended = False
        self.end = 0
        """How many bytes were written."""
        self._kept_bytes = kept_bytes
        self._blocks: deque[bytearray] = deque()
        self._start = 0
        """The position of the first block: all but the last are full."""
        self._read_to = 0
        self._read_at: float | None = None

    def append(self, data: bytes) -> None:
        """More has been written; what is too much to keep is lost at the other end."""
        view = memoryview(data)
        while view:
            if not self._blocks or len(self._blocks[-1]) == _BLOCK:
                self._blocks.append(bytearray())
            room = _BLOCK - len(self._blocks[-1])
            self._blocks[-1] += view[:room]
            view = view[room:]
        self.end += len(data)
        while self.end - self._start - _BLOCK >= self._kept_bytes + _SLACK:
            self._blocks.popleft()
            self._start += _BLOCK

    def room(self, now: float) -> int:
        """How much more may come now, in bytes; 0 while somebody has yet to read what is there."""
        is_read = self._read_at is not None and now < self._read_at + READER_PATIENCE_S
        return max(0, self._kept_bytes - (self.end - self._read_to)) if is_read else _BLOCK

    def patience_ends(self) -> float:
        """When there is room again whether or not anybody reads."""
        return (self._read_at or 0.0) + READER_PATIENCE_S

    def read(self, position: int, now: float) -> Chunk:
        """What comes from that position on, as far as it is there and up to 1 MiB."""
        self._read_at, self._read_to = now, max(self._read_to, min(position, self.end))
        first = min(max(position, self._start), self.end)
        index, offset = divmod(first - self._start, _BLOCK)
        parts: list[bytes] = []
        size = 0
        while index < len(self._blocks) and size < _MOST_OF_A_CHUNK:
            parts.append(bytes(memoryview(self._blocks[index])[offset:]))
            size += len(parts[-1])
            index, offset = index + 1, 0
        is_end = self.is_ended and first + size == self.end
        return Chunk(b"".join(parts), first, max(0, first - position), is_end)
