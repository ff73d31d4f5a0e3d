"""Frames between the host and an executor: pure bytes in, frames out.

Three channels join the two. `jobs` carries packets down, one a job, which the executor receives
one at a time: what still lies in it has certainly not begun. `bulk` carries large arguments down,
in the order of their packets, and items and reports up. `session` carries commands of user code,
and what it gives up, up; replies, interrupts and credit down.

    frame    kind u8, flags u8, buffers u16, attempt u32, job u64, body length u64,
             then a length u64 for each buffer, the body, and the buffers
    packet   the same header, and the body if INLINE; else all the rest follows on `bulk`
"""

from __future__ import annotations

import mmap
import struct
from _socket import socket
from collections.abc import Iterable, Iterator
from signal import SIGRTMIN
from typing import Final, NamedTuple

Buffer = bytes | bytearray | memoryview

LOAD: Final = 1
JOB: Final = 2
LOADED: Final = 3
LOAD_FAILED: Final = 4
RESULT: Final = 5
ERROR: Final = 6
COMMAND: Final = 7
REPLY: Final = 8
FAILURE: Final = 9
INTERRUPT: Final = 10
ITEMS: Final = 11
CREDIT: Final = 12
GIVE_UP: Final = 13
SAID: Final = 14
BUILD: Final = 15
_LAST: Final = BUILD

BATCH: Final = 20
"""A packet of `packets`: several jobs for one call."""

INLINE: Final = 1
"""The body stands in the packet; otherwise body and buffers follow on the bulk channel."""
PRINTED: Final = 2
"""Text lies in the log pipes, up to a delimiter."""
RETIRE: Final = 4
"""The call left a thread or a process behind: use another executor."""

CHANNEL_LOST: Final = 71
"""The exit code of an executor whose channels user code has closed or overwritten."""

SHARED_FLAGS: Final = 64 * 1024
"""The file that both sides hold begins with this many bytes of flags. One is for each log pipe: the
host has read from it, and may not know yet that the job has ended whose text it was. The others are
for replies, see `agent/lent.py`. Python stacks follow when they are asked for."""

FIRST_PLACE: Final = 2
"""Of a flag for a reply."""

END: Final = (1 << 64) - 1
"""In place of a job's number in a log pipe: the text of the job that is reported next ends."""

DUMP_SIGNAL: Final = SIGRTMIN + 7
"""Has an executor write its Python stacks to its dump file, whatever its threads do."""

MOST_INLINE: Final = 32 * 1024
"""The largest body inside a packet. The kernel takes about 200 KiB in one."""

MOST_PACKET: Final = MOST_INLINE + 64
"""Room for the largest packet."""

MOST_BYTES: Final = 2 << 30
"""The largest frame that the host accepts, so that a lying length cannot make it allocate more."""

HEADER: Final = struct.Struct("<BBHIQQ")
_NUMBER: Final = struct.Struct("<Q")
_SPAN: Final = struct.Struct("<QI")
HEADER_SIZE: Final = HEADER.size
_HUGE: Final = 1 << 20
LARGE: Final = 64 * 1024


class WireError(Exception):
    """The peer broke the protocol; the message says how."""


class Frame(NamedTuple):
    """One message and the buffers beside it."""

    kind: int
    flags: int
    attempt: int
    job: int
    body: Buffer
    buffers: tuple[Buffer, ...] = ()


def head(frame: Frame) -> bytes:
    """The header of a packet or a frame."""
    kind, flags, attempt, job, body, buffers = frame
    fixed = HEADER.pack(kind, flags, len(buffers), attempt, job, len(body))
    if not buffers:
        return fixed
    return fixed + struct.pack(f"<{len(buffers)}Q", *map(_nbytes, buffers))


def _nbytes(part: Buffer) -> int:
    return len(part) if type(part) is bytes else memoryview(part).nbytes


def frame_parts(frame: Frame) -> list[Buffer]:
    """A frame as pieces to write one after the other; small ones are joined."""
    body, buffers = frame.body, frame.buffers
    if not buffers and len(body) < LARGE:
        kind, flags, attempt, job, _, _ = frame
        return [HEADER.pack(kind, flags, 0, attempt, job, len(body)) + body]
    parts = [head(frame), body, *buffers]
    if sum(map(_nbytes, parts)) < LARGE:
        return [b"".join(parts)]  # each write wakes whoever reads
    return parts


