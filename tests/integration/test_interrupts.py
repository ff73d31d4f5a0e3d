"""Ctrl-C at any moment: the program ends as Python programs do, and leaves nothing."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from tests.integration.interrupting import ENDS, Interrupted

PROGRAM = """
import sys, time
{imports}
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
    "asyncio": "async def main():\n    while True: await quick.remote.aio(1)\nasyncio.run(main())",
    "asyncio nap": "async def main(): await nap.remote.aio(60)\nasyncio.run(main())",
    "trio": "async def main():\n    while True: await quick.remote.aio(1)\ntrio.run(main)",
    "trio nap": "async def main(): await nap.remote.aio(60)\ntrio.run(main)",
    "threads": "from threading import Thread\n"
    "for _ in range(3): Thread(target=lambda: [quick.remote(n) for n in range(500)]).start()\n"
    "while True: quick.remote(1)",
    "exit": "nap.spawn(60)\nsys.exit()",
}
SEEDS = int(os.environ.get("APOTHIC_TEST_SEEDS", "2"))
"""How many moments to try of each kind; 9 make a hundred runs."""


def started(tmp_path: Path, body: str) -> Interrupted:
    """A program that has come past its imports.

    Those of event loops among them, for Python 3.11 makes a RuntimeError of an interrupt that it
    gets while an enum is made.
    """
    imports = "\n".join(f"import {loop}" for loop in ("asyncio", "trio") if f"{loop}.run" in body)
    program = Interrupted(tmp_path / "script.py", PROGRAM.format(imports=imports, body=body))
    program.wait_ready()
    return program


def interrupt_after(tmp_path: Path, kind: str, delay_s: float) -> Interrupted:
    program = started(tmp_path, BODIES[kind])
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
    program = started(tmp_path, body)
    assert program.process.stdout is not None
    assert program.process.stdout.readline() == "running\n"
    program.interrupt()

    assert program.process.returncode == 0, program.stderr
    assert not (tmp_path / "hit").exists()
