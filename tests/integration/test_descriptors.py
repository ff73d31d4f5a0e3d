"""A program that has no descriptors left: it is told so, nothing leaks, and later calls work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TASKS = """
import click
from apothic import App
app = App("crowded")
@app.function(max_containers=8)
def double(n): return 2 * n
"""

COUNTING = """
import fcntl, gc, json, os, resource, sys, threading
LIMIT = 90
resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))

def is_open(fd):
    try: return fcntl.fcntl(fd, fcntl.F_GETFD) >= 0
    except OSError: return False

def descriptors(): return sorted(filter(is_open, range(LIMIT)))

def take_all_but(count):
    taken = []
    try:
        while True: taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError: pass
    for _ in range(count): os.close(taken.pop())
    return taken
"""

TRIALS = """
import tasks
from apothic import ApothicError
from apothic._connect import connect, use
from tests.integration.support import descendants

def attempt(number):
    try: return tasks.double.remote(number)
    except BaseException as error:
        return "typed" if isinstance(error, ApothicError) else repr(error)

def close():
    backend = use(None)
    if backend is not None: backend.close()
    gc.collect()

def trial(left, is_open_before):
    if is_open_before: connect()
    taken = take_all_but(left)
    during = attempt(1)
    for fd in taken: os.close(fd)
    afterwards = attempt(2)
    close()
    return during, afterwards, descriptors(), sorted(descendants()), threading.active_count()

attempt(0), close()  # whatever has to be imported is
json.dump([descriptors(), *(trial(n, b) for b in (False, True) for n in range(20))], sys.stdout)
"""

LITTLE = """
import resource, tasks
resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))
assert tasks.double.map(range(50)) == [2 * n for n in range(50)]
"""


WAITS_TO_LOAD = """
import os, time
while "APOTHIC_WORKER" in os.environ and not os.path.exists("go"): time.sleep(0.001)
"""

TAKEN_MEANWHILE = """
import tasks
job = tasks.double.spawn(1)
taken = take_all_but(0)
os.mkdir("go")
assert job.wait() == 2
for fd in taken: os.close(fd)
assert tasks.double.remote(2) == 4
"""


HALF_OPENED = """
from apothic_emulator.agent.zygote import Zygote
from apothic_emulator.host.host import Host
from apothic_emulator.host.thread import HostThread
before = descriptors()
for left in range(4):
    thread = HostThread(Zygote())
    taken = take_all_but(left)
    try: Host(thread)
    except OSError: pass
    for fd in taken: os.close(fd)
    thread.zygote.close()
    gc.collect()
    assert descriptors() == before, left
"""


def run(folder: Path, program: str, tasks: str = TASKS) -> str:
    (folder / "tasks.py").write_text(tasks)
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return json.loads(run(tmp_path_factory.mktemp("crowded"), COUNTING + TRIALS))


def test_a_call_without_descriptors_says_so_or_works(trials: Any) -> None:
    told = [during for during, *_ in trials[1:]]

    assert {str(outcome) for outcome in told} == {"typed", "2"}


def test_a_call_works_as_soon_as_descriptors_are_free(trials: Any) -> None:
    assert [afterwards for _, afterwards, *_ in trials[1:]] == [4] * 40


def test_nothing_is_left_of_a_call_without_descriptors(trials: Any) -> None:
    before, *rest = trials

    assert [left for _, _, *left in rest] == [[before, [], 1]] * 40


def test_nothing_is_left_of_a_control_plane_that_could_not_be_opened(tmp_path: Path) -> None:
    run(tmp_path, COUNTING + HALF_OPENED)


@pytest.mark.parametrize("limit", [40, 256, 1024])
def test_workers_start_where_few_descriptors_are_allowed(tmp_path: Path, limit: int) -> None:
    run(tmp_path, LITTLE.format(limit=limit))


def test_a_worker_serves_on_when_all_descriptors_are_taken_while_it_loads(tmp_path: Path) -> None:
    run(tmp_path, COUNTING + TAKEN_MEANWHILE, WAITS_TO_LOAD + TASKS)
