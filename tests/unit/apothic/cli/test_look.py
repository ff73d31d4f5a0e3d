from __future__ import annotations

import pytest

from apothic.cli.look import Look, is_json_default, look_of
from apothic_backends.model.errors import UsageError

LINES = Look()


@pytest.mark.parametrize(
    ("environ", "asked", "look"),
    [
        ({}, {"is_terminal": True}, Look(is_live=True, is_colored=True)),
        ({}, {"is_terminal": False}, LINES),
        ({"NO_COLOR": "1"}, {"is_terminal": True}, Look(is_live=True)),
        ({"NO_COLOR": ""}, {"is_terminal": True}, Look(is_live=True, is_colored=True)),
        ({"CI": "true"}, {"is_terminal": True}, LINES),
        ({"TERM": "dumb"}, {"is_terminal": True}, LINES),
        ({}, {"is_terminal": True, "is_plain": True}, LINES),
        ({}, {"is_terminal": True, "color": "never"}, Look(is_live=True)),
        ({}, {"is_terminal": False, "color": "always"}, Look(is_colored=True)),
        (
            {"NO_COLOR": "1", "CI": "1"},
            {"is_terminal": True, "color": "always"},
            Look(is_colored=True),
        ),
    ],
)
def test_what_is_asked_for_goes_before_the_environment_and_that_before_the_terminal(
    environ: dict[str, str], asked: dict[str, object], look: Look
) -> None:
    assert look_of(environ, **asked) == look  # type: ignore[arg-type]


@pytest.mark.parametrize(("output", "is_json"), [("json", True), ("text", False), ("", False)])
def test_the_environment_sets_the_default_output(output: str, *, is_json: bool) -> None:
    assert is_json_default({"APOTHIC_OUTPUT": output}) is is_json


def test_an_output_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="APOTHIC_OUTPUT='yaml': it must be 'json' or 'text'"):
        is_json_default({"APOTHIC_OUTPUT": "yaml"})