class Packet(NamedTuple):
    """What stands in a packet: a frame without what follows on the bulk channel."""

    kind: int
    flags: int
    attempt: int
    job: int
    body: bytes
    length: int
    """Of the body on the bulk channel; 0 when INLINE."""
    buffers: int
    """How many are on the bulk channel."""


def parse_packet(data: bytes) -> Packet:
    """Take a packet apart."""
    kind, flags, count, attempt, job, length = HEADER.unpack_from(data)
    if flags & INLINE:
        return Packet(kind, flags, attempt, job, data[HEADER_SIZE:], 0, 0)
    return Packet(kind, flags, attempt, job, b"", length, count)


def items_body(after: int, pickles: list[Buffer]) -> bytes:
    """The body of ITEMS: what number they come after, how many, the length of each, and they."""
    count = len(pickles)
    lengths = struct.pack(f"<{count}I", *map(len, pickles))
    return b"".join((_SPAN.pack(after, count), lengths, *pickles))


def parse_items(body: Buffer) -> tuple[int, int, bytes]:
    """What number items come after, how many they are, and their lengths and themselves.

    Raises:
        WireError: there are not as many lengths.
    """
    if len(body) < _SPAN.size:
        raise WireError("items without a number")
    after, count = _SPAN.unpack_from(body)
    rest = bytes(memoryview(body)[_SPAN.size :])
    if len(rest) < 4 * count:
        raise WireError(f"{count} items in {len(rest)} bytes")
    return after, count, rest


def number_body(number: int) -> bytes:
    """The body of CREDIT."""
    return _NUMBER.pack(number)


def parse_number(body: Buffer) -> int:
    """What `number_body` has made."""
    number: int = _NUMBER.unpack(body)[0]
    return number


class FrameReader:
    """Frames out of a stream, however it is cut; large parts are received in place."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._rest: bytes = b""
        self._large: _Large | None = None

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Give the frames that are complete after these bytes.

        Raises:
            WireError: a header promises more than is accepted.
        """
        while data:
            if self._large is not None:
                data = self._large.take(data)
                if not self._large.left:
                    yield self._large.frame()
                    self._large = None
                continue
            data = self._rest + data if self._rest else data
            self._rest = b""
            size = self._size(data)
            if size is None:
                self._rest = data
                return
            if len(data) < size:
                if size >= LARGE:
                    self._large = _Large(data[: _lengths_end(data)])
                    data = data[_lengths_end(data) :]
                    continue
                self._rest = data
                return
            yield _whole(data)
            data = data[size:]

    def only(self, data: bytes) -> Frame | None:
        """The frame, if the bytes are exactly one: the usual case, without the rest.

        Raises:
            WireError: a header promises more than is accepted.
        """
        if self._rest or self._large is not None or len(data) < HEADER_SIZE:
            return None
        kind, flags, count, attempt, job, length = HEADER.unpack_from(data)
        if count:
            return _whole(data) if self._size(data) == len(data) else None
        if length != len(data) - HEADER_SIZE or not LOAD <= kind <= _LAST:
            return None
        return Frame(kind, flags, attempt, job, data[HEADER_SIZE:])

    def target(self) -> memoryview | None:
        """Where the next bytes may be received in place, if a large part is under way."""
        return self._large.target() if self._large is not None else None

    def received(self, count: int) -> Frame | None:
        """Note bytes received in place; gives the frame if it is complete."""
        assert self._large is not None, "bytes were received into a target"
        self._large.advance(count)
        if self._large.left:
            return None
        frame, self._large = self._large.frame(), None
        return frame

    def _size(self, data: bytes) -> int | None:
        """The size of the frame that begins here, or None while that cannot be told."""
        if len(data) < HEADER_SIZE:
            return None
        kind, _, count, _, _, length = HEADER.unpack_from(data)
        if not LOAD <= kind <= _LAST:
            raise WireError(f"no frame begins with {kind}")
        size: int = HEADER_SIZE + 8 * count + length
        if count and size <= self.most_bytes:
            if len(data) < HEADER_SIZE + 8 * count:
                return None
            size += sum(struct.unpack_from(f"<{count}Q", data, HEADER_SIZE))
        if size > self.most_bytes:
            raise WireError(f"a frame of {size} bytes; at most {self.most_bytes} are accepted")
        return size


