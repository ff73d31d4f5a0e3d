"""Functions on the devices of a driver: what they see, and what becomes of them if those are lost.

Each test is a program of its own, over the real local backend, since a driver's library is loaded
once for each process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.gpus.driver import GIB, Driver
from tests.integration.support import wait_until

SOON = "from apothic_emulator.agent import gpu_watch as w; w.EVERY_S = w.RARELY_S = 0.1\n"
PROGRAM = SOON + "from tests.integration.gpus import program as p\n"
FAILS = "except Exception as error: print(type(error).__name__, error)"


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    driver = Driver(tmp_path)
    driver.device(0, "GPU-0")
    driver.device(1, "GPU-1")
    os.mkfifo(tmp_path / "gate")
    kept_open = os.open(tmp_path / "gate", os.O_RDWR)  # so that nobody waits for the other end
    yield driver
    os.close(kept_open)


@contextmanager
def started(driver: Driver, code: str) -> Generator[subprocess.Popen[str]]:
    """A program that goes on while the test does something."""
    program = subprocess.Popen(
        [sys.executable, "-u", "-c", PROGRAM + code],
        env=driver.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        try:
            yield program
        finally:
            program.kill()


def seen(folder: Path) -> list[str]:
    """The devices of the calls that have begun."""
    began = folder / "began"
    return began.read_text().split() if began.exists() else []


def ways(folder: Path) -> str:
    return f"{str(folder / 'began')!r}, {str(folder / 'gate')!r}"


def test_code_sees_its_own_device_by_uuid_and_no_other(driver: Driver) -> None:
    assert driver.run(PROGRAM + "print(*p.see.remote())") == "GPU-0 PCI_BUS_ID\n"


def test_of_what_the_program_may_use_it_gets_one(driver: Driver) -> None:
    assert driver.run(PROGRAM + "print(*p.see.remote())", CUDA_VISIBLE_DEVICES="1") == (
        "GPU-1 PCI_BUS_ID\n"
    )


@pytest.mark.parametrize("given", [{}, {"CUDA_VISIBLE_DEVICES": "1,0"}])
def test_code_that_asked_for_none_finds_the_variable_as_it_was(
    driver: Driver, given: dict[str, str]
) -> None:
    told = driver.run(PROGRAM + "print(p.see.remote() and p.without.remote())", **given)

    assert told == f"{given.get('CUDA_VISIBLE_DEVICES')}\n"


def test_each_process_has_one_slice(driver: Driver, tmp_path: Path) -> None:
    driver.device(2, "GPU-2", "NVIDIA A100-SXM4-40GB", 40)
    driver.cut(2, "MIG-a", "MIG-b")
    code = f"""
jobs = [p.on_slice.spawn({ways(tmp_path)}) for _ in range(2)]
print(sorted(job.wait() for job in jobs))
"""
    with started(driver, code) as program:
        wait_until(lambda: len(seen(tmp_path)) == 2)
        (tmp_path / "gate").write_text("xx")
        told, _ = program.communicate(timeout=60)

    assert told == "['MIG-a', 'MIG-b']\n"


def test_those_that_share_have_one_device_for_as_long_as_its_memory_lasts(
    driver: Driver, tmp_path: Path
) -> None:
    code = f"""
jobs = [p.share.spawn({ways(tmp_path)}) for _ in range(3)]
print(sorted(job.wait() for job in jobs))
"""
    with started(driver, code) as program:
        wait_until(lambda: len(seen(tmp_path)) == 3)
        (tmp_path / "gate").write_text("xxx")
        told, _ = program.communicate(timeout=60)

    assert told == "['GPU-0', 'GPU-0', 'GPU-1']\n"


def test_one_that_is_lost_ends_what_has_it_and_that_is_told(driver: Driver, tmp_path: Path) -> None:
    code = f"""
