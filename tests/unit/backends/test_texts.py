"""Values as the text of JSON."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from apothic_backends.model import texts

OTHER: dict[str, Any] = {
    "encode_basestring_ascii": str,
    "c_make_encoder": lambda *how: lambda line, level: ["another line"],
}
"""Parts of a json module that makes something else of its arguments."""

VALUE = [[0, 12], 'a "key"\n\u00e9\U0001f600', -1, 2.5, None, True, {"told": ["x", {}]}]


@pytest.mark.parametrize("parts", [json.encoder, object(), SimpleNamespace(**OTHER)])
def test_a_text_is_the_same_whatever_json_is_made_of(parts: Any) -> None:
    assert texts.encoder(parts)(VALUE) == json.dumps(VALUE, separators=(",", ":"))


def test_a_text_is_read_again() -> None:
    assert texts.decode(texts.encode(VALUE)) == VALUE


@pytest.mark.parametrize("text", ["", "[", "[1] ", "{}{}", "nothing", '"open'])
def test_what_is_not_one_value_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|Unterminated|Expecting|more than one"):
        texts.decode(text)
