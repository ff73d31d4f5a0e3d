"""Examples of generated functions, tried in sandboxes of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import psutil
import pytest

from tests.generation.conftest import Try, exact, example
from tests.sandboxes.test_refusals import REFUSE

NORMALIZE = """
def f(status: str, *, prefix: str = "status") -> str:
    return f"{prefix}:{status.strip().lower()}"
"""
DIVIDE = """
def f(number: int) -> float:
    print("dividing by", number)
    return 1 / number
"""
REFUSED = """
from apothic.generation.examples import Example
from apothic.generation.trials import tried

try:
    tried("def f(): pass", "f", [Example((), {})], timeout_s=60)
except IsolationMissing as error:
    print(json.dumps([str(error), error.data["missing"]]))
"""


def test_examples_that_come_out_as_expected_leave_no_failure(attempt: Try) -> None:
    failures = attempt(
        NORMALIZE, exact("status:ready", " READY "), exact("a:b", "B", prefix="a"), example("x")
    )

    assert failures == ()


def test_a_failure_names_the_call_and_what_was_expected(attempt: Try) -> None:
    (failure,) = attempt(NORMALIZE, example("a"), exact("state:b", "b", prefix="status"))

    assert failure.example == "f('b', prefix='status')"
    assert failure.error == "it returned 'status:b', but 'state:b' is expected"


def test_an_exception_is_told_with_its_line_and_what_was_printed(attempt: Try) -> None:
    (failure,) = attempt(DIVIDE, example(0), example(1))

    assert failure.example == "f(0)"
    assert failure.error == (
        "it raised ZeroDivisionError: division by zero\n"
        "  line 4, in f: return 1 / number\n"
        "It printed:\ndividing by 0\n"
    )


def test_what_is_printed_cannot_steer_a_terminal(attempt: Try) -> None:
    (failure,) = attempt("def f():\n    print('\\x1b[2J\\u202e')\n    exit()", example())

    assert "\\x1b[2J\\u202e\n" in failure.error


def test_code_that_cannot_be_loaded_is_told_once(attempt: Try) -> None:
    (failure,) = attempt("def f(x=1 / 0): ...", example(), example())

    assert failure.example == "f()"
    assert failure.error == (
        "it cannot be loaded: ZeroDivisionError: division by zero\n"
        "  line 1, in <module>: def f(x=1 / 0): ..."
    )


def test_without_examples_it_is_loaded_and_not_called(attempt: Try) -> None:
    assert attempt("def f(): 1 / 0") == ()

    (failure,) = attempt("def f(x=1 / 0): ...")
    assert failure.example == "import f"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("os._exit(0)", "it ended with status 0 before it returned"),
        ("os._exit(3)", "it ended with status 3 before it returned"),
        ("os.abort()", "it ended by SIGABRT before it returned"),
        ("os.write(3, b'[' * 60_000); os._exit(0)", "it ended with status 0 before it returned"),
        ("os.write(3, b'{}'); os._exit(0)", "it ended with status 0 before it returned"),
        ("raise SystemExit(4)", "it raised SystemExit: 4\n  line 3, in f: raise SystemExit(4)"),
    ],
)
def test_an_end_without_a_report_is_a_failure(attempt: Try, how: str, said: str) -> None:
    (failure,) = attempt(f"import os\ndef f():\n    {how}", example())

    assert failure.error == said


def test_nothing_is_left_of_a_trial(
    attempt: Try, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = {*psutil.Process().children(recursive=True)}, {*threading.enumerate()}
    leave = """
import pathlib, subprocess
def f():
    pathlib.Path("/workspace/left").mkdir()
    pathlib.Path("/workspace/left/it").write_text("it")
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
"""
    assert attempt(leave, example()) == ()

    after = {*psutil.Process().children(recursive=True)}, {*threading.enumerate()}
    assert after == before
    assert [path for path in tmp_path.rglob("*") if path.parent != tmp_path] == []


def test_where_nothing_can_be_locked_in_nothing_is_tried(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", f"{REFUSE}\nguest.close()\n{REFUSED}", str(tmp_path)],
        env={**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/nowhere.sock"},
        capture_output=True,
        check=True,
    )

    message, missing = json.loads(ran.stdout)
    assert message.startswith("generated code is tried only where it is locked in")
    assert message.endswith("or leave the trials out with sandbox=False")
    assert "Operation not permitted" in missing[0]
    assert missing[-1].startswith("docker: ")
