"""Pickles of plain data are read without being carried out."""

from __future__ import annotations

import math
import os
import pickle
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from apothic_emulator.server import plain

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
FINITE = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.integers() | FINITE | TEXT
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(TEXT, inner),
    max_leaves=30,
)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("exploded",)


@given(PLAIN, st.sampled_from([4, 5]))
def test_plain_data_is_read_as_it_was(value: Any, protocol: int) -> None:
    assert plain.read(pickle.dumps(value, protocol)) == value


@given(PLAIN)
def test_what_is_dumped_python_loads(value: Any) -> None:
    assert pickle.loads(plain.dump(value)) == value


@given(st.binary())
@example(b".")
def test_any_bytes_are_plain_data_or_none(data: bytes) -> None:
    try:
        plain.read(data)
    except plain.NotPlain:
        pass


@given(PLAIN, st.data())
def test_a_pickle_with_a_wrong_byte_is_plain_data_or_none(value: Any, data: Any) -> None:
    pickled = bytearray(pickle.dumps(value, 5))
    pickled[data.draw(st.integers(0, len(pickled) - 1))] = data.draw(st.integers(0, 255))

    try:
        plain.read(pickled)
    except plain.NotPlain:
        pass


OTHERS: dict[str, Any] = {
    "an object": Bomb(),
    "a function": os.mkdir,
    "a class": Fraction,
    "an object within": [1, {"a": (Fraction(1, 2),)}],
    "bytes": b"x",
    "a set": {1},
    "no number": math.nan,
    "infinity": [math.inf],
    "a key that is no text": {1: 2},
    "half a character": "\ud800",
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_is_not_plain_is_left_alone(what: str) -> None:
    with pytest.raises(plain.NotPlain):
        plain.read(pickle.dumps(OTHERS[what], 5))


def test_nothing_that_a_pickle_names_is_called(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for protocol in range(6):
        with pytest.raises(plain.NotPlain):
            plain.read(pickle.dumps(Bomb(), protocol))

    assert list(tmp_path.iterdir()) == []


def doubled(times: int) -> bytes:
    """A pickle of a few bytes, of a list that holds itself twice, and so on."""
    value: Any = ["x" * 50]
    for _ in range(times):
        value = [value, value]
    return pickle.dumps(value, 5)


def test_a_small_pickle_of_much_data_is_left_alone() -> None:
    data = doubled(60)
    assert len(data) < 1000

    with pytest.raises(plain.NotPlain):
        plain.read(data)


def test_a_list_in_itself_is_left_alone() -> None:
    loop: list[Any] = []
    loop.extend([loop] * 1000)

    with pytest.raises(plain.NotPlain):
        plain.read(pickle.dumps(loop, 5))


def test_what_is_shared_is_told_as_often_as_it_stands_there() -> None:
    assert plain.read(doubled(2)) == [[["x" * 50]] * 2] * 2
