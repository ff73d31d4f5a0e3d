from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from apothic import cli
from apothic.cli.output import shown
from apothic.cli.run import run_target
from apothic.cli.ways import Ways
from tests.unit.apothic.threads import ThreadBackend

KINDS = """
from __future__ import annotations
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Optional
from apothic import App

app = App("kinds")

class Color(Enum):
    RED = 1
    BLUE = 2

@app.function
def echo(
    number: int,
    when: Optional[datetime] = None,
    color: Color = Color.RED,
    mode: Literal["fast", "slow"] = "fast",
    sizes: list[int] = [],
    table: dict[str, Any] = {},
    loud: bool = True,
    factor: float | None = None,
    path: Path | None = None,
    bare=3,
    text="",
) -> str:
    return repr((number, when, color.name, mode, sizes, table, loud, factor, path, bare, text))

@app.function
def prints(text: str) -> dict[str, str]:
    print("working")
    return {"text": text}

@app.function
def fails(number: int) -> float:
    return inner(number)

def inner(number):
    return 1 / number

@app.function
def not_found() -> None:
    from apothic import NotFound
    raise NotFound("of its own")

@app.local_entrypoint()
def main(name: str = "you", *rest: str) -> None:
    print("hello", name, *rest)

@app.local_entrypoint()
async def later(number: int) -> None:
    print("later", number, await prints.aio.remote("x"))

@app.local_entrypoint()
def leaves(code: int) -> None:
    raise SystemExit(code)
"""

PLACED = """
from apothic import App
app = App("placed")

@app.function
def takes_payload(payload: str) -> str:
    return payload

@app.function
def total(values: list[int]) -> int:
    return sum(values)

@app.function
def private(_number: int, class_: str = "c") -> list:
    return [_number, class_]

@app.function
def by_place_only(a: int = 1, b: int = 2, /) -> list:
    return [a, b]

@app.function
def with_rest(a: str, *numbers: int, mark: str = "-") -> list:
    return [a, numbers, mark]

@app.function
def by_name_only(*, name: str) -> str:
    return name

@app.function
def hinted(number: "App.Nothing") -> None: ...
"""

SINGLE = """
from apothic import App
app = App("single")

@app.function
def only(number: int) -> int:
    return number + 1
"""


@pytest.fixture
def kinds(tmp_path: Path, backend: ThreadBackend) -> Iterator[str]:
    """The path of a file with a bit of everything."""
    yield from written(tmp_path, "cli_kinds", KINDS)


@pytest.fixture
def placed(tmp_path: Path, backend: ThreadBackend) -> Iterator[str]:
    """The path of a file whose parameters are of every kind."""
    yield from written(tmp_path, "cli_placed", PLACED)


@pytest.fixture
def single(tmp_path: Path, backend: ThreadBackend) -> Iterator[str]:
    """The path of a file with one function."""
    yield from written(tmp_path, "cli_single", SINGLE)


def written(folder: Path, name: str, source: str) -> Iterator[str]:
    file = folder / f"{name}.py"
    file.write_text(source)
    path, argv = sys.path[:], sys.argv
    yield str(file)
    sys.path[:], sys.argv = path, argv
    sys.modules.pop(name, None)


Captured = pytest.CaptureFixture[str]


def test_the_one_function_of_a_file_is_run(single: str, capsys: Captured) -> None:
    assert run_target(single, ["3"]) == 0
    assert capsys.readouterr().out == "4\n"


@pytest.mark.parametrize("arguments", [["--number", "3"], ["--number=3"], ["3"]])
def test_a_parameter_is_an_option_or_stands_by_place(
    single: str, capsys: Captured, arguments: list[str]
) -> None:
    assert run_target(single, arguments) == 0
    assert capsys.readouterr().out == "4\n"


@pytest.mark.parametrize("how", [Ways(payload='{"args": [3]}'), Ways()])
def test_a_payload_stands_for_all_arguments(single: str, capsys: Captured, how: Ways) -> None:
    behind = [] if how.payload else ["--payload", '{"kwargs": {"number": 3}}']

    assert run_target(single, behind, how) == 0
    assert capsys.readouterr().out == "4\n"


def test_a_payload_stands_alone(single: str, capsys: Captured) -> None:
    assert run_target(single, ["--number", "3", "--payload", "{}"]) == 2
    assert "leave out the others" in capsys.readouterr().err