job = p.hold.spawn({ways(tmp_path)})
try: job.wait()
{FAILS}
"""
    with started(driver, code) as program:
        wait_until(lambda: seen(tmp_path) == ["GPU-0"])
        driver.tell(_0_error=15)
        told, _ = program.communicate(timeout=60)

    assert told.startswith("WorkerLost the process that ran jobs:1 lost its GPU: GPU-0: it fell")


def test_one_that_is_lost_is_given_to_nobody_until_it_is_back(
    driver: Driver, tmp_path: Path
) -> None:
    code = f"""
job = p.hold.spawn({ways(tmp_path)})
try: job.wait()
{FAILS}
other = p.hold.spawn({ways(tmp_path)})
third = p.hold.spawn({ways(tmp_path)})
print(sorted([other.wait(), third.wait()]))
"""
    with started(driver, code) as program:
        wait_until(lambda: seen(tmp_path) == ["GPU-0"])
        driver.tell(_0_error=15)
        wait_until(lambda: seen(tmp_path) == ["GPU-0", "GPU-1"])
        driver.tell(_0_error=0)
        wait_until(lambda: len(seen(tmp_path)) == 3)
        (tmp_path / "gate").write_text("xx")
        told, _ = program.communicate(timeout=60)

    assert told.splitlines()[1] == "['GPU-0', 'GPU-1']"


def test_code_that_dies_of_it_runs_again_on_another(driver: Driver, tmp_path: Path) -> None:
    code = PROGRAM.removeprefix(SOON) + f"print(p.die_on.remote('GPU-0', {ways(tmp_path)}))"
    with started(driver, code) as program:
        wait_until(lambda: seen(tmp_path) == ["GPU-0"])
        driver.tell(_0_error=15)
        (tmp_path / "gate").write_text("x")
        told, _ = program.communicate(timeout=60)

    assert told == "GPU-1\n"
    assert seen(tmp_path) == ["GPU-0"]  # which was not given out again in between


def test_code_that_dies_of_it_is_told_why(driver: Driver, tmp_path: Path) -> None:
    code = f"""
job = p.die_on.with_options(retries=0).spawn('GPU-0', {ways(tmp_path)})
try: job.wait()
{FAILS}
"""
    with started(driver, code) as program:
        wait_until(lambda: seen(tmp_path) == ["GPU-0"])
        driver.tell(_0_error=15)
        (tmp_path / "gate").write_text("x")
        told, _ = program.communicate(timeout=60)

    assert told.startswith("WorkerLost the process that ran jobs:1 lost its GPU: GPU-0: it fell")


def test_a_driver_that_does_not_answer_holds_no_end_up(driver: Driver, tmp_path: Path) -> None:
    code = f"""
w.PATIENCE_S = 0.1
job = p.die_on.with_options(retries=0).spawn('GPU-0', {ways(tmp_path)})
try: job.wait()
{FAILS}
"""
    with started(driver, code) as program:
        wait_until(lambda: seen(tmp_path) == ["GPU-0"])
        driver.tell(stuck=1)
        (tmp_path / "gate").write_text("x")
        told, errors = program.communicate(timeout=60)

    assert told.startswith("WorkerLost the process that ran jobs:1 was killed by signal 9"), errors


def test_memory_that_runs_short_is_told_to_the_job(driver: Driver, tmp_path: Path) -> None:
    driver.tell(_0_used=20 * GIB, _1_used=20 * GIB, _0_pids=f"{os.getpid()}:{20 * GIB}")
    code = f"""
job = p.share.spawn({ways(tmp_path)})
for line in job.logs(follow=True): print(line, end="", flush=True)
"""
    with started(driver, code) as program:
        wait_until(lambda: seen(tmp_path) == ["GPU-0"])
        assert program.stdout is not None
        first = program.stdout.readline()
        driver.tell(_0_used=23 * GIB)
        second = program.stdout.readline()

    assert "NVIDIA L4 (GPU-0) has 4.3 GB free, and min_vram_gb=10 of 'share'" in first
    assert f"({os.getpid()}): 20480 MiB" in first
    assert "NVIDIA L4 (GPU-0) is 95 % full" in second
