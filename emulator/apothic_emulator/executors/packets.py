"""Several jobs in one packet: those of one call, which are received or taken back as a whole.

batch    a header with their count in place of the attempt, and their frames if INLINE;
         otherwise their numbers, and the frames follow on the bulk channel
"""

from __future__ import annotations

import struct
from _socket import socket
from collections.abc import Iterable, Sequence

from apothic_emulator.executors import wire
from apothic_emulator.executors.wire import (
    HEADER,
    HEADER_SIZE,
    LARGE,
    MOST_INLINE,
    Buffer,
    Frame,
    FrameReader,
    Packet,
    WireError,
    frame_parts,
    receive_frame,
)


def batch_packet(frames: Sequence[Frame]) -> tuple[bytes, list[Buffer]]:
    """The jobs of one call as a packet, and what follows it on the bulk channel."""
    parts = [part for frame in frames for part in frame_parts(frame)]
    first, count = frames[0].job, len(frames)
    if sum(memoryview(part).nbytes for part in parts) <= MOST_INLINE:
        body = b"".join(parts)
        return HEADER.pack(wire.BATCH, wire.INLINE, 0, count, first, len(body)) + body, []
    numbers = struct.pack(f"<{count}Q", *(frame.job for frame in frames))
    return HEADER.pack(wire.BATCH, 0, 0, count, first, 0) + numbers, parts


def receive_batch(source: socket, packet: Packet) -> list[Frame]:
    """Block for the jobs of one call.

    Raises:
        WireError: the channel ended before the last of them.
    """
    if packet.flags & wire.INLINE:
        return list(FrameReader().feed(packet.body))
    frames = [receive_frame(source) for _ in range(packet.attempt)]
    whole = [frame for frame in frames if frame is not None]
    if len(whole) < len(frames):
        raise WireError("the channel ended inside a batch")
    return whole


def peek(data: bytes) -> tuple[int, tuple[int, ...], bool]:
    """The kind and the jobs of a packet that is taken back, and whether nothing is elsewhere."""
    kind, flags, _, count, job, _ = HEADER.unpack_from(data)
    is_inline = bool(flags & wire.INLINE)
    if kind != wire.BATCH:
        return kind, (job,), is_inline
    if is_inline:
        return kind, tuple(frame.job for frame in FrameReader().feed(data[HEADER_SIZE:])), True
    return kind, struct.unpack_from(f"<{count}Q", data, HEADER_SIZE), False


def joined(frames: Iterable[Frame]) -> list[Buffer]:
    """Frames as pieces to write one after the other; small ones of all are joined."""
    pieces: list[Buffer] = []
    small: list[Buffer] = []
    for part in (part for frame in frames for part in frame_parts(frame)):
        if memoryview(part).nbytes < LARGE:
            small.append(part)
            continue
        pieces += [b"".join(small), part]
        small = []
    return [*pieces, b"".join(small)]
