"""A server is killed at random while clients use it; `python -m tests.chaos.servers` at length."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_nothing_acknowledged_is_lost_or_done_twice_when_servers_are_killed() -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.chaos.servers", "--kills", "6"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert ran.stdout, ran.stderr[-4000:]
    told = json.loads(ran.stdout)
    assert told["failures"] == []
    assert min(told["jobs"], told["items"], told["steps"]) > 0
    assert told["repeated"] > 0
