"""Processes and threads that user code starts, and what becomes of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from apothic import Function, JobCancelled, WorkerLost
from tests.integration.support import (
    descendants,
    is_alive,
    listening,
    read_when_there,
    runner,
    wait_gone,
    wait_until,
)

pytestmark = pytest.mark.usefixtures("clean")
Run = Function[..., Any]


def test_a_program_and_its_workers_can_be_reached_from_nowhere(run: Run) -> None:
    before = listening({os.getpid(), *descendants()})
    run.remote(os.getpid)

    below = descendants()

    assert len(below) > 1
    assert listening({os.getpid(), *below}) == before


def test_a_child_that_is_left_ends_with_its_job(run: Run) -> None:
    pid = run.remote(lambda: subprocess.Popen(["sleep", "60"]).pid)

    wait_gone(pid)


def test_a_daemon_ends_with_its_job(run: Run, tmp_path: Path) -> None:
    where = tmp_path / "pid"

    def action() -> None:
        if not os.fork():
            os.setsid()
            if not os.fork():
                where.write_text(f"{os.getpid()}\n")
                time.sleep(60)
            os._exit(0)
        while not where.exists():
            time.sleep(0.001)

    run.remote(action)

    wait_gone(int(read_when_there(where)))


def test_everything_below_a_killed_worker_is_killed(run: Run, tmp_path: Path) -> None:
    where = tmp_path / "pid"

    def action() -> None:
        subprocess.Popen(["setsid", "sh", "-c", f"echo $$ > {where}; exec sleep 60"])
        while not where.exists():
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(WorkerLost):
        run.remote(action)

    wait_gone(int(read_when_there(where)))


def test_a_fork_that_returns_too_reports_nothing(run: Run) -> None:
    assert run.remote(lambda: os.fork() and "parent") == "parent"


def test_a_fork_that_raises_reports_nothing(run: Run) -> None:
    def action() -> str:
        if not os.fork():
            raise ValueError("in the copy")
        os.wait()
        return "parent"

    assert run.remote(action) == "parent"


def test_a_fork_of_an_async_call_reports_nothing() -> None:
    from apothic import App

    async def call() -> str:
        if not os.fork():
            return "child"
        os.wait()
        return "parent"

    function: Any = App("forks").function()(call)
    assert function.remote() == "parent"


def test_a_worker_that_left_nothing_is_used_again(run: Run) -> None:
    def action() -> int:
        subprocess.run(["true"], check=True)
        return os.getpid()

    assert run.remote(action) == run.remote(action)


def test_a_worker_with_a_leftover_thread_is_not_used_again(run: Run) -> None:
    def action() -> int:
        threading.Thread(target=time.sleep, args=(60,)).start()
        return os.getpid()

    assert run.remote(action) != run.remote(os.getpid)


def test_a_pool_of_idle_threads_may_stay(run: Run) -> None:
    def action() -> int:
        pool = sys.__dict__.setdefault("a_pool", ThreadPoolExecutor(1))
        return int(pool.submit(os.getpid).result())

    assert run.remote(action) == run.remote(action)


def test_multiprocessing_works_inside(run: Run) -> None:
    def action() -> list[int]:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(abs, [-1, -2, -3])

    assert run.remote(action) == [1, 2, 3]


def test_exit_handlers_run_when_a_worker_is_closed(tmp_path: Path) -> None:
    from apothic._connect import connected

    run, where = runner(), tmp_path / "ended"

    def action() -> None:
        import atexit

        atexit.register(lambda: where.write_text("yes\n"))

    run.remote(action)
    backend = connected()
    assert backend is not None
    backend.close()

    assert where.read_text() == "yes\n"


def test_an_exit_handler_that_hangs_is_cut_short(run: Run) -> None:
    def action() -> int:
        import atexit

        atexit.register(time.sleep, 60)
        subprocess.Popen(["sleep", "60"])  # so that the worker is not used again
        return os.getpid()

    wait_gone(run.remote(action))


def test_signal_handlers_of_user_code_stop_nobody(run: Run, tmp_path: Path) -> None:
    where = tmp_path / "pid"

    def action() -> None:
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGCHLD):
            signal.signal(name, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
        where.write_text(f"{os.getpid()}\n")
        time.sleep(60)

    job = run.spawn(action)
    pid = int(read_when_there(where))
    job.cancel()

    with pytest.raises(JobCancelled):
        job.wait()
    wait_gone(pid)


def test_nothing_outlives_a_killed_user(tmp_path: Path) -> None:
    script, where = tmp_path / "script.py", tmp_path / "pids"
    script.write_text(f"""
import os, subprocess, time
from apothic import App
app = App("doomed")
@app.function()
def work():
    child = subprocess.Popen(["setsid", "sleep", "60"])
    with open({str(where)!r}, "w") as file:
        print(os.getpid(), os.getppid(), child.pid, file=file)
    time.sleep(60)
work.remote()
""")
    program = subprocess.Popen([sys.executable, str(script)])
    pids = list(map(int, read_when_there(where).split()))
    program.kill()
    program.wait()

    wait_until(lambda: not any(map(is_alive, pids)), "for the end of all")


def test_cwd_environment_and_umask_are_put_back(run: Run) -> None:
    def state() -> Any:
        umask = os.umask(0)
        os.umask(umask)
        return str(Path.cwd()), os.environ.get("LEFT"), umask

    def action() -> None:
        os.chdir("/")
        os.environ["LEFT"] = "over"
        os.umask(0o777)

    before = run.remote(state)
    run.remote(action)

    assert run.remote(state) == before


def test_workers_draw_different_random_numbers() -> None:
    import random

    def draw() -> float:
        return random.random()

    one, other = runner(), runner(timeout_s=9)

    assert one.remote(draw) != other.remote(draw)
