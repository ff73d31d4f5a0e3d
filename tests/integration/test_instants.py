"""Processes killed at one instant: a job is on its way, has arrived, or has been done.

A worker is held at the instant by stopping it, and killed there.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apothic import Function, Job, JobStatus, WorkerLost
from apothic_emulator.core.attempts import MOST_LOSSES
from tests.integration.support import (
    AT_ONCE,
    logs,
    nothing_leaks,
    read_when_there,
    runner,
    wait_gone,
    wait_until,
    zygote,
)

Run = Function[..., Any]


@pytest.fixture
def only() -> Iterator[Callable[..., Run]]:
    """A function with one worker at a time, which must still work after the test."""
    made: list[Run] = []

    def make(**options: Any) -> Run:
        made.append(runner(max_containers=1, **options))
        return made[-1]

    with nothing_leaks():
        yield make
        for run in made:
            assert run.remote(lambda: "fine") == "fine"


Only = Callable[..., Run]


class StopsOnArrival:
    """Stops the first process that unpickles it, and says which one that was."""

    def __init__(self, where: Path) -> None:
        self.where = where

    def __reduce__(self) -> Any:
        return stop_first, (self.where,)


class StopsOnDeparture(StopsOnArrival):
    """Stops the first process that pickles it."""

    def __reduce__(self) -> Any:
        return str, (stop_first(self.where),)


def stop_first(where: Path) -> str:
    if not where.exists():
        where.write_text(f"{os.getpid()}\n")
        os.kill(os.getpid(), signal.SIGSTOP)
    return "went on"


def wait_stopped(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat")
    wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", f"for {pid} to stop")
    return pid


def stopped_at(where: Path) -> int:
    return wait_stopped(int(read_when_there(where)))


def stop_idle(run: Run) -> int:
    """Stop the worker while it waits for a job: what is dispatched to it cannot be received."""
    pid = run.remote(os.getpid)
    os.kill(pid, signal.SIGSTOP)
    return wait_stopped(pid)


def wait_dispatched(job: Job[Any]) -> Job[Any]:
    wait_until(lambda: job.status() is JobStatus.RUNNING)
    return job


def tally(where: Path, *_: object) -> int:
    """What a test calls: how often it has been called."""
    with where.open("a") as file:
        file.write("x")
    return len(where.read_text())


def kill_worker(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def kill_zygote(pid: int) -> None:
    os.kill(zygote(), signal.SIGKILL)


killers = pytest.mark.parametrize("kill", [kill_worker, kill_zygote])


# --- dispatched, and not received -----------------------------------------------------------------


@killers
def test_a_job_that_no_worker_has_received_runs_once_and_needs_no_retry(
    only: Only, tmp_path: Path, kill: Callable[[int], None]
) -> None:
    run = only()
    pid = stop_idle(run)
    job = wait_dispatched(run.spawn(tally, tmp_path / "calls"))
    kill(pid)

    assert job.wait() == 1


def test_all_that_a_worker_had_before_it_and_did_not_receive_runs_once(
    only: Only, tmp_path: Path
) -> None:
    run = only()
    run.map([os.getpid] * 50)  # calls this short are sent ahead
    pid = stop_idle(run)
    jobs = [run.spawn(tally, tmp_path / f"calls {n}") for n in range(3)]
    wait_dispatched(jobs[0])
    kill_worker(pid)

    assert [job.wait() for job in jobs] == [1, 1, 1]


@killers
def test_a_large_argument_that_was_underway_reaches_the_next_worker_whole(
    only: Only, kill: Callable[[int], None]
) -> None:
    run = only()
    pid = stop_idle(run)
    data = os.urandom(1 << 20) * 16
    job = wait_dispatched(run.spawn(bytes, pickle.PickleBuffer(data)))
    kill(pid)

    assert job.wait() == data


# --- received, and not begun ----------------------------------------------------------------------


@killers
def test_a_job_whose_worker_dies_before_its_code_begins_counts_as_begun(
    only: Only, tmp_path: Path, kill: Callable[[int], None]
) -> None:
    where, calls = tmp_path / "pid", tmp_path / "calls"
    job = only().spawn(tally, calls, StopsOnArrival(where))
    kill(stopped_at(where))

    with pytest.raises(WorkerLost) as caught:
        job.wait()
    assert not calls.exists()
    assert (caught.value.data["maybe_ran"], caught.value.data["signal"]) == (True, 9)


@killers
def test_a_job_whose_worker_dies_before_its_code_begins_runs_again_if_it_may(
    only: Only, tmp_path: Path, kill: Callable[[int], None]
) -> None:
    where = tmp_path / "pid"
    job = only(retries=AT_ONCE).spawn(tally, tmp_path / "calls", StopsOnArrival(where))
    kill(stopped_at(where))

    assert job.wait() == 1


def test_a_job_that_stands_behind_one_that_was_received_is_not_lost_with_it(
    only: Only, tmp_path: Path
) -> None:
    run, where = only(), tmp_path / "pid"
    run.map([os.getpid] * 50)
    first = run.spawn(print, StopsOnArrival(where))
    pid = stopped_at(where)
    second = run.spawn(tally, tmp_path / "calls")
    kill_worker(pid)

    with pytest.raises(WorkerLost):
        first.wait()
    assert second.wait() == 1


class Deadly:
    """Kills every process that unpickles it."""

    def __reduce__(self) -> Any:
        return signal.raise_signal, (int(signal.SIGKILL),)


def test_a_job_that_no_worker_can_receive_uses_its_losses_up(only: Only) -> None:
    with pytest.raises(WorkerLost) as caught:
        only(retries=AT_ONCE).remote(print, Deadly())

    assert caught.value.data["reason"] == "poison"
    assert caught.value.data["losses"] == MOST_LOSSES + 1


# --- done, and not told ---------------------------------------------------------------------------


def stops_as_it_leaves(where: Path) -> Callable[[Path], Any]:
    def action(calls: Path) -> Any:
        print("done")
        tally(calls)
        return StopsOnDeparture(where)

    return action


@killers
def test_a_job_that_has_returned_and_is_not_pickled_yet_is_lost(
    only: Only, tmp_path: Path, kill: Callable[[int], None]
) -> None:
    where, calls = tmp_path / "pid", tmp_path / "calls"
    job = only().spawn(stops_as_it_leaves(where), calls)
    kill(stopped_at(where))

    with pytest.raises(WorkerLost) as caught:
        job.wait()
    assert calls.read_text() == "x"
    assert (caught.value.data["maybe_ran"], caught.value.data["signal"]) == (True, 9)


def test_a_job_that_is_lost_as_its_result_is_pickled_keeps_what_it_printed(
    only: Only, tmp_path: Path
) -> None:
    where = tmp_path / "pid"
    job = only().spawn(stops_as_it_leaves(where), tmp_path / "calls")
    kill_worker(stopped_at(where))

    with pytest.raises(WorkerLost):
        job.wait()
    assert logs(job) == "done\n"


@killers
def test_a_job_that_is_lost_as_its_result_is_pickled_runs_again_if_it_may(
    only: Only, tmp_path: Path, kill: Callable[[int], None]
) -> None:
    where, calls = tmp_path / "pid", tmp_path / "calls"
    job = only(retries=AT_ONCE).spawn(stops_as_it_leaves(where), calls)
    kill(stopped_at(where))

    assert job.wait() == "went on"
    assert calls.read_text() == "xx"


def test_what_a_job_started_ends_with_a_worker_that_dies_as_it_pickles_the_result(
    only: Only, tmp_path: Path
) -> None:
    where, daemon = tmp_path / "pid", tmp_path / "daemon"

    def action() -> Any:
        subprocess.Popen(["setsid", "sh", "-c", f"echo $$ > {daemon}; exec sleep 60"])
        return StopsOnDeparture(where)

    job = only().spawn(action)
    worker, started = stopped_at(where), int(read_when_there(daemon))
    kill_worker(worker)

    with pytest.raises(WorkerLost):
        job.wait()
    wait_gone(started)
