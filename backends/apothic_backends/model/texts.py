"""JSON as text and back, without what `json` does anew for each value."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_decoder: Any = json.JSONDecoder()
_scan: Callable[[str, int], tuple[Any, int]] = _decoder.scan_once


def encoder(parts: Any = json.encoder) -> Callable[[Any], str]:
    """Makes the text of a value in a third of the time: `json` makes its machinery for each anew.

    Where Python's json is made of other parts, it is that.
    """
    sample: list[Any] = [[1, 2], "a\u00e9\n", 1.5, None, True, {"key": [0]}]
    try:
        text = parts.encode_basestring_ascii
        default = json.JSONEncoder().default
        chunks = parts.c_make_encoder(None, default, text, None, ":", ",", False, False, True)
        if "".join(chunks(sample, 0)) == _encode(sample):
            return lambda value: "".join(chunks(value, 0))
    except (AttributeError, TypeError):
        pass
    return _encode


encode = encoder()


def decode(text: str) -> Any:
    """The value of a text that has nothing around it.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        value, end = _scan(text, 0)
    except StopIteration as stop:
        raise ValueError(f"no JSON from {stop.value} on") from None
    if end != len(text):
        raise ValueError(f"more than one value: {end} of {len(text)} characters")
    return value
