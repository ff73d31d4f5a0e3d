"""Ctrl-C at any moment: the program ends as Python programs do, and leaves nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.support import descendants, is_alive, wait_until

PROGRAM = """
import sys, time
from apothic import App
app = App("interrupted")
@app.function(max_containers=2)
def nap(s): time.sleep(s); return s
@app.function()
def quick(n): return n
print("ready", flush=True)
{body}
"""

BODIES = {
    "first call": "while True:\n    quick.remote(1); time.sleep(0.01)",
    "remote": "nap.remote(60)",
    "quick calls": "while True: quick.remote(1)",
    "map": "nap.map([60] * 20)",
    "quick maps": "while True: quick.map(range(20))",
    "spawned": "jobs = [nap.spawn(60) for _ in range(3)]\ntime.sleep(60)",
    "asyncio": "import asyncio\nasync def main():\n    while True: await quick.remote.aio(1)\n"
    "asyncio.run(main())",
    "asyncio nap": "import asyncio\nasync def main(): await nap.remote.aio(60)\n"
    "asyncio.run(main())",
    "trio": "import trio\nasync def main():\n    while True: await quick.remote.aio(1)\n"
    "trio.run(main)",
    "trio nap": "import trio\nasync def main(): await nap.remote.aio(60)\ntrio.run(main)",
    "threads": "from threading import Thread\n"
    "for _ in range(3): Thread(target=lambda: [quick.remote(n) for n in range(500)]).start()\n"
    "while True: quick.remote(1)",
    "exit": "nap.spawn(60)\nsys.exit()",
}
SEEDS = int(os.environ.get("APOTHIC_TEST_SEEDS", "2"))
"""How many moments to try of each kind; 9 make a hundred runs."""
ENDS = {130, -signal.SIGINT}


class Interrupted:
    """A program in a process group of its own, and what became of it."""

    def __init__(self, script: Path, body: str) -> None:
        script.write_text(PROGRAM.format(body=body))
        self.process = subprocess.Popen(
            [sys.executable, str(script)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.below: set[int] = set()

    def wait_ready(self) -> None:
        """Wait until it has come past its imports."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def interrupt(self) -> float:
        """Press Ctrl-C; how long the program takes to end."""
        self.below = descendants(self.process.pid)
        began = time.monotonic()
        os.killpg(self.process.pid, signal.SIGINT)
        _, self.stderr = self.process.communicate(timeout=30)
        return time.monotonic() - began

    def check(self, moment: str) -> None:
        """Hold it against what is promised."""
        told = f"{moment}: exit code {self.process.returncode}\n{self.stderr}"
        for word in ("EmulatorDead", "InternalError", "Exception ignored", "Error in"):
            assert word not in self.stderr, told
        wait_until(lambda: not any(map(is_alive, self.below)), f"for all to end; {told}")


def interrupt_after(tmp_path: Path, kind: str, delay_s: float) -> Interrupted:
    program = Interrupted(tmp_path / "script.py", BODIES[kind])
    program.wait_ready()
    time.sleep(delay_s)  # the moment is the point
    took_s = program.interrupt()
    program.check(f"{kind}, {delay_s:.3f} s after its start")
    assert took_s < 6
    return program


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_ctrl_c_ends_the_program_and_all_below_it(tmp_path: Path, kind: str, seed: int) -> None:
    delay_s = random.Random(f"{kind} {seed}").uniform(0, 0.4)

    program = interrupt_after(tmp_path, kind, delay_s)

    assert program.process.returncode in (ENDS if kind != "exit" else ENDS | {0}), program.stderr


@pytest.mark.parametrize("kind", ["remote", "map", "spawned"])
def test_one_line_counts_what_was_cut_short_if_anything_was(tmp_path: Path, kind: str) -> None:
    program = interrupt_after(tmp_path, kind, 0.5)

    lines = [line for line in program.stderr.splitlines() if line.startswith("apothic:")]
    assert len(lines) <= 1
    assert lines or kind != "spawned"


def test_ctrl_c_reaches_no_worker(tmp_path: Path) -> None:
    body = f"""
@app.function()
def stubborn():
    try: time.sleep(0.5)
    except KeyboardInterrupt: open({str(tmp_path / "hit")!r}, "w")
job = stubborn.spawn()
while job.status() != "running": pass
try:
    print("running", flush=True)
    time.sleep(60)
except KeyboardInterrupt: pass
job.wait()
"""
    program = Interrupted(tmp_path / "script.py", body)
    program.wait_ready()
    assert program.process.stdout is not None
    assert program.process.stdout.readline() == "running\n"
    program.interrupt()

    assert program.process.returncode == 0, program.stderr
    assert not (tmp_path / "hit").exists()
