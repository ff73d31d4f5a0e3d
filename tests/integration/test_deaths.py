"""Processes that die under a call, one way or another."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apothic import Function, WorkerLost
from tests.integration.support import AT_ONCE, logs, read_when_there, runner, wait_gone, zygote

pytestmark = pytest.mark.usefixtures("clean")
Run = Function[..., Any]


def lost(run: Run, action: Callable[..., Any], *args: Any) -> WorkerLost:
    with pytest.raises(WorkerLost) as caught:
        run.remote(action, *args)
    return caught.value


@pytest.mark.parametrize("code", [0, 7])
def test_os_exit_is_a_loss_whatever_the_code(run: Run, code: int) -> None:
    error = lost(run, lambda: os._exit(code))

    assert (error.data["reason"], error.data["exit_code"]) == ("exit", code)
    assert error.data["maybe_ran"]


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGABRT", "SIGILL", "SIGBUS", "SIGTERM"])
def test_a_deadly_signal_is_a_loss_that_names_it(run: Run, name: str) -> None:
    number = getattr(signal, name)

    error = lost(run, lambda: os.kill(os.getpid(), number))

    assert (error.data["reason"], error.data["signal"]) == ("signal", number)


def test_a_real_segfault_leaves_its_stack_in_the_log(run: Run) -> None:
    job = run.spawn(lambda: ctypes.string_at(0))

    with pytest.raises(WorkerLost):
        job.wait()
    assert "Segmentation fault" in logs(job)
    assert "string_at" in logs(job)


def test_a_lost_job_keeps_what_it_printed(run: Run) -> None:
    def action() -> None:
        print("half a line", end="")
        os.kill(os.getpid(), signal.SIGKILL)

    job = run.spawn(action)

    with pytest.raises(WorkerLost):
        job.wait()
    assert logs(job) == "half a line"


def test_a_lost_job_runs_again_if_it_may(tmp_path: Path) -> None:
    marker = tmp_path / "seen"

    def action() -> str:
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return "second try"

    assert runner(retries=AT_ONCE).remote(action) == "second try"


def test_a_job_that_kills_every_process_ends_as_poison() -> None:
    error = lost(runner(retries=1), lambda: os._exit(1))

    assert error.data["reason"] == "poison"


def test_closing_every_descriptor_loses_only_the_own_job(run: Run) -> None:
    error = lost(run, lambda: os.closerange(3, 65536))

    assert error.data["reason"] == "protocol"


def test_closing_every_descriptor_and_going_on_is_noticed_at_once(run: Run) -> None:
    def action() -> None:
        os.closerange(3, 65536)
        time.sleep(60)

    began = time.monotonic()
    error = lost(run, action)

    assert error.data["reason"] == "protocol"
    assert time.monotonic() - began < 5


def test_overwriting_every_descriptor_loses_only_the_own_job(run: Run) -> None:
    def action() -> None:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for entry in list(Path("/proc/self/fd").iterdir()):
            if int(entry.name) != nowhere:
                os.dup2(nowhere, int(entry.name))

    error = lost(run, action)

    assert error.data["reason"] == "protocol"


def test_closing_the_standard_descriptors_harms_nobody(run: Run) -> None:
    run.remote(lambda: os.closerange(0, 3))

    job = run.spawn(lambda: subprocess.call(["echo", "from a shell"]))
    job.wait()
    assert logs(job) == "from a shell\n"


def _sockets() -> list[int]:
    found: list[int] = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if str(entry.readlink()).startswith("socket:"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def writes(data: bytes) -> Callable[[], None]:
    """Code that writes to the sockets of the worker that runs it."""
    find = _sockets

    def action() -> None:
        for fd in find():
            os.write(fd, data)
        time.sleep(60)

    return action


PROMISE = b"\x05\0\0\0" + b"\0" * 12 + (1 << 63).to_bytes(8, "little")
"""A header that promises 2 to the 63 bytes."""


@pytest.mark.parametrize(
    "garbage", [b"\0" * 4096, b"\xff" * 4096, b"GET / HTTP/1.1\r\n\r\n" * 9, PROMISE]
)
def test_garbage_on_the_protocol_sockets_loses_only_the_own_job(run: Run, garbage: bytes) -> None:
    assert lost(run, writes(garbage)).data["reason"] == "protocol"


def test_a_forged_report_of_another_job_changes_only_the_own_one(run: Run) -> None:
    other = runner().spawn(lambda: time.sleep(0.2) or "untouched")
    number = int(other.job_id.partition(":")[2])
    body = b"\x80\x05\x8c\x06forged."
    frame = b"\x05\0\0\0\1\0\0\0" + number.to_bytes(8, "little") + len(body).to_bytes(8, "little")

    lost(run, writes(frame + body))
    assert other.wait() == "untouched"


def test_a_worker_killed_from_outside_is_reported_quickly(run: Run, tmp_path: Path) -> None:
    where = tmp_path / "pid"
    job = run.spawn(lambda: where.write_text(f"{os.getpid()}\n") and time.sleep(60))
    pid = int(read_when_there(where))

    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerLost):
        job.wait()

    assert time.monotonic() - began < 0.5


def test_an_idle_worker_that_is_killed_is_replaced(run: Run) -> None:
    pid = run.remote(os.getpid)
    os.kill(pid, signal.SIGKILL)
    wait_gone(pid)

    assert run.remote(os.getpid) != pid


def test_an_idle_worker_ends_on_sigterm(run: Run) -> None:
    pid = run.remote(os.getpid)
    os.kill(pid, signal.SIGTERM)

    wait_gone(pid)


def test_a_killed_zygote_loses_its_jobs_and_is_replaced(run: Run, tmp_path: Path) -> None:
    where = tmp_path / "pid"
    job = run.spawn(lambda: where.write_text(f"{os.getpid()}\n") and time.sleep(60))
    pid = int(read_when_there(where))
    os.kill(zygote(), signal.SIGKILL)

    with pytest.raises(WorkerLost):
        job.wait()
    wait_gone(pid)


def test_jobs_of_a_killed_zygote_run_again_on_the_next(tmp_path: Path) -> None:
    where = tmp_path / "pid"

    def action() -> str:
        if where.exists():
            return "second try"
        where.write_text(f"{os.getpid()}\n")
        time.sleep(60)
        return ""

    job = runner(retries=AT_ONCE).spawn(action)
    read_when_there(where)
    os.kill(zygote(), signal.SIGKILL)

    assert job.wait() == "second try"


def test_what_daemonised_under_a_killed_zygote_is_swept(run: Run, tmp_path: Path) -> None:
    where = tmp_path / "pid"

    def action() -> None:
        subprocess.Popen(["setsid", "sh", "-c", f"echo $$ > {where}; exec sleep 60"])
        time.sleep(60)

    job = run.spawn(action)
    daemon = int(read_when_there(where))
    os.kill(zygote(), signal.SIGKILL)
    with pytest.raises(WorkerLost):
        job.wait()

    wait_gone(daemon)


def test_of_twenty_jobs_the_other_nineteen_do_not_notice_a_killed_worker(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run = runner(retries=AT_ONCE, max_containers=2)

    def action(index: int) -> int:
        with log.open("a") as file:
            file.write(f"{index}\n")
        if index == 7 and log.read_text().split().count("7") == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.005)
        return index

    assert run.starmap([(action, i) for i in range(20)]) == list(range(20))
    begun = sorted(map(int, log.read_text().split()))
    assert begun == sorted([*range(20), 7])


def test_a_job_is_tried_again_within_50_ms_of_its_workers_death(tmp_path: Path) -> None:
    run = runner(retries=AT_ONCE, max_containers=2)
    times = tmp_path / "times"

    def action() -> None:
        with times.open("a") as file:
            file.write(f"{time.monotonic()}\n")
        if len(times.read_text().split()) == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    run.remote(lambda: None)
    run.remote(action)
    first, second = map(float, times.read_text().split())
    print(f"begun again {1000 * (second - first):.1f} ms after the kill")

    assert second - first < 0.5  # 50 ms where nothing else uses the machine
