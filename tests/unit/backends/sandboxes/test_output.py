"""What a program writes, kept within bounds."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from apothic_backends.sandboxes.output import KEPT_BYTES, READER_PATIENCE_S, Output

BLOCK = 64 * 1024
MEGABYTE = 1024 * 1024


def test_what_is_written_can_be_read_from_any_position() -> None:
    output = Output()
    output.append(b"hello ")
    output.append(b"world")

    assert output.read(0, 0.0) == (b"hello world", 0, 0, False)
    assert output.read(6, 0.0) == (b"world", 6, 0, False)
    assert output.read(11, 0.0) == (b"", 11, 0, False)


def test_the_end_is_told_with_the_last_byte() -> None:
    output = Output()
    output.append(b"a")
    output.is_ended = True

    assert output.read(0, 0.0).is_end
    assert output.read(1, 0.0).is_end


def test_a_chunk_that_is_not_the_last_is_no_end() -> None:
    output = Output()
    output.append(bytes(3 * MEGABYTE))
    output.is_ended = True

    chunk = output.read(0, 0.0)

    assert (len(chunk.data), chunk.is_end) == (MEGABYTE, False)
    assert output.read(2 * MEGABYTE, 0.0).is_end


def test_the_oldest_bytes_are_lost_first_and_counted() -> None:
    output = Output(kept_bytes=BLOCK)
    output.append(b"a" * BLOCK + b"b" * (MEGABYTE + 3 * BLOCK))

    chunk = output.read(0, 0.0)

    assert chunk.lost_bytes == chunk.position > 0
    assert set(chunk.data) == {ord("b")}
    assert output.read(chunk.position, 0.0).lost_bytes == 0


def test_at_least_as_much_is_kept_as_was_promised() -> None:
    output = Output()
    output.append(bytes(KEPT_BYTES))

    assert output.read(0, 0.0).lost_bytes == 0


def test_there_is_always_room_when_nobody_reads() -> None:
    output = Output(kept_bytes=BLOCK)
    output.append(bytes(4 * MEGABYTE))

    assert output.room(now=0.0) > 0


def test_there_is_no_room_while_a_reader_has_yet_to_read_what_is_kept() -> None:
    output = Output(kept_bytes=BLOCK)
    output.read(0, now=100.0)
    output.append(bytes(BLOCK))

    assert output.room(now=100.0) == 0
    assert output.room(now=output.patience_ends()) > 0
    assert output.patience_ends() == 100.0 + READER_PATIENCE_S


def test_reading_on_makes_room() -> None:
    output = Output(kept_bytes=BLOCK)
    output.read(0, now=0.0)
    output.append(bytes(BLOCK))

    output.read(1000, now=0.0)

    assert output.room(now=0.0) == 1000


def test_a_position_that_is_not_there_yet_is_the_end() -> None:
    output = Output()
    output.append(b"abc")

    assert output.read(10, 0.0) == (b"", 3, 0, False)


@given(
    st.lists(st.integers(0, 3 * BLOCK), max_size=30),
    st.integers(0, 40 * BLOCK),
)
def test_what_is_read_is_what_was_written_there(sizes: list[int], position: int) -> None:
    output, written = Output(kept_bytes=2 * BLOCK), b""
    for number, size in enumerate(sizes):
        output.append(bytes([number]) * size)
        written += bytes([number]) * size

    chunk = output.read(position, 0.0)

    assert chunk.data == written[chunk.position : chunk.end]
    assert chunk.lost_bytes == max(0, chunk.position - position)
    assert chunk.data or chunk.end == len(written)


@pytest.mark.parametrize("size", [0, 1, BLOCK, BLOCK + 1])
def test_the_end_of_a_chunk_is_where_to_read_on(size: int) -> None:
    output = Output()
    output.append(bytes(size))

    assert output.read(0, 0.0).end == size
