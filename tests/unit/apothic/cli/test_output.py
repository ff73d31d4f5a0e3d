from __future__ import annotations

import json
from typing import Any

import pytest

from apothic.cli.output import line_of, line_of_event, with_value
from tests.unit.apothic.cli.events import told


class Opaque:
    def __repr__(self) -> str:
        return "<opaque>"


class Broken:
    def __repr__(self) -> str:
        raise ValueError


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize("value", [None, 1, 1.5, "é\ud800", [1, {"a": None}], True])
def test_a_value_that_json_can_say_is_said(value: object) -> None:
    line = line_of(with_value({}, "result", value)).encode("utf-8", "backslashreplace")

    assert json.loads(line) == {"result": value}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Opaque(), "<opaque>"),
        (float("nan"), "nan"),
        ({1, 2}, "{1, 2}"),
        (b"x", "b'x'"),
        (CIRCLE, "[[...]]"),
    ],
)
def test_another_value_is_null_and_its_repr_stands_beside_it(value: object, text: str) -> None:
    assert with_value({}, "result", value) == {"result": None, "result_repr": text}


def test_a_repr_that_raises_is_replaced() -> None:
    assert "Broken object at" in with_value({}, "result", Broken())["result_repr"]


def test_an_event_is_one_line_with_its_cursor() -> None:
    line = line_of_event(told("job.result", status="succeeded", value=Opaque()))
    found = json.loads(line)

    assert "\n" not in line
    assert (found["schema"], found["event"], found["cursor"]) == (
        "apothic.event.v1",
        "job.result",
        "e:1",
    )
    assert (found["data"]["value"], found["data"]["value_repr"]) == (None, "<opaque>")
