"""Arguments, results and code on their way: opaque to everybody between the two ends."""

from __future__ import annotations

from typing import Final

PICKLE: Final = "pickle5"
"""Pickle protocol 5, its large buffers out of band."""

PICKLES: Final = "pickle5*"
"""Several of them: the length of each, 4 bytes little-endian, then one pickle after the other;
their buffers in the same order."""


class Payload:
    """A codec tag, the encoded bytes, and the large buffers beside them.

    A buffer may be a view of the caller's own memory, so that an array travels without being
    copied while its owner waits. `own` takes a copy when the owner goes on.
    """

    __slots__ = ("buffers", "codec", "data")

    codec: str
    data: bytes
    buffers: tuple[memoryview | bytes | bytearray, ...]

    def __init__(
        self,
        data: bytes,
        buffers: tuple[memoryview | bytes | bytearray, ...] = (),
        codec: str = PICKLE,
    ) -> None:
        self.codec = codec
        self.data = data
        self.buffers = buffers

    @property
    def nbytes(self) -> int:
        """Size in bytes, buffers included."""
        if not self.buffers:
            return len(self.data)
        return len(self.data) + sum(memoryview(b).nbytes for b in self.buffers)

    def own(self) -> None:
        """Copy every buffer that is somebody else's memory."""
        if self.buffers:
            self.buffers = tuple(bytes(b) if isinstance(b, memoryview) else b for b in self.buffers)

    def __eq__(self, other: object) -> bool:
        """Equal when the same bytes would travel."""
        if not isinstance(other, Payload):
            return NotImplemented
        mine, others = map(bytes, self.buffers), map(bytes, other.buffers)
        return self.codec == other.codec and self.data == other.data and [*mine] == [*others]

    __hash__ = None  # type: ignore[assignment]  # buffers can be large and mutable

    def __repr__(self) -> str:
        """Type and size only: contents are the user's, and may be secret."""
        return f"<Payload {self.codec} {self.nbytes} bytes>"


EMPTY_CALL: Final = Payload(b"\x80\x05)}\x86.")
"""The arguments of a call without any: the pickle of `((), {})`."""