def _lengths_end(data: bytes) -> int:
    _, _, count, _, _, _ = HEADER.unpack_from(data)
    return HEADER_SIZE + 8 * int(count)


def _whole(data: bytes) -> Frame:
    """The complete frame at the beginning of `data`."""
    kind, flags, count, attempt, job, length = HEADER.unpack_from(data)
    at = HEADER_SIZE + 8 * count
    body = data[at : at + length]
    if not count:
        return Frame(kind, flags, attempt, job, body)
    at += length
    buffers: list[Buffer] = []
    for size in struct.unpack_from(f"<{count}Q", data, HEADER_SIZE):
        buffers.append(bytearray(data[at : at + size]))
        at += size
    return Frame(kind, flags, attempt, job, body, tuple(buffers))


class _Large:
    """A frame whose parts are filled as they come."""

    def __init__(self, header: bytes) -> None:
        self.header = header
        _, _, count, _, _, length = HEADER.unpack_from(header)
        sizes = (length, *struct.unpack_from(f"<{count}Q", header, HEADER_SIZE))
        self.parts = [fresh(size) for size in sizes]
        self.left: int = sum(sizes)
        self._views = [memoryview(part) for part in reversed(self.parts) if part]

    def target(self) -> memoryview:
        return self._views[-1]

    def advance(self, count: int) -> None:
        self.left -= count
        view = self._views.pop()
        if count < len(view):
            self._views.append(view[count:])

    def take(self, data: bytes) -> bytes:
        while data and self._views:
            view = self._views[-1]
            piece = data[: len(view)]
            view[: len(piece)] = piece
            self.advance(len(piece))
            data = data[len(piece) :]
        return data

    def frame(self) -> Frame:
        kind, flags, _, attempt, job, _ = HEADER.unpack_from(self.header)
        return Frame(kind, flags, attempt, job, self.parts[0], tuple(self.parts[1:]))


def fresh(length: int) -> Buffer:
    """Writable memory to receive into.

    From a MiB up it is mapped in huge pages: faulting 100 MB in by small ones costs more than
    twice what receiving them does.
    """
    if length < _HUGE:
        return bytearray(length)
    memory = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)


def receive_exact(source: socket, length: int) -> Buffer:
    """Block until `length` bytes are here, received into fresh memory."""
    target = fresh(length)
    view = memoryview(target)
    while view:
        got = source.recv_into(view)
        if not got:
            raise WireError("the channel ended inside a frame")
        view = view[got:]
    return target


def receive_rest(source: socket, packet: Packet) -> tuple[Buffer, list[Buffer]]:
    """Block for what follows a packet on the bulk channel: the body and the buffers."""
    if packet.flags & INLINE:
        return packet.body, []
    count = packet.buffers
    sizes = struct.unpack(f"<{count}Q", receive_exact(source, 8 * count)) if count else ()
    body = receive_exact(source, packet.length)
    return body, [receive_exact(source, size) for size in sizes]


def send_all(target: socket, parts: Iterable[Buffer]) -> None:
    """Block until every part is written."""
    for part in parts:
        target.sendall(part)


def receive_frame(source: socket) -> Frame | None:
    """Block until one frame is here; None when the channel has ended."""
    first = source.recv(HEADER_SIZE)
    if not first:
        return None
    if len(first) < HEADER_SIZE:
        first += receive_exact(source, HEADER_SIZE - len(first))
    kind, flags, count, attempt, job, length = HEADER.unpack(first)
    sizes = struct.unpack(f"<{count}Q", receive_exact(source, 8 * count)) if count else ()
    body = receive_exact(source, length)
    return Frame(
        kind, flags, attempt, job, body, tuple(receive_exact(source, size) for size in sizes)
    )