def test_a_payload_that_does_not_fit_is_a_usage_error(single: str, capsys: Captured) -> None:
    assert run_target(single, ["--payload", '{"args": ["a", "b"]}']) == 2
    assert "does not fit only(number: int)" in capsys.readouterr().err


def test_a_parameter_called_as_an_option_of_ours_is_the_functions(
    placed: str, capsys: Captured
) -> None:
    assert run_target(f"{placed}::takes_payload", ["--payload", "mine"]) == 0
    assert capsys.readouterr().out == "mine\n"


def test_the_way_to_run_is_chosen_before_the_first_call(single: str, capsys: Captured) -> None:
    assert run_target(single, ["3", "--inline"]) == 2
    assert "put --inline before the target" in capsys.readouterr().err


def test_options_follow_the_type_hints(kinds: str, capsys: Captured) -> None:
    given = ["7", "--when", "2026-01-31T12:00", "--color", "BLUE", "--mode=slow", "--no-loud"]
    given += ["--sizes", "1", "--sizes", "2", "--table", '{"a": [1]}', "--factor", "0.5"]
    given += ["--path", "a/b", "--bare", "4", "--text", "hi"]

    assert run_target(f"{kinds}::echo", given) == 0
    assert capsys.readouterr().out == (
        "(7, datetime.datetime(2026, 1, 31, 12, 0), 'BLUE', 'slow', [1, 2], {'a': [1]}, False, "
        "0.5, PosixPath('a/b'), 4, 'hi')\n"
    )


def test_defaults_are_kept(kinds: str, capsys: Captured) -> None:
    assert run_target(f"{kinds}::echo", ["7"]) == 0
    assert capsys.readouterr().out == "(7, None, 'RED', 'fast', [], {}, True, None, None, 3, '')\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "missing --number"),
        (["x"], "'x' is not a valid integer"),
        (["1", "--color", "GREEN"], "'GREEN' is none of RED, BLUE"),
        (["1", "--mode", "medium"], "'medium' is none of fast, slow"),
        (["1", "--table", "{a"], "'{a' is not JSON"),
        (["1", "--when", "noon"], "'noon' is not a moment"),
        (["1", "--colour", "RED"], "--color"),
    ],
)
def test_a_wrong_argument_is_a_usage_error(
    kinds: str, capsys: Captured, arguments: list[str], message: str
) -> None:
    assert run_target(f"{kinds}::echo", arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("call", "result"),
    [
        ("total --values 1 --values 2", "3"),
        ("total 1 2 3", "6"),
        ("private --number 1 --class d", '[1, "d"]'),
        ("by_place_only --b 5", "[1, 5]"),
        ("by_place_only 3", "[3, 2]"),
        ("with_rest x 1 2", '["x", [1, 2], "-"]'),
        ("with_rest x 1 2 --mark +", '["x", [1, 2], "+"]'),
        ("by_name_only --name x", "x"),
    ],
)
def test_each_kind_of_parameter_takes_what_python_would_give_it(
    placed: str, capsys: Captured, call: str, result: str
) -> None:
    name, *arguments = call.split()

    assert run_target(f"{placed}::{name}", arguments) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (f"{result}\n", "")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("by_name_only x", "missing --name"),
        ("with_rest x y", "'y' is not a valid integer"),
        ("private", "missing --number"),
        ("hinted 1", "the type hints of hinted() do not resolve"),
    ],
)
def test_what_python_would_refuse_is_a_usage_error(
    placed: str, capsys: Captured, call: str, message: str
) -> None:
    name, *arguments = call.split()

    assert run_target(f"{placed}::{name}", arguments) == 2
    assert message in capsys.readouterr().err


def test_too_many_values_are_a_usage_error(single: str, capsys: Captured) -> None:
    assert run_target(single, ["1", "2"]) == 2
    assert "too many values: 2" in capsys.readouterr().err


