"""`breakpoint()` and post-mortem debugging, at real terminals and without one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.terminal import Exchange, talk

PROGRAM = """
import asyncio, os, sys, time
from apothic import App

app = App("p")

@app.function(timeout_s=1, retries=2)
def plain(x):
    y = x + 1
    breakpoint()
    z = y * 2
    return z

@app.function(timeout_s=1)
def slow(x):
    breakpoint()
    time.sleep(30)

@app.function(timeout_s=1)
def looked_at(x):
    breakpoint()
    return "done"

@app.function
async def later(x):
    y = x + 1
    breakpoint()
    await asyncio.sleep(0)
    z = y * 2
    return z

@app.function(max_containers=2)
def meet(folder):
    open(f"{folder}/{os.getpid()}", "w").close()
    while len(os.listdir(folder)) < 2:
        time.sleep(0.01)
    breakpoint()
    return "met"

@app.function
def outer(key: str):
    return inner.remote(key)

@app.function
def inner(key):
    import json
    found = {"a": 1}
    json.loads("{" if key == "json" else "1")
    return found[key]

if __name__ == "__main__":
    print("RESULT", globals()[sys.argv[1]].map(sys.argv[2:]))
"""
NUMBERS = PROGRAM.replace("map(sys.argv[2:])", "map(map(int, sys.argv[2:]))")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "prog.py").write_text(PROGRAM)
    (tmp_path / "numbers_.py").write_text(NUMBERS)
    return tmp_path


@pytest.mark.parametrize("backend", ["local", "inline"])
def test_a_person_can_step_through_a_call(folder: Path, backend: str) -> None:
    steps: list[Exchange] = [
        ("(plain jobs:1) ", "p 'y', y\n"),
        ("(plain jobs:1) ", "n\n"),
        ("(plain jobs:1) ", "w\n"),
        ("(plain jobs:1) ", "n\n"),
        ("(plain jobs:1) ", "n\n"),
    ]

    shown, _, code = talk(["numbers_.py", "plain", "4"], steps, folder, APOTHIC_BACKEND=backend)

    assert "('y', 5)" in shown
    assert "--Return--" in shown
    assert "RESULT [10]" in shown
    assert "apothic_emulator" not in shown
    assert code == 0


@pytest.mark.parametrize("backend", ["local", "inline"])
def test_a_person_can_step_through_a_coroutine(folder: Path, backend: str) -> None:
    steps: list[Exchange] = [
        ("(later jobs:1) ", "n\n"),
        ("(later jobs:1) ", "n\n"),
        ("(later jobs:1) ", "p 'z', z\n"),
        ("(later jobs:1) ", "n\n"),
        ("(later jobs:2) ", "c\n"),
    ]

    shown, _, code = talk(
        ["numbers_.py", "later", "1", "2"], steps, folder, APOTHIC_BACKEND=backend
    )

    assert "('z', 4)" in shown
    assert "RESULT [4, 6]" in shown
    assert code == 0


def test_the_time_limit_waits_for_the_person(folder: Path) -> None:
    steps: list[Exchange] = [
        ("(looked_at jobs:1) ", "import time; time.sleep(2)\n"),
        ("(looked_at jobs:1) ", "c\n"),
    ]

    shown, _, code = talk(["prog.py", "looked_at", "x"], steps, folder)

    assert "RESULT ['done']" in shown
    assert code == 0


def test_the_time_limit_holds_again_when_the_code_goes_on(folder: Path) -> None:
    shown, _, code = talk(["prog.py", "slow", "x"], [("(slow jobs:1) ", "c\n")], folder)

    assert "JobTimeout" in shown
    assert code == 1


@pytest.mark.parametrize("backend", ["local", "inline"])
def test_quitting_fails_the_job_and_is_not_tried_again(folder: Path, backend: str) -> None:
    shown, _, code = talk(
        ["numbers_.py", "plain", "1"],
        [("(plain jobs:1) ", "q\n")],
        folder,
        APOTHIC_BACKEND=backend,
    )

    assert "bdb.BdbQuit: the debugger was told to quit in plain jobs:1" in shown
    assert code == 1


def test_workers_take_turns_at_the_terminal(folder: Path) -> None:
    meeting = folder / "meeting"
    meeting.mkdir()
    steps: list[Exchange] = [
        ("(meet jobs:", "import time; time.sleep(1)\n"),  # so that the other comes to its own
        ("(meet jobs:", "n\n"),
        ("(meet jobs:", "c\n"),
    ]

    shown, _, code = talk(
        ["prog.py", "meet", str(meeting), str(meeting)],
        [*steps, ("(meet jobs:", "c\n")],
        folder,
    )

    assert "RESULT ['met', 'met']" in shown
    first, second = (shown.index(f"(meet jobs:{n})") for n in (1, 2))
    assert (shown.rindex("(meet jobs:1)") < second) or (shown.rindex("(meet jobs:2)") < first)
    assert code == 0


def test_ctrl_c_at_a_workers_prompt_ends_the_program(folder: Path) -> None:
    shown, _, code = talk(["prog.py", "slow", "x"], [("(slow jobs:1) ", "\x03")], folder)

    assert "KeyboardInterrupt" in shown
    assert code == -2


@pytest.mark.parametrize("backend", ["local", "inline"])
def test_without_a_terminal_a_breakpoint_is_passed_and_says_so(folder: Path, backend: str) -> None:
    arguments = ["-m", "apothic.cli", "run", "prog.py::meet", "--folder", str(folder)]

    run = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "APOTHIC_BACKEND": backend},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )

    line = next(n for n, text in enumerate(PROGRAM.splitlines(), 0) if "met" in text)
    place = f"{folder}/prog.py:{line}"
    assert (run.stdout, run.returncode) == ("met\n", 0), run.stderr
    assert f"apothic: breakpoint() at {place} in meet jobs:1 was passed: " in run.stderr
    assert "terminal" in run.stderr


@pytest.mark.parametrize("backend", ["local", "inline"])
def test_the_environment_has_its_say(folder: Path, backend: str) -> None:
    shown, _, code = talk(
        ["numbers_.py", "plain", "1"], [], folder, APOTHIC_BACKEND=backend, PYTHONBREAKPOINT="0"
    )

    assert "RESULT [4]" in shown
    assert code == 0


def test_post_mortem_is_in_the_users_frame_and_leaves_stdout_alone(folder: Path) -> None:
    arguments = ["-m", "apothic.cli", "run", "--pdb", "prog.py::inner", "--key", "json"]
    shown, stdout, code = talk(
        arguments,
        [("(inner jobs:1) ", "p 'found', found\n"), ("(inner jobs:1) ", "q\n")],
        folder,
        stdout=subprocess.PIPE,
    )

    assert "inner jobs:1: JSONDecodeError: Expecting property name" in shown
    assert "('found', {'a': 1})" in shown
    assert (stdout, code) == ("", 1)


def test_what_a_call_of_a_call_raised_is_looked_at_once(folder: Path) -> None:
    arguments = ["-m", "apothic.cli", "run", "prog.py::outer", "--key", "missing", "--pdb"]
    shown, _, code = talk(
        arguments,
        [("(inner jobs:2) ", "up\n"), ("(inner jobs:2) ", "q\n")],
        folder,
    )

    assert shown.count("post-mortem") == 1
    assert "KeyError: 'missing'" in shown
    assert code == 1


def test_a_result_still_goes_to_stdout_alone(folder: Path) -> None:
    arguments = ["-m", "apothic.cli", "run", "--pdb", "prog.py::inner", "--key", "a"]

    shown, stdout, code = talk(arguments, [], folder, stdout=subprocess.PIPE)

    assert (shown, stdout, code) == ("", "1\n", 0)
