"""Everything at once, from everywhere, with the core's invariants checked at every step."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HAMMER = Path(__file__).with_name("hammer.py")
WAYS = {"remote", "map", "spawn", "error", "fork", "remote.aio", "aio.map", "interrupted"}


def test_threads_loops_interrupts_forks_and_finalisers_break_nothing() -> None:
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore", HAMMER, "25"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr[-4000:]
    told = json.loads(ran.stdout)
    assert told["failures"] == []
    assert set(told["seen"]) >= WAYS
