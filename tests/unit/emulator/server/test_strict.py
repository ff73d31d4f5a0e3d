"""JSON that two readers could understand in two ways is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from apothic_backends.model.errors import UsageError
from apothic_emulator.server import strict

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)


@given(VALUES, st.booleans())
def test_what_was_said_is_read(value: Any, ascii_: bool) -> None:
    assert strict.parse(json.dumps(value, ensure_ascii=ascii_).encode()) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        strict.parse(body)
    except UsageError:
        pass


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{} {}",
        b'{"a":1,"a":2}',
        b'[{"a":{"b":1,"b":1}}]',
        b"NaN",
        b"[Infinity]",
        b"1e400",
        b'"\\ud800"',
        b'{"\\udfff":1}',
        b"\xff",
        b"[" * 100_000,
        b"[" * 202 + b"]" * 202,
        b"9" * 5000,
        b"'a'",
        b"[1,]",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(body: bytes) -> None:
    with pytest.raises(UsageError):
        strict.parse(body)


def test_a_pair_of_halves_is_a_character() -> None:
    assert strict.parse(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"
