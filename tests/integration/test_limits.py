"""Memory and cores that real processes may use, by every means that this machine has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apothic import App, Function, InvalidOption, MemoryLimitExceeded, WorkerLost
from apothic._connect import connect
from apothic_backends.commands import GetJob
from apothic_emulator.agent import cgroups
from tests.integration.support import new_backend, runner, wait_gone, wait_until

MB = 1 << 20
LIMIT_MB = 128
Run = Function[..., Any]


def _has_groups() -> bool:
    groups = cgroups.find("probe")
    if groups is None:
        return False
    groups.close()
    return True


HAS_GROUPS = _has_groups()
needs_groups = pytest.mark.skipif(not HAS_GROUPS, reason="no control groups can be made here")


@pytest.fixture(params=[pytest.param("", marks=needs_groups), "off"], ids=["groups", "watchdog"])
def limited(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Limits that are kept by one means; its name as snapshots have it."""
    monkeypatch.setenv("APOTHIC_CGROUP", request.param)
    return "watchdog" if request.param else "cgroup"


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APOTHIC_CGROUP", "off")


@pytest.fixture(autouse=True)
def groups_are_removed(clean: None) -> Iterator[None]:
    """A host's groups go with it."""
    yield
    connect().close()
    assert _groups_of(os.getpid()) == []


def _groups_of(pid: int) -> list[Path]:
    return [group for f in _folders() for group in f.glob(f"apothic-{pid}-*")]


def _folders() -> list[Path]:
    return [Path(folder) for folder in cgroups._own_folders().values()]


def take(megabytes: int) -> int:
    return len(bytearray(megabytes * MB))


def take_too_much() -> None:
    held = bytearray(1024 * MB)
    time.sleep(60)  # what is held between two looks only is not seen
    del held


def too_much(run: Run, *args: Any) -> MemoryLimitExceeded:
    with pytest.raises(MemoryLimitExceeded) as caught:
        run.remote(*args)
    return caught.value


def settled(run: Run, level: str) -> Run:
    """A function whose worker is where it is to be."""
    if level == "cgroup":
        run.remote(wait_until, lambda: "apothic-" in cgroups._own_folders()["memory"])
    return run


def test_a_call_that_takes_more_than_it_may_ends_with_proof(limited: str) -> None:
    run = settled(runner(memory_mb=LIMIT_MB), limited)

    error = too_much(run, take_too_much)

    assert error.data["evidence"].startswith(limited)
    assert (error.data["reason"], error.data["limit_mb"]) == ("oom", LIMIT_MB)
    assert error.data["peak_mb"] >= LIMIT_MB
    assert f"memory_mb={LIMIT_MB} of 'run'" in error.message
    assert "Raise memory_mb" in error.message


def test_others_work_on_after_it(limited: str) -> None:
    run = runner(memory_mb=LIMIT_MB)
    too_much(run, take_too_much)

    assert run.remote(take, 1) == MB


def test_a_call_that_takes_less_than_it_may_is_left_alone(limited: str) -> None:
    def take_twenty_times() -> int:
        return sum(take(LIMIT_MB - 40) for _ in range(20))

    assert runner(memory_mb=LIMIT_MB).remote(take_twenty_times) == 20 * (LIMIT_MB - 40) * MB


def test_memory_that_a_child_takes_counts(limited: str) -> None:
    program = f"held = bytearray({1024 * MB}); import time; time.sleep(60)"

    def call() -> int:
        return subprocess.call([sys.executable, "-c", program])

    run = settled(runner(memory_mb=LIMIT_MB), limited)
    if limited == "watchdog":
        too_much(run, call)
    else:  # the kernel kills the child alone; what comes of that is for its parent to say
        assert run.remote(call) == -signal.SIGKILL


def test_it_runs_again_within_the_budget_for_losses(limited: str, tmp_path: Path) -> None:
    runs = tmp_path / "runs"

    def action() -> None:
        with runs.open("a") as file:
            file.write("x")
        take_too_much()

    error = too_much(runner(memory_mb=LIMIT_MB, retries=1), action)

    assert runs.read_text() == "xxxx"
    assert (error.data["reason"], error.data["losses"]) == ("oom", 4)


def test_a_function_that_takes_too_much_when_it_is_loaded_says_so(watched: None) -> None:
    class Greedy:
        def __reduce__(self) -> Any:
            return take_too_much, ()

    greedy = Greedy()

    def call() -> None:
        print(greedy)

    function: Any = App("limits").function(memory_mb=LIMIT_MB)(call)

    error = too_much(function)

    assert "got as far as loading it" in error.message


def test_a_plain_kill_is_not_taken_for_want_of_memory(limited: str) -> None:
    with pytest.raises(WorkerLost) as caught:
        runner(memory_mb=LIMIT_MB).remote(lambda: os.kill(os.getpid(), signal.SIGKILL))

    assert type(caught.value) is WorkerLost
    assert (caught.value.data["reason"], caught.value.data["signal"]) == ("signal", 9)


