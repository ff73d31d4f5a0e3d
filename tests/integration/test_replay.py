"""Jobs that failed are run again with the same input."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.terminal import talk

PROGRAM = """
from apothic import App, Retries

app = App("p")

class Item:
    def __init__(self, value):
        self.value = value

@app.function
def divide(item, by=2):
    print("dividing", item.value)
    return item.value / by

@app.function(retries=Retries(max_retries=1, initial_delay=0))
def outer(item):
    return divide.remote(item, by=0)

@app.function
def count(most):
    yield from range(most)
    raise KeyError("after all")

@app.function
def large(data):
    raise ValueError(len(data))

@app.function
def fine():
    return 1

@app.local_entrypoint()
def main():
    try:
        divide.map([Item(1), Item("x")])
    except TypeError:
        pass
    outer.remote(Item(4))

@app.local_entrypoint()
def handled():
    try:
        divide.remote(Item("x"))
    except TypeError:
        pass

@app.local_entrypoint()
def items():
    list(count.remote_gen(2))

@app.local_entrypoint()
def too_large():
    large.remote("x" * 100_000)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "prog.py").write_text(PROGRAM)
    return tmp_path


def apothic(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "apothic.cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_failed_job_is_run_again_with_the_same_input(folder: Path) -> None:
    run = apothic(folder, "run", "prog.py::main")
    assert run.returncode == 1
    assert "jobs:3 and 3 more failed; run it again: apothic replay jobs:3 --pdb" in run.stderr

    again = apothic(folder, "replay", "jobs:2")

    assert again.returncode == 1
    assert "again: jobs:2, prog.py::divide" in again.stderr
    assert "it ended as failed: TypeError: unsupported operand" in again.stderr
    assert "dividing x" in again.stderr
    assert "prog.py" in again.stderr


def test_what_was_mended_gives_its_result(folder: Path) -> None:
    apothic(folder, "run", "prog.py::main")
    (folder / "prog.py").write_text(PROGRAM.replace("/ by", "if by == 0 else 0"))

    again = apothic(folder, "replay", "@failed")

    assert (again.stdout, again.returncode) == ("4\n", 0)


def test_a_failure_that_was_handled_is_kept_quietly(folder: Path) -> None:
    run = apothic(folder, "run", "prog.py::handled")

    assert (run.stderr, run.returncode) == ("divide j:1 | dividing x\n", 0)
    assert apothic(folder, "replay", "jobs:1").returncode == 1


def test_what_succeeds_leaves_nothing(folder: Path) -> None:
    assert apothic(folder, "run", "prog.py::fine").stdout == "1\n"

    assert not (folder / ".apothic").exists()


def test_a_generator_is_run_again(folder: Path) -> None:
    apothic(folder, "run", "prog.py::items")

    again = apothic(folder, "replay", "jobs:1")

    assert again.stdout == "0\n1\n"
    assert "KeyError: 'after all'" in again.stderr


def test_a_large_input_is_not_kept(folder: Path) -> None:
    run = apothic(folder, "run", "prog.py::too_large")

    assert run.returncode == 1
    assert "run it again" not in run.stderr
    assert apothic(folder, "replay", "jobs:1").returncode == 4


def test_a_job_can_be_run_again_in_the_debugger(folder: Path) -> None:
    apothic(folder, "run", "prog.py::main")

    shown, _, code = talk(
        ["-m", "apothic.cli", "replay", "jobs:2", "--pdb"],
        [("(divide jobs:1) ", "p 'value', item.value\n"), ("(divide jobs:1) ", "q\n")],
        folder,
    )

    assert "('value', 'x')" in shown
    assert code == 1


@pytest.mark.parametrize(
    ("before", "after", "code", "told"),
    [
        ("def divide(item, by=2)", "def divide(item, *, by)", 2, "missing a required argument"),
        ("def divide", "def quotient", 4, "no function p/divide is declared"),
        ("class Item", "class Thing", 2, "cannot be rebuilt with the code as it is now"),
        ("app = App", "syntax error", 1, "SyntaxError"),
    ],
)
def test_what_changed_since_is_said(
    folder: Path, before: str, after: str, code: int, told: str
) -> None:
    apothic(folder, "run", "prog.py::main")
    (folder / "prog.py").write_text(PROGRAM.replace(before, after))

    again = apothic(folder, "replay", "jobs:2")

    assert again.returncode == code
    assert told in again.stderr


def test_a_file_that_is_gone_is_not_found(folder: Path) -> None:
    apothic(folder, "run", "prog.py::main")
    (folder / "prog.py").unlink()

    again = apothic(folder, "replay", "jobs:2")

    assert again.returncode == 4
    assert "which is not there any more" in again.stderr


def test_an_unknown_job_is_not_found(folder: Path) -> None:
    assert apothic(folder, "replay", "jobs:2").returncode == 4
    assert apothic(folder, "replay", "jobs").returncode == 2
