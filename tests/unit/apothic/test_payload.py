from __future__ import annotations

import io
from pathlib import Path

import click
import pytest

from apothic.cli.payload import read
from apothic_backends.model.errors import NotFound


def area(width: int, *, height: int = 1) -> int:
    return width * height


def test_a_payload_gives_args_and_kwargs() -> None:
    assert read('{"args": [2], "kwargs": {"height": 3}}', area) == ([2], {"height": 3})


def test_either_may_be_left_out() -> None:
    assert read('{"args": [2]}', area) == ([2], {})
    assert read('{"kwargs": {"width": 2}}', area) == ([], {"width": 2})


def test_a_payload_can_come_from_a_file_or_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "input.json"
    file.write_text('{"args": [5]}')
    monkeypatch.setattr("sys.stdin", io.StringIO('{"args": [6]}'))

    assert read(f"@{file}", area) == ([5], {})
    assert read("-", area) == ([6], {})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "--payload is not JSON: .* line 1 column 2"),
        ("[1]", "expected .* got a list"),
        ('"x"', 'expected .* got "x"'),
        ('{"arg": [1]}', "got an object with the keys arg"),
        ('{"args": 3}', "args is a list, not 3"),
        ('{"args": [1], "kwargs": [2]}', "kwargs is an object, not a list"),
        ('{"args": [1, 2]}', r"does not fit area\(width: .*too many positional arguments"),
        ('{"kwargs": {"depth": 2}}', "missing a required argument: 'width'"),
    ],
)
def test_a_payload_that_cannot_be_meant_is_refused(text: str, told: str) -> None:
    with pytest.raises(click.UsageError, match=told):
        read(text, area)


def test_bad_json_in_a_file_says_which_file_and_where(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text('{\n  "args": [1,]\n}')

    with pytest.raises(click.UsageError, match=r"input\.json is not JSON: .* line 2 column 14"):
        read(f"@{file}", area)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_bytes(b"\xff\xfe")

    with pytest.raises(click.UsageError, match="not UTF-8"):
        read(f"@{file}", area)


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="No such file"):
        read(f"@{tmp_path}/nothing", area)
