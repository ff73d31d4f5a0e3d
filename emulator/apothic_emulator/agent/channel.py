"""One end of a channel between an agent and its control plane that outlives its connections.

    send ──► [ 4 5 6 7 8 ] ──► frames ──► ... ──► take ──► messages, in order, each once
               ▲   ▲     ▲                         │
           acked  sent  written down               └─ ack, once they are done with

Messages are cut into frames, which are numbered. The other end says up to which number it is done,
and only then are they let go of here; after a cut it says up to which it has them, and the rest is
sent again. What comes a second time is dropped. A connection delivers in order, so a number that
is left out means that it is broken. Nothing here reads, writes, or knows the time.
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from collections.abc import Sequence
from typing import Final

Buffer = bytes | bytearray | memoryview

VERSION: Final = 1
"""Of what agents and control planes say to one another; a hello has it for its flags."""

DATA: Final = 1
ACK: Final = 2
BEAT: Final = 3
"""From an agent: it is there, and nothing is left that it had to say. Answered with the same."""
HELLO: Final = 4
WELCOME: Final = 5
REFUSED: Final = 6
"""The last that a control plane says: an error."""
LEAVE: Final = 7
LAST: Final = LEAVE

MOST_FRAME: Final = 256 << 10
"""Bytes of a message in one frame: what is urgent waits for no more than that."""

MOST_MESSAGE: Final = (2 << 30) + (1 << 20)
"""Bytes of one message; a frame of an executor may have 2 GiB."""

MOST_WAITING: Final = 64 << 20
"""Bytes that are sent and not acknowledged, beyond which whoever can wait should."""

MORE: Final = 1
"""The message goes on in the next frame."""

_HEAD: Final = struct.Struct("<IBBQQ")


class ChannelError(Exception):
    """What came cannot come: the connection is to be ended."""


class Frame:
    """What is sent at once. `ack` is the last number that its sender is done with."""

    __slots__ = ("ack", "body", "flags", "kind", "number")

    def __init__(
        self, kind: int, number: int, ack: int, body: Buffer = b"", flags: int = 0
    ) -> None:
        self.kind, self.flags = kind, flags
        self.number, self.ack = number, ack
        self.body = body

    def pack(self) -> bytes:
        """The frame as bytes, with a checksum before all else."""
        head = _HEAD.pack(0, self.kind, self.flags, self.number, self.ack)[4:]
        checksum = zlib.crc32(self.body, zlib.crc32(head))
        return b"".join((checksum.to_bytes(4, "little"), head, self.body))


def parse(data: Buffer) -> Frame:
    """Take a frame apart.

    Raises:
        ChannelError: it is none, or was garbled.
    """
    if not _HEAD.size <= len(data) <= _HEAD.size + MOST_FRAME:
        raise ChannelError(f"a frame of {len(data)} bytes")
    checksum, kind, flags, number, ack = _HEAD.unpack_from(data)
    view = memoryview(data)
    if zlib.crc32(view[4:]) != checksum:
        raise ChannelError("a frame with a wrong checksum")
    if not DATA <= kind <= LAST:
        raise ChannelError(f"a frame of kind {kind}")
    return Frame(kind, number, ack, view[_HEAD.size :], flags)


class Channel:
    """Frames out of messages, and messages out of frames."""

    def __init__(self, most_frame: int = MOST_FRAME) -> None:
        self.most_frame = most_frame
        self.taken = 0
        """The last number that is here."""
        self.done = 0
        """The last number that is done with here."""
        self.acked = 0
        """The last number that the other end is done with."""
        self.nbytes = 0
        """What is held until it is acknowledged."""
        self._held: deque[Frame] = deque()
        self._next = 0
        """How many of those are on their way."""
        self._last = 0
        self._told = 0
        """The last number that the other end knows to be done with here."""
        self._parts: list[Buffer] = []
        self._parts_size = 0

    # --- out ------------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Whether whoever can wait with more should."""
        return self.nbytes > MOST_WAITING

    @property
    def last(self) -> int:
        """The number of the last frame of what was sent last."""
        return self._last

    def send(self, parts: Sequence[Buffer]) -> int:
        """Have a message sent, which is these parts joined; the number of its last frame."""
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
        view = memoryview(whole).cast("B")
        most = self.most_frame
        for start in range(0, max(len(view), 1), most):
            body = view[start : start + most]
            self._last += 1
            flags = MORE if start + most < len(view) else 0
            self._held.append(Frame(DATA, self._last, 0, body, flags))
            self.nbytes += len(body)
        return self._last

    def next_frame(self) -> bytes | None:
        """What is to be written next: data, or else what is done with here; None if nothing is."""
        if self._next < len(self._held):
            frame = self._held[self._next]
            self._next += 1
            frame.ack = self._told = self.done
            return frame.pack()
        if self._told < self.done:
            self._told = self.done
            return Frame(ACK, 0, self.done).pack()
        return None

    @property
    def is_unsent(self) -> bool:
        """Whether there is data that is not on its way."""
        return self._next < len(self._held)

    @property
    def is_behind(self) -> bool:
        """Whether something is to be written."""
        return self._next < len(self._held) or self._told < self.done

    def resume(self, taken: int) -> None:
        """A new connection: the other end has what is up to that number.

        Raises:
            ChannelError: it cannot have that.
        """
        if not self.acked <= taken <= self._last:
            raise ChannelError(f"{taken} frames, of {self.acked} to {self._last}")
        self._next = taken - self.acked
        self._told = 0

    # --- in -------------------------------------------------------------------------------------

    def take(self, frame: Frame) -> bytes | memoryview | None:
        """A frame has come: the message that is whole with it, if one is.

        Raises:
            ChannelError: it is out of turn, too large, or acknowledges what was not sent.
        """
        self._let_go(frame.ack)
        if frame.kind != DATA or frame.number <= self.taken:
            return None
        if frame.number != self.taken + 1:
            raise ChannelError(f"frame {frame.number} after {self.taken}")
        self.taken = frame.number
        if not self._parts and not frame.flags & MORE:
            return memoryview(frame.body)
        self._parts.append(frame.body)
        self._parts_size += len(frame.body)
        if self._parts_size > MOST_MESSAGE:
            raise ChannelError(f"a message of more than {MOST_MESSAGE} bytes")
        if frame.flags & MORE:
            return None
        parts, self._parts, self._parts_size = self._parts, [], 0
        return b"".join(parts)

    def finish(self, number: int) -> None:
        """Everything up to that number is done with, so that the other end may let go of it."""
        self.done = max(self.done, number)

    def _let_go(self, number: int) -> None:
        """The other end is done with what is up to that number."""
        if number > self.acked + self._next:
            raise ChannelError(f"an acknowledgement of {number}, which was not sent")
        while self.acked < number:
            self.nbytes -= len(self._held.popleft().body)
            self.acked += 1
            self._next -= 1
