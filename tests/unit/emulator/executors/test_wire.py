"""Frames, however they are cut, and whatever else arrives in their place."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from apothic_emulator.executors import packets, wire
from apothic_emulator.executors.wire import Frame, FrameReader, WireError

frames = st.builds(
    Frame,
    kind=st.integers(wire.LOAD, wire.INTERRUPT),
    flags=st.integers(0, 255),
    attempt=st.integers(0, 2**32 - 1),
    job=st.integers(0, 2**64 - 1),
    body=st.binary(max_size=300),
    buffers=st.lists(st.binary(max_size=300), max_size=4).map(tuple),
)
large = frames.map(lambda frame: frame._replace(buffers=(bytes(100_000), b"", b"end")))


def encoded(*whole: Frame) -> bytes:
    return b"".join(bytes(part) for frame in whole for part in wire.frame_parts(frame))


def plain(frame: Frame) -> tuple[object, ...]:
    buffers = tuple(bytes(buffer) for buffer in frame.buffers)
    return (frame.kind, frame.flags, frame.attempt, frame.job, bytes(frame.body), buffers)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(at % (len(data) + 1) for at in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(st.lists(frames | large, max_size=4), st.lists(st.integers(0, 10**6), max_size=12))
def test_any_cut_gives_the_same_frames(sent: list[Frame], cuts: list[int]) -> None:
    reader = FrameReader()
    got = [frame for piece in cut(encoded(*sent), cuts) for frame in reader.feed(piece)]

    assert [*map(plain, got)] == [*map(plain, sent)]


@settings(deadline=None)  # small steps are many
@given(large, st.integers(100, 90_000))
def test_a_large_frame_can_be_received_in_place(sent: Frame, step: int) -> None:
    data, reader = memoryview(encoded(sent)), FrameReader()
    got = list(reader.feed(bytes(data[:3000])))
    at = 3000
    while at < len(data):
        target = reader.target()
        assert target is not None
        count = min(step, len(target))
        target[:count] = data[at : at + count]
        at += count
        whole = reader.received(count)
        if whole is not None:
            got.append(whole)

    assert [*map(plain, got)] == [plain(sent)]


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_any_bytes_are_frames_or_an_error(pieces: list[bytes]) -> None:
    reader = FrameReader(most_bytes=1 << 16)
    try:
        for piece in pieces:
            for frame in reader.feed(piece):
                assert isinstance(frame, Frame)
    except WireError:
        pass


@given(frames, st.integers(0, 10**6))
def test_one_flipped_bit_gives_frames_or_an_error(sent: Frame, at: int) -> None:
    data = bytearray(encoded(sent))
    data[at // 8 % len(data)] ^= 1 << at % 8
    reader = FrameReader(most_bytes=1 << 16)
    try:
        for frame in reader.feed(bytes(data)):
            assert isinstance(frame, Frame)
    except WireError:
        pass


@pytest.mark.parametrize("length", [wire.MOST_BYTES + 1, 1 << 63, (1 << 64) - 1])
def test_a_length_beyond_the_limit_is_refused_before_anything_is_allocated(length: int) -> None:
    header = bytes([wire.RESULT, 0, 0, 0]) + bytes(12) + length.to_bytes(8, "little")

    with pytest.raises(WireError, match="at most"):
        list(FrameReader().feed(header))


def test_lengths_of_buffers_count_too() -> None:
    header = bytes([wire.RESULT, 0, 2, 0]) + bytes(12) + bytes(8)
    lengths = (1 << 62).to_bytes(8, "little") * 2

    with pytest.raises(WireError, match="at most"):
        list(FrameReader().feed(header + lengths))


@given(frames)
def test_a_packet_says_what_stands_in_it(sent: Frame) -> None:
    frame = sent._replace(flags=wire.INLINE, buffers=())
    data = wire.head(frame) + bytes(frame.body)

    packet = wire.parse_packet(data)
    assert (packet.kind, packet.attempt, packet.job) == (frame.kind, frame.attempt, frame.job)
    assert packet.body == frame.body
    assert packets.peek(data) == (frame.kind, (frame.job,), True)
