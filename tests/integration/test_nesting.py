"""Functions that call functions."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from apothic import App, JobCancelled, RemoteError, SlotDeadlock, WorkerLost
from tests.integration.support import read_when_there, wait_gone

pytestmark = pytest.mark.usefixtures("clean")
app = App("nesting")


@app.function()
def add(a: int, b: int) -> int:
    return a + b


@app.function()
def twice(n: int) -> int:
    return add.remote(n, n)


@app.function()
def dive(level: int) -> int:
    return level if not level else dive.remote(level - 1) + 1


@app.function(max_containers=1, max_pending_tasks=1)
def ring(level: int) -> int:
    return sum(back.map([level - 1] * 4)) if level else 1


@app.function(max_containers=1, max_pending_tasks=1)
def back(level: int) -> int:
    return sum(job.wait() for job in ring.spawn_map([level - 1] * 4)) if level else 1


@app.function()
def die() -> None:
    os._exit(1)


@app.function()
def call_die() -> None:
    die.remote()


@app.function()
def fan(n: int) -> list[int]:
    return add.starmap((i, i) for i in range(n))


@app.function()
def hang(where: str) -> None:
    Path(where).write_text(f"{os.getpid()}\n")
    time.sleep(60)


@app.function()
def call_hang(where: str) -> None:
    hang.remote(where)


def test_a_function_may_call_another() -> None:
    assert twice.remote(4) == 8


def test_a_function_may_map_another() -> None:
    assert fan.remote(10) == [2 * i for i in range(10)]


def test_a_function_that_waits_for_itself_takes_nobodys_place() -> None:
    assert dive.remote(5) == 5


def test_a_ring_of_functions_whose_queues_are_full_goes_on() -> None:
    assert ring.remote(2) == 4**2


def test_33_levels_are_refused() -> None:
    with pytest.raises((SlotDeadlock, RemoteError), match="32 callers"):
        dive.remote(33)


def test_the_death_below_arrives_above() -> None:
    with pytest.raises((WorkerLost, RemoteError), match="exited with code 1"):
        call_die.remote()


def test_cancelling_the_caller_cancels_the_called(tmp_path: Path) -> None:
    job = call_hang.spawn(str(tmp_path / "pid"))
    pid = int(read_when_there(tmp_path / "pid"))
    job.cancel()

    with pytest.raises(JobCancelled):
        job.wait()
    wait_gone(pid)
