"""When the watchdog looks, and what it counts; the processes are real."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

from apothic_emulator.executors import limits
from apothic_emulator.executors.limits import Limits
from apothic_emulator.executors.watchdog import LEASE_S, LOOK_S, NEVER, Watchdog, Watched

MB = 1 << 20


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def process(program: str) -> Generator[int]:
    """A process that has run a program, and waits."""
    text = f"{program}\nimport sys; print(flush=True); sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child.pid
        child.communicate()


def look(pid: int, limit_mb: int) -> list[Watched]:
    watchdog = Watchdog(Clock())
    return watchdog.look([Watched(pid, Limits(limit_mb * MB))])


def test_nothing_is_due_until_it_is_told_to_watch() -> None:
    assert Watchdog(Clock()).due == NEVER


def test_it_looks_for_as_long_as_its_lease() -> None:
    clock = Clock()
    watchdog = Watchdog(clock)

    watchdog.watch()
    assert watchdog.due == clock.now + LOOK_S
    clock.now = watchdog.due
    watchdog.look([])
    assert watchdog.due == clock.now + LOOK_S
    clock.now = 100.0 + LEASE_S
    watchdog.look([])

    assert watchdog.due == NEVER


def test_it_looks_again_sooner_when_the_limit_is_near() -> None:
    clock = Clock()
    watchdog = Watchdog(clock)
    watchdog.watch()
    with process("") as pid:
        resident = Watched(pid, Limits(64 * MB))
        watchdog.look([resident])
    assert clock.now < watchdog.due < clock.now + LOOK_S


def test_memory_above_the_limit_is_found_and_told_once() -> None:
    with process(f"held = bytearray({64 * MB})") as pid:
        watchdog, watched = Watchdog(Clock()), Watched(pid, Limits(32 * MB))
        first, second = watchdog.look([watched]), watchdog.look([watched])
    assert (first, second) == ([watched], [])
    assert watched.peak > 64 * MB


def test_memory_of_everything_below_a_process_counts() -> None:
    program = f"""
import os, sys
for _ in range(2):
    held = bytearray({24 * MB})
    if os.fork():
        sys.stdin.read()
        os._exit(0)
"""
    with process(program) as pid:
        assert look(pid, 45)


def test_pages_that_processes_share_count_once() -> None:
    program = f"""
import os, sys
held = bytearray({48 * MB})
for _ in range(3):
    if os.fork():
        sys.stdin.read()
        os._exit(0)
"""
    with process(program) as pid:
        assert not look(pid, 96)


def test_pages_of_files_do_not_count() -> None:
    program = f"""
import mmap, tempfile
file = tempfile.TemporaryFile(dir=".")
file.write(bytes({64 * MB}))
file.flush()
held = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
sum(held[::4096])
"""
    with process(program) as pid:
        assert not look(pid, 48)


def test_who_has_no_limit_is_not_looked_at() -> None:
    assert Watchdog(Clock()).look([Watched(os.getpid(), Limits())]) == []


def test_a_process_that_has_ended_uses_nothing() -> None:
    with process("") as pid:
        pass
    assert not look(pid, 1)


def test_limits_travel_as_they_are() -> None:
    allowed = Limits(5, is_enforced=False, cores=(0, 3))

    assert limits.parse(limits.pack(allowed)) == allowed
    assert limits.parse(b"") == Limits()
