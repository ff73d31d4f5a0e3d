"""`apothic trigger`, as it is typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = """
from apothic import App, Cron, Period, current_job

app = App("jobs")

@app.function(schedule=Cron("30 2 * * *", "Europe/Berlin"))
def nightly(full=False):
    print("at work")
    return {"rows": 3}

@app.function(schedule=Period(months=1))
def broken():
    raise ValueError("never mind")

@app.function()
def plain():
    pass
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.py"
    path.write_text(SOURCE)
    return path


def trigger(script: Path, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "apothic.cli", "trigger", f"{script}::{name}", *options]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_a_scheduled_function_is_run_and_its_next_times_are_told(script: Path) -> None:
    done = trigger(script, "nightly", "--times", "3")
    lines = done.stderr.splitlines()

    assert (done.returncode, done.stdout) == (0, '{"rows": 3}\n')
    assert lines[:2] == [
        "nightly j:1 | at work",
        "nightly: At 02:30 every day (Europe/Berlin). Next:",
    ]
    assert len(lines) == 5
    assert all(" 02:30:00 CE" in line or " 03:00:00 CE" in line for line in lines[2:])


def test_a_run_is_told_for_which_time_it_is(script: Path) -> None:
    done = trigger(script, "nightly", "--at", "2026-11-22T03:00", "--times", "0")

    assert (done.returncode, done.stdout) == (0, '{"rows": 3}\n')


@pytest.mark.parametrize(
    ("name", "options", "code", "told"),
    [
        ("broken", [], 1, "ValueError: never mind"),
        ("plain", [], 2, "has no schedule"),
        ("nightly", ["--at", "soon"], 2, "is no time"),
        ("nobody", [], 4, "there are: broken, nightly, plain"),
    ],
)
def test_what_is_wrong_is_told(
    script: Path, name: str, options: list[str], code: int, told: str
) -> None:
    done = trigger(script, name, *options)

    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr
