"""Functions that take several calls at once, in real processes."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from apothic import App, JobCancelled, JobTimeout, concurrent
from tests.integration.support import read_when_there, wait_until

pytestmark = pytest.mark.usefixtures("clean")
app = App("concurrency")


@app.function(timeout_s=30)
@concurrent(max_inputs=3)
def run(action: Any, *args: Any) -> Any:
    return action(*args)


@concurrent(max_inputs=3)
@app.function(timeout_s=30)
async def run_async(action: Any, *args: Any) -> Any:
    return await action(*args)


@app.function(timeout_s=0.5)
@concurrent(max_inputs=2)
def hasty(action: Any, *args: Any) -> Any:
    return action(*args)


def nap_and_tell(_: int) -> tuple[int, int]:
    time.sleep(0.2)
    return os.getpid(), threading.get_ident()


async def anap_and_tell(_: int) -> tuple[int, int]:
    await asyncio.sleep(0.2)
    return os.getpid(), threading.get_ident()


def until(path: Path, began: Path) -> str:
    """Sleep in short pieces until a file is there."""
    began.write_text("yes\n")
    while not path.exists():
        time.sleep(0.01)
    return "done"


def test_sync_calls_run_on_threads_of_one_process() -> None:
    told = run.starmap((nap_and_tell, n) for n in range(3))

    assert len({pid for pid, _ in told}) == 1
    assert len({thread for _, thread in told}) == 3


def test_async_calls_run_as_tasks_on_one_thread() -> None:
    told = run_async.starmap((anap_and_tell, n) for n in range(3))

    assert len(set(told)) == 1


def test_cancelling_one_call_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    go, began = tmp_path / "go", [tmp_path / "a", tmp_path / "b"]
    jobs = [run.spawn(until, go, file) for file in began]
    for file in began:
        read_when_there(file)

    jobs[0].cancel()
    with pytest.raises(JobCancelled):
        jobs[0].wait()
    go.touch()

    assert jobs[1].wait() == "done"


def test_a_call_that_takes_too_long_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    slow = hasty.spawn(until, tmp_path / "never", tmp_path / "a")
    read_when_there(tmp_path / "a")
    pid = hasty.remote(os.getpid)

    with pytest.raises(JobTimeout):
        slow.wait()

    assert hasty.remote(os.getpid) == pid


def test_callers_above_callers_pass_through_one_process() -> None:
    def deep(levels: int) -> int:
        return levels if not levels else run.remote(deep, levels - 1) + 1

    assert run.remote(deep, 5) == 5


def test_as_many_calls_as_it_takes_are_open_at_once(tmp_path: Path) -> None:
    files = [tmp_path / str(n) for n in range(3)]
    jobs = [run.spawn(until, tmp_path / "go", file) for file in files]
    fourth = run.spawn(until, tmp_path / "go", tmp_path / "fourth")
    wait_until(lambda: all(file.exists() for file in files))

    assert fourth.status() == "queued"
    (tmp_path / "go").touch()
    assert [job.wait() for job in [*jobs, fourth]] == ["done"] * 4
