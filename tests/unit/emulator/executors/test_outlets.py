"""Generators in their executor, against the rules of the core."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings, strategies as st

from apothic_backends.model.payloads import Payload
from apothic_emulator.core.streams import MOST_AHEAD, MOST_AHEAD_BYTES, Stream
from apothic_emulator.executors import wire
from apothic_emulator.executors.calls import Encoded
from apothic_emulator.executors.items import Outlet
from apothic_emulator.executors.wire import Buffer, WireError

WINDOW = (MOST_AHEAD, MOST_AHEAD_BYTES)
SIZES = st.sampled_from([1, 10, 5_000, 200_000, MOST_AHEAD_BYTES // 2, 3 * MOST_AHEAD_BYTES])
SMALL = Encoded(b"12345678")


class Pair:
    """An outlet, and the stream that its chunks arrive in."""

    def __init__(self) -> None:
        self.stream = Stream(0)
        self.outlet = Outlet(self.arrive, WINDOW, self.wake)
        self.sizes: list[int] = []
        self.wakes = 0

    def arrive(self, body: Buffer, buffers: tuple[Buffer, ...]) -> None:
        after, count, rest = wire.parse_items(body)
        assert after == self.stream.produced
        assert self.stream.add(count, Payload(rest, buffers)), "beyond credit"
        self.sizes += struct.unpack_from(f"<{count}I", rest)

    def wake(self) -> None:
        self.wakes += 1

    def take(self) -> bool:
        """The reader takes the next chunk; whether there was one."""
        chunk = self.stream.give()
        if chunk is None:
            return False
        assert self.stream.take(chunk.end)
        self.outlet.credit(chunk.end)
        return True


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(SIZES, st.just("take"), st.just("many")), max_size=60))
def test_every_item_arrives_once_in_order_and_never_beyond_credit(moves: list[object]) -> None:
    pair, offered = Pair(), list[int]()
    for move in moves:
        if move == "take":
            pair.take()
            continue
        for size in range(1, 200) if move == "many" else [move]:
            assert isinstance(size, int)
            while not pair.outlet.offer(Encoded(b"x" * size)):
                before = pair.wakes
                assert pair.take(), "blocked, and the reader has nothing to take"
                assert pair.wakes > before
            offered.append(size)
    pair.outlet.flush()

    assert pair.sizes == offered


@given(st.integers(1, 600))
def test_a_reader_that_takes_everything_sees_everything(count: int) -> None:
    pair = Pair()
    for _ in range(count):
        while not pair.outlet.offer(SMALL):
            assert pair.take()
    while pair.take():
        pass

    assert pair.stream.taken == count


def test_the_first_item_leaves_at_once_and_the_next_ones_together() -> None:
    pair = Pair()
    for _ in range(10):
        pair.outlet.offer(SMALL)
    assert pair.stream.produced == 1
    pair.take()

    assert [chunk.length for chunk in pair.stream.chunks] == [9]


def test_an_item_with_buffers_leaves_before_the_generator_can_write_to_them() -> None:
    pair, memory = Pair(), bytearray(40_000)
    pair.outlet.offer(SMALL)
    pair.outlet.offer(Encoded(b"pickle", (memory,)))

    assert pair.stream.produced == 2


def test_a_closed_outlet_takes_everything_and_sends_nothing() -> None:
    pair = Pair()
    while pair.outlet.offer(SMALL):
        pass
    sent = pair.stream.produced
    pair.outlet.close()
    pair.outlet.flush()

    assert pair.wakes == 1
    assert pair.outlet.offer(SMALL)
    assert pair.stream.produced == sent


def test_items_survive_the_wire() -> None:
    pickles: list[Buffer] = [b"one", b"", b"three"]
    after, count, rest = wire.parse_items(wire.items_body(7, pickles))

    assert (after, count) == (7, 3)
    assert rest == struct.pack("<3I", 3, 0, 5) + b"onethree"


@pytest.mark.parametrize("body", [b"", b"\0" * 11, wire.items_body(0, [])[:8] + b"\x02\0\0\0"])
def test_items_that_cannot_be_read_are_refused(body: bytes) -> None:
    with pytest.raises(WireError):
        wire.parse_items(body)
