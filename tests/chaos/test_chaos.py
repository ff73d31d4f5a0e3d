"""Real workers are killed at random while jobs run; `python -m tests.chaos` does it at length."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_nothing_is_lost_seen_twice_or_left_over_when_workers_are_killed() -> None:
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore", "-m", "tests.chaos", "--kills", "60"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert ran.stdout, ran.stderr[-4000:]
    told = json.loads(ran.stdout)
    assert told["failures"] == []
    assert sum(told["kills"].values()) == 60
    assert told["ends"]["succeeded"] > 0