@needs_groups
def test_a_group_sees_what_is_gone_before_anybody_looks() -> None:
    run = settled(runner(memory_mb=LIMIT_MB), "cgroup")

    assert too_much(run, take, LIMIT_MB + 8).data["evidence"].startswith("cgroup")


@needs_groups
def test_what_was_taken_before_a_worker_was_in_its_group_counts() -> None:
    def take_in_two_parts() -> None:
        held = [bytearray(LIMIT_MB * MB * 3 // 4)]
        wait_until(lambda: "apothic-" in cgroups._own_folders()["memory"])
        held.append(bytearray(LIMIT_MB * MB * 3 // 4))
        time.sleep(60)

    assert too_much(runner(memory_mb=LIMIT_MB), take_in_two_parts).data["limit_mb"] == LIMIT_MB


def test_a_snapshot_tells_by_what_limits_are_kept(limited: str) -> None:
    limits = _limits(runner())

    assert limits["memory"].startswith(limited)
    assert limits["cpu"] == "none"
    assert _limits(runner(cpu=1))["cpu"] in ("quota", "affinity")


def _write(path: str, nbytes: int) -> int:
    """Write a file of that size, quickly."""
    with Path(path).open("wb") as file:
        file.truncate(nbytes - 1)
        file.seek(nbytes - 1)
        file.write(b"x")
    return Path(path).stat().st_size


def test_no_file_grows_larger_than_the_disk_that_was_asked_for(tmp_path: Path) -> None:
    small = runner(disk_gb=0.001)

    assert small.remote(_write, str(tmp_path / "fits"), 1_000_000) == 1_000_000
    with pytest.raises(OSError, match="File too large"):
        small.remote(_write, str(tmp_path / "large"), 1_000_001)
    assert runner().remote(_write, str(tmp_path / "any"), 2_000_000) == 2_000_000
    assert _limits(small)["disk"] == "file"
    assert "disk" not in _limits(runner())


def _limits(run: Run) -> dict[str, str]:
    run.remote(take, 1)
    job = run.spawn(take, 1)
    return connect().start(GetJob(job.job_id)).wait().limits


def test_a_warning_kills_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APOTHIC_LIMITS", "warn")
    marker = tmp_path / "warned"
    said: list[str] = []

    def hold() -> int:
        held = bytearray(256 * MB)
        wait_until(marker.exists)
        return len(held)

    def is_warned() -> bool:
        said.append(capfd.readouterr().err)
        return f"more than memory_mb={LIMIT_MB} allows" in "".join(said)

    job = runner(memory_mb=LIMIT_MB).spawn(hold)
    wait_until(is_warned)
    marker.touch()

    assert job.wait() == 256 * MB


def test_limits_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APOTHIC_LIMITS", "off")

    assert runner(memory_mb=1).remote(take, 256) == 256 * MB


def test_a_word_that_means_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APOTHIC_LIMITS", "on")

    with pytest.raises(InvalidOption, match="APOTHIC_LIMITS='on': it must be enforce, warn or off"):
        new_backend()
    monkeypatch.undo()


# --- cores ------------------------------------------------------------------------------------


def cores() -> set[int]:
    return os.sched_getaffinity(0)


@pytest.mark.skipif(len(cores()) < 2, reason="needs two cores")
def test_code_sees_the_cores_that_it_may_use(watched: None) -> None:
    here = cores()

    assert len(runner(cpu=1).remote(cores)) == 1
    assert runner(cpu=1).remote(lambda: os.environ["OMP_NUM_THREADS"]) == "1"
    assert runner(cpu=len(here)).remote(cores) == here


def test_who_has_given_no_number_may_use_all(limited: str) -> None:
    assert runner().remote(cores) == cores()


@needs_groups
@pytest.mark.skipif(len(cores()) < 2, reason="needs two cores")
def test_a_quota_holds_where_the_kernel_keeps_one() -> None:
    if "cpu" not in cgroups._own_folders():
        pytest.skip("no cpu controller")

    def is_limited() -> bool:
        own = cgroups._own_folders()
        return "apothic-" in own["cpu"] and (
            (Path(own["cpu"]) / "cpu.cfs_quota_us").read_text() == "100000\n"
        )

    assert runner(cpu=1).remote(wait_until, is_limited)


# --- what is left -----------------------------------------------------------------------------

_PROGRAM = """
import os, time
from apothic import App
app = App("killed")

@app.function()
def wait():
    time.sleep(60)

wait.spawn()
@app.function()
def hello():
    return os.getppid()
print(hello.remote(), flush=True)
time.sleep(60)
"""


@needs_groups
def test_a_program_that_is_killed_leaves_no_groups(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(_PROGRAM)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        zygote = int(program.stdout.readline())
        made = _groups_of(program.pid)
        program.kill()
    wait_gone(zygote)

    assert made
    assert _groups_of(program.pid) == []
