from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from apothic_backends.model.masks import MASK, Masks, Veil, forms_of

VALUE = "open/sesame+123 ÿ\"'%"
PEM = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA7f\n  qp8vXcB1n3zL0aaaa\nx\n-----END KEY-----\n"
VALUES = [VALUE, PEM, "aaaaaaaa", "aaaaaaaab", "overlaps-the-next", "the-next-overlaps", "short"]


def encode64(before: bytes, after: bytes) -> str:
    return base64.b64encode(before + VALUE.encode() + after).decode()


@pytest.mark.parametrize(
    "shown",
    [
        VALUE,
        VALUE.encode().hex(),
        VALUE.encode().hex().upper(),
        urllib.parse.quote(VALUE),
        urllib.parse.quote(VALUE, safe=""),
        urllib.parse.quote_plus(VALUE),
        re.sub("%..", lambda code: code.group().lower(), urllib.parse.quote(VALUE)),
        json.dumps(VALUE),
        json.dumps(VALUE, ensure_ascii=False),
        repr(VALUE),
        ascii(VALUE),
        repr(VALUE.encode()),
        repr({"TOKEN": VALUE}),
    ],
)
def test_a_value_is_hidden_in_every_common_form(shown: str) -> None:
    hidden = Masks([VALUE]).text(f"<<{shown}>>")

    assert MASK in hidden
    assert len(hidden) <= len(MASK) + 17


@pytest.mark.parametrize("alphabet", [str, lambda s: s.replace("+", "-").replace("/", "_")])
@pytest.mark.parametrize("after", [b"", b"?", b"??", b"more"])
@pytest.mark.parametrize("before", [b"", b">", b">>", b"user"])
def test_a_value_is_hidden_in_base64_wherever_it_begins(
    before: bytes, after: bytes, alphabet: Callable[[str], str]
) -> None:
    hidden = Masks([VALUE]).text(f"<<{alphabet(encode64(before, after))}>>")

    assert MASK in hidden
    assert len(hidden) <= len(MASK) + 4 + 2 * len(before + after) + 4


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("before", [b"", b">", b">>"])
def test_padding_may_be_there_or_not(before: bytes, padded: bool) -> None:
    shown = encode64(before, b"")
    hidden = Masks([VALUE]).text(shown if padded else shown.rstrip("="))

    assert hidden.endswith(MASK)


@pytest.mark.parametrize("line", [line.strip() for line in PEM.splitlines() if len(line) >= 8])
def test_each_line_of_a_value_is_hidden(line: str) -> None:
    assert Masks([PEM]).text(f"<<{line}>>") == f"<<{MASK}>>"


@pytest.mark.parametrize("text", ["x", "x = 1\n", '{"a": 1}', "short", "{", "-----"])
def test_what_is_short_is_no_secret(text: str) -> None:
    assert Masks([PEM, "short", "{\n"]).text(text) == text


def test_every_form_that_is_looked_for_is_long_enough() -> None:
    assert min(map(len, forms_of(VALUES))) >= 8


def test_values_that_overlap_are_hidden_as_one() -> None:
    masks = Masks(["overlaps-the-next", "the-next-overlaps"])

    assert masks.text("<overlaps-the-next-overlaps>") == f"<{MASK}>"


def test_values_beside_each_other_are_both_hidden() -> None:
    assert Masks(["aaaaaaaa", "bbbbbbbb"]).text("aaaaaaaabbbbbbbb") == MASK * 2


def test_the_longest_of_several_is_hidden() -> None:
    assert Masks(["aaaabbbb", "aaaabbbbcccc"]).text("<aaaabbbbcccc>") == f"<{MASK}>"


def test_what_is_only_like_a_value_is_shown_as_soon_as_that_is_known() -> None:
    veil = Veil(Masks(["open-sesame"]))

    assert veil.feed("out", "is it open-") == [("out", "is it ")]
    assert veil.feed("out", "ended?") == [("out", "open-"), ("out", "ended?")]


def test_the_beginning_of_a_value_at_the_end_is_hidden_if_it_is_long() -> None:
    masks = Masks(["open-sesame-123"])

    assert masks.text("it is open-") == "it is open-"
    assert masks.text("it is open-sesame") == f"it is {MASK}"


def test_a_value_over_two_streams_is_hidden_where_it_begins() -> None:
    veil = Veil(Masks(["open-sesame"]))
    shown = [*veil.feed("out", "<open"), *veil.feed("err", "-sesame>"), *veil.flush()]

    assert shown == [("out", "<"), ("out", MASK), ("err", ">")]


def test_bytes_are_searched_too() -> None:
    masks = Masks([VALUE])

    assert masks.are_in(b"\x80\x05" + VALUE.encode() + b"\x94.")
    assert masks.are_in(memoryview(bytearray(VALUE.encode())))
    assert not masks.are_in(VALUE[:10].encode())


def test_without_values_nothing_is_hidden() -> None:
    assert Masks([]).text(VALUE) == VALUE


# --- in pieces ------------------------------------------------------------------------------------

SCRAPS = sorted(
    {
        *VALUES,
        *(value[:size] for value in VALUES for size in (1, 4, 7, 8, 9, len(value) - 1)),
        *(value[size:] for value in VALUES for size in (1, 4, 8)),
        *(base64.b64encode(value.encode()).decode() for value in VALUES),
        *("\n", " ", "a", "x"),
    }
)
MASKS = Masks(VALUES)
TEXTS = st.lists(st.sampled_from(SCRAPS) | st.text(max_size=3), max_size=10).map("".join)


@given(TEXTS, st.lists(st.integers(0, 200)))
@settings(max_examples=400, deadline=None)
def test_any_pieces_are_shown_as_the_whole_is(text: str, cuts: list[int]) -> None:
    veil = Veil(MASKS)
    shown = ""
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    for start, end in pairwise(places):
        shown += "".join(piece for _, piece in veil.feed("", text[start:end]))
    shown += "".join(piece for _, piece in veil.flush())

    assert shown == MASKS.text(text)


@given(TEXTS)
@settings(max_examples=400, deadline=None)
def test_nothing_of_a_value_survives(text: str) -> None:
    shown = MASKS.text(text)

    assert not [form for form in forms_of(VALUES) if form in shown]


@given(TEXTS, st.data())
@settings(max_examples=200, deadline=None)
def test_pieces_of_two_streams_are_shown_as_the_whole_is(text: str, data: st.DataObject) -> None:
    veil = Veil(MASKS)
    shown: list[tuple[str, str]] = []
    rest = text
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        shown += veil.feed(data.draw(st.sampled_from(["out", "err"])), rest[:size])
        rest = rest[size:]
    shown += veil.flush()

    assert "".join(piece for _, piece in shown) == MASKS.text(text)


@given(TEXTS)
@settings(max_examples=200, deadline=None)
def test_no_more_is_held_back_than_may_be_a_value(text: str) -> None:
    veil = Veil(MASKS)
    shown = veil.feed("", f"{text}\n!")

    assert "".join(piece for _, piece in shown).endswith("!")
