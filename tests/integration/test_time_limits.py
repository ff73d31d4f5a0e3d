"""Calls that take too long, and calls that are cancelled: stopped from outside, come what may."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from apothic import App, Function, JobCancelled, JobTimeout, Retries
from tests.integration.support import logs, read_when_there, runner, wait_gone

pytestmark = pytest.mark.usefixtures("clean")
Run = Function[..., Any]


@pytest.fixture
def short(clean: None) -> Run:
    """A function whose calls may take a fifth of a second."""
    run = runner(timeout_s=0.2)
    run.remote(lambda: None)
    return run


def timed_out(run: Run, action: Any, *args: Any) -> JobTimeout:
    with pytest.raises(JobTimeout) as caught:
        run.remote(action, *args)
    assert run.remote(lambda: "fine") == "fine"
    return caught.value


def test_a_time_out_says_where_the_code_was(short: Run) -> None:
    def wait_for_godot() -> None:
        time.sleep(60)

    error = timed_out(short, wait_for_godot)

    assert "wait_for_godot" in error.data["stack"]


def test_a_time_out_interrupts_a_system_call(short: Run, tmp_path: Path) -> None:
    where = tmp_path / "cleaned"

    def action() -> None:
        try:
            time.sleep(60)
        finally:
            where.write_text("up\n")

    timed_out(short, action)

    assert read_when_there(where) == "up"


def test_a_call_that_swallows_everything_is_killed(short: Run) -> None:
    def action() -> None:
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass

    timed_out(short, action)


def test_a_call_that_ignores_sigterm_is_killed(short: Run) -> None:
    def action() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)

    timed_out(short, action)


def test_a_call_that_holds_the_gil_in_c_is_killed_and_shown(short: Run) -> None:
    def hold() -> None:
        sum(itertools.repeat(1))

    error = timed_out(short, hold)

    assert "hold" in error.data["stack"]


def test_a_stopped_process_is_killed(short: Run) -> None:
    timed_out(short, lambda: os.kill(os.getpid(), signal.SIGSTOP))


def test_a_result_whose_pickling_hangs_is_stopped(short: Run) -> None:
    class Slow:
        def __reduce__(self) -> Any:
            time.sleep(60)

    timed_out(short, Slow)


def test_a_time_out_is_tried_again_if_it_may_be(tmp_path: Path) -> None:
    marker = tmp_path / "seen"

    def action() -> str:
        if not marker.exists():
            marker.touch()
            time.sleep(60)
        return "second try"

    run = runner(timeout_s=0.2, retries=Retries(max_retries=1, initial_delay=0))
    assert run.remote(action) == "second try"


def test_a_timed_out_job_keeps_its_text(short: Run) -> None:
    def action() -> None:
        print("so far")
        time.sleep(60)

    job = short.spawn(action)

    with pytest.raises(JobTimeout):
        job.wait()
    assert logs(job) == "so far\n"


def test_a_call_is_never_stopped_early(clean: None) -> None:
    run = runner(timeout_s=0.3)

    assert run.remote(lambda: time.sleep(0.25) or "in time") == "in time"


def test_cancelling_runs_finally_blocks(run: Run, tmp_path: Path) -> None:
    began, where = tmp_path / "began", tmp_path / "cleaned"

    def action() -> None:
        try:
            began.write_text("yes\n")
            time.sleep(60)
        finally:
            where.write_text("up\n")

    job = run.spawn(action)
    read_when_there(began)
    job.cancel()

    with pytest.raises(JobCancelled):
        job.wait()
    assert read_when_there(where) == "up"


def test_an_async_call_is_cancelled_like_a_task(clean: None, tmp_path: Path) -> None:
    where = tmp_path / "log"

    async def call() -> None:
        with where.open("a") as file:
            try:
                print("began", file=file, flush=True)
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                print("cancelled", file=file)
                raise

    job = App("tasks").function()(call).spawn()
    read_when_there(where)
    job.cancel()

    with pytest.raises(JobCancelled):
        job.wait()
    assert where.read_text().split() == ["began", "cancelled"]


def test_an_async_call_that_blocks_its_loop_is_stopped(clean: None, tmp_path: Path) -> None:
    where = tmp_path / "cleaned"

    async def call() -> None:
        try:
            time.sleep(60)
        finally:
            where.write_text("up\n")

    with pytest.raises(JobTimeout):
        App("tasks").function(timeout_s=0.2)(call).remote()
    assert read_when_there(where) == "up"


@pytest.mark.parametrize("kind", ["threads", "tasks"])
def test_of_several_calls_in_a_worker_only_the_cancelled_one_stops(
    clean: None, tmp_path: Path, kind: str
) -> None:
    async def task(name: str) -> str:
        (tmp_path / name).write_text("began\n")
        while not (tmp_path / f"end-{name}").exists():
            await asyncio.sleep(0.001)
        return name

    def thread(name: str) -> str:
        (tmp_path / name).write_text("began\n")
        while not (tmp_path / f"end-{name}").exists():
            time.sleep(0.001)
        return name

    function: Any = task if kind == "tasks" else thread
    run: Any = App(kind).function(concurrent_requests=2)(function)
    doomed, other = run.spawn("doomed"), run.spawn("other")
    read_when_there(tmp_path / "doomed")
    read_when_there(tmp_path / "other")
    doomed.cancel()
    with pytest.raises(JobCancelled):
        doomed.wait()
    (tmp_path / "end-other").touch()

    assert other.wait() == "other"


def test_of_several_calls_one_that_hangs_is_stopped_with_its_worker(
    clean: None, tmp_path: Path
) -> None:
    run: Any = runner(concurrent_requests=2)
    where = tmp_path / "pid"
    job = run.spawn(lambda: where.write_text(f"{os.getpid()}\n") and threading.Event().wait())
    pid = int(read_when_there(where))
    job.cancel()

    with pytest.raises(JobCancelled):
        job.wait()
    wait_gone(pid)


def test_a_call_can_be_cancelled_while_its_function_loads(clean: None) -> None:
    class Slow:
        def __reduce__(self) -> Any:
            return time.sleep, (0.5,)

    slow = Slow()
    job = App("slow").function()(lambda: slow).spawn()
    job.cancel()

    with pytest.raises(JobCancelled):
        job.wait()
