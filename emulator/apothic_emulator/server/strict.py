"""JSON as others send it: nothing that two readers could understand in two ways."""

from __future__ import annotations

import json
from typing import Any, cast

from apothic_backends.model.errors import UsageError

MOST_DEPTH = 200


def parse(body: bytes) -> Any:
    """What a body says.

    Raises:
        UsageError: it is no JSON, or has keys twice, numbers that are none, half of a character,
            or more levels than anything of ours has.
    """
    try:
        value = _decoder.decode(str(body, "utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the body is not to be read as JSON: {error!s:.200}") from None
    if b"\\u" in body or body.count(b"[") + body.count(b"{") > MOST_DEPTH:
        _check(value)
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    told = dict(pairs)
    if len(told) != len(pairs):
        raise ValueError("a key stands there twice")
    return told


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _number(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    return number


_decoder = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_number)


def _check(value: Any) -> None:
    """See to it that all text is text, and that nothing is too deep."""
    within: list[tuple[Any, int]] = [(value, 0)]
    while within:
        one, depth = within.pop()
        if depth > MOST_DEPTH:
            raise UsageError(f"the body has more than {MOST_DEPTH} levels")
        if isinstance(one, dict):
            entries = cast("dict[str, Any]", one)
            within.extend((part, depth + 1) for pair in entries.items() for part in pair)
        elif isinstance(one, list):
            within.extend((part, depth + 1) for part in cast("list[Any]", one))
        elif isinstance(one, str) and not _is_text(one):
            raise UsageError("the body has half of a character in a text")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
