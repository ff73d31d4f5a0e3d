"""Log pipes: every character to the job that printed it, however the bytes are cut."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from apothic_emulator.agent.logs import LogPipe
from apothic_emulator.executors.wire import END

TOKEN = bytes(range(200, 216))


def mark(owner: int) -> bytes:
    return TOKEN + owner.to_bytes(8, "little")


def joined(pieces: list[tuple[int, str]]) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for owner, text in pieces:
        if found and found[-1][0] == owner:
            text = found.pop()[1] + text  # noqa: PLW2901
        found.append((owner, text))
    return found


@pytest.fixture(scope="module")
def nowhere() -> Iterator[int]:
    reader, writer = os.pipe()
    yield reader
    os.close(reader)
    os.close(writer)


def pipe_at(fd: int) -> LogPipe:
    return LogPipe(fd, "stdout", TOKEN, mmap.mmap(-1, 4096))


texts = st.text(min_size=1, max_size=20)


@given(
    st.lists(st.tuples(st.integers(1, 5), texts), max_size=8),
    st.lists(st.integers(0, 400), max_size=10),
)
def test_any_cut_gives_the_same_text(
    nowhere: int, printed: list[tuple[int, str]], cuts: list[int]
) -> None:
    data = b"".join(mark(owner) + text.encode() for owner, text in printed)
    edges = [0, *sorted(min(at, len(data)) for at in cuts), len(data)]
    pipe = pipe_at(nowhere)
    pieces = [p for a, b in pairwise(edges) for p in pipe.split(data[a:b])]

    assert joined(pieces) == joined(printed)


@given(st.lists(st.binary(max_size=60) | st.just(TOKEN) | st.just(mark(END)), max_size=10))
def test_any_bytes_are_text(nowhere: int, pieces: list[bytes]) -> None:
    pipe = pipe_at(nowhere)
    for piece in pieces:
        pipe.split(piece)


def test_text_behind_the_end_of_a_job_waits_for_its_report(nowhere: int) -> None:
    pipe = pipe_at(nowhere)

    assert pipe.split(b"first" + mark(END) + b"second") == [(0, "first")]
    assert pipe.read_to_end() == []
    assert pipe.split(b"") == [(0, "second")]


def test_text_behind_a_forged_end_does_not_wait_for_ever(nowhere: int) -> None:
    pipe = pipe_at(nowhere)
    pipe.split(mark(END))

    assert pipe.split(b"x" * (2 << 20)) == [(0, "x" * (2 << 20))]