def test_a_result_goes_to_stdout_and_what_was_printed_to_stderr(
    kinds: str, capsys: Captured
) -> None:
    assert run_target(f"{kinds}::prints", ["hi"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ('{"text": "hi"}\n', "prints j:1 | working\n")


def test_an_entrypoint_runs_here_and_takes_what_is_left(kinds: str, capsys: Captured) -> None:
    assert run_target(f"{kinds}::main", ["a", "b", "c"]) == 0
    assert capsys.readouterr().out == "hello a b c\n"


def test_an_async_entrypoint_is_awaited(kinds: str, capsys: Captured) -> None:
    assert run_target(f"{kinds}::later", ["--number", "2"]) == 0
    assert capsys.readouterr().out == "later 2 {'text': 'x'}\n"


def test_an_async_entrypoint_needs_only_what_is_installed_with_us(
    kinds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "anyio", None)

    assert run_target(f"{kinds}::later", ["--number", "2"]) == 0


def test_several_entrypoints_have_to_be_told_apart(kinds: str, capsys: Captured) -> None:
    assert run_target(kinds, []) == 2
    assert "there are: echo, fails, later, leaves, main" in capsys.readouterr().err


def test_a_name_that_is_not_there_lists_those_that_are(kinds: str, capsys: Captured) -> None:
    assert run_target(f"{kinds}::nope", []) == 4
    assert "has no 'nope'; there are: echo" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_not_found(capsys: Captured) -> None:
    assert run_target("nowhere.py", []) == 4
    assert "there is no file 'nowhere.py'" in capsys.readouterr().err


def test_a_failure_shows_the_users_frames_only(kinds: str, capsys: Captured) -> None:
    assert run_target(f"{kinds}::fails", ["0"]) == 1
    shown_text = capsys.readouterr().err
    assert "return 1 / number" in shown_text
    assert shown_text.rstrip().endswith("ZeroDivisionError: division by zero")
    assert "_drive.py" not in shown_text


def test_an_error_of_ours_that_the_function_raised_is_its_own(kinds: str, capsys: Captured) -> None:
    assert run_target(f"{kinds}::not_found", []) == 1
    assert "of its own" in capsys.readouterr().err


def test_a_file_that_does_not_import_is_the_users_error(tmp_path: Path, capsys: Captured) -> None:
    for broken in written(tmp_path, "cli_broken", "def broken(:\n"):
        assert run_target(broken, []) == 1
    assert "SyntaxError" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["notes.md", "noextension"])
def test_a_file_that_is_not_python_is_a_usage_error(
    tmp_path: Path, capsys: Captured, name: str
) -> None:
    (tmp_path / name).write_text("hello")

    assert run_target(str(tmp_path / name), []) == 2
    assert f"{name} is not a Python file" in capsys.readouterr().err


def test_a_file_may_be_called_as_a_built_in_module(
    tmp_path: Path, backend: ThreadBackend, capsys: Captured
) -> None:
    for path in written(tmp_path, "xxsubtype", SINGLE):
        assert run_target(path, ["3"]) == 0
    assert capsys.readouterr().out == "4\n"


def test_an_import_that_fails_shows_the_users_lines_only(tmp_path: Path, capsys: Captured) -> None:
    for path in written(tmp_path, "cli_importer", "import no_such_module\n"):
        assert run_target(path, []) == 1
    told = capsys.readouterr().err
    assert told.count('File "') == 1
    assert "import no_such_module" in told


def test_an_entrypoint_may_choose_its_exit_code(kinds: str) -> None:
    assert run_target(f"{kinds}::leaves", ["3"]) == 3


@pytest.mark.parametrize(
    ("value", "text"),
    [("a b", "a b"), ({"é": [1, None]}, '{"é": [1, null]}'), ({1, 2}, "{1, 2}"), (1.5, "1.5")],
)
def test_a_result_is_shown_for_people_and_pipes(value: object, text: str) -> None:
    assert shown(value) == text


def test_the_version_is_told_without_click() -> None:
    program = "import sys; sys.argv = ['apothic', '--version']; from apothic.cli import main; "
    program += "main(); print('click' in sys.modules)"

    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert ran.stdout.splitlines() == ["apothic 0.1.0", "False"]


def test_help_names_the_exit_codes(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(sys, "argv", ["apothic", "--help"])

    assert cli.main() == 0
    assert "130 interrupted" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    ["", "run", "trigger", "job"]
    + [f"job {verb}" for verb in ("cancel", "get", "list", "logs", "wait", "watch")]
    + ["state", "state switch", "state load"],
)
def test_help_fits_a_screen(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured, command: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["apothic", *command.split(), "--help"])

    assert cli.main() == 0
    told, _, commands = capsys.readouterr().out.partition("Commands:")
    assert len(told.splitlines()) <= (18 if commands else 25)
    assert len((told + commands).splitlines()) <= 40  # a window of so many has all of it
