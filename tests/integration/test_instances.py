"""Objects with a name in whole programs: handed over, killed, and met by who comes later."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

COUNTER = """
import os
from apothic import App, enter, exit, method

app = App("named")
CODE = 1

@app.cls(max_pending_tasks=5000, max_restarts=-1)
class Counter:
    def __init__(self):
        self.calls = 0

    @method()
    def call(self, number):
        self.calls += 1
        return number, CODE, os.getpid(), self.calls
"""

HANDED_OVER = """
import asyncio, json, pathlib
from counter import app, Counter

CALLS = 1000
many = Counter.named("many")

async def main():
    await app.aio.deploy()
    handle = Counter.named("deployed")
    calls = [asyncio.create_task(handle.call.remote.aio(n)) for n in range(CALLS // 2)]
    await calls[20]
    code = pathlib.Path("counter.py")
    code.write_text(code.read_text().replace("CODE = 1", "CODE = 2"))
    await app.aio.deploy()
    calls += [asyncio.create_task(handle.call.remote.aio(n)) for n in range(CALLS // 2, CALLS)]
    print(json.dumps(await asyncio.gather(*calls)))

asyncio.run(main())
"""


def run(folder: Path, program: str) -> str:
    """What a program in a folder of its own prints."""
    (folder / "counter.py").write_text(COUNTER)
    (folder / "main.py").write_text(program)
    (folder / "pyproject.toml").write_text("[tool.apothic]\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("APOTHIC_")}
    environment["APOTHIC_HOME"] = str(folder.parent / "home")
    ran = subprocess.run(
        [sys.executable, "main.py"],
        check=False,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_thousand_callers_lose_nothing_while_an_object_is_handed_over(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    results = json.loads(run(folder, HANDED_OVER).splitlines()[-1])

    assert [number for number, *_ in results] == [*range(1000)]
    assert {(code, pid) for _, code, pid, _ in results} == {
        (1, results[0][2]),
        (2, results[-1][2]),
    }
    for code in (1, 2):
        counts = [calls for _, its, _, calls in results if its == code]
        assert counts == [*range(1, len(counts) + 1)]  # in the order in which they were made


KILLED = """
import os, signal
from apothic import Job, WorkerLost
from counter import Counter

one = Counter.named("one")

def after_that():
    try:
        return one.call.remote(-2)
    except WorkerLost:  # it was sent before the end was known
        return one.call.remote(-2)

pids = set()
for round in range(5):
    jobs = [one.call.spawn(n) for n in range(20)]
    pid = one.call.remote(-1)[2]
    pids.add(pid)
    os.kill(pid, signal.SIGKILL)
    after = after_that()
    pids.add(after[2])
    print(round, [job.wait()[0] for job in jobs] == [*range(20)], after[3])
print(len(pids))
"""


def test_an_object_that_may_be_made_again_is_whenever_it_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    lines = run(folder, KILLED).splitlines()

    assert lines[:5] == [f"{n} True 1" for n in range(5)]
    assert lines[5] == "6"
