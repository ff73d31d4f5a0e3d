"""Examples whose functions and objects run in containers, on a real Docker engine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from apothic_emulator.agent.containers.plan import EXECUTOR
from tests.containers.conftest import PATIENCE_S
from tests.containers.image import NAME

pytestmark = pytest.mark.docker

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_model_remembers_in_its_container_what_it_has_learned(
    client: Any, home: Path, tmp_path: Path
) -> None:
    own = {"APOTHIC_HOME": str(home), "APOTHIC_EXECUTORS": f"docker:{NAME}"}
    began = int(time.time())
    ran = subprocess.run(
        [sys.executable, str(EXAMPLES / "model.py")],
        cwd=tmp_path,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )

    assert ran.returncode == 0, ran.stderr
    assert "after a new start: [('hello', 3), ('world', 2)]" in ran.stdout
    wanted = {"type": "container", "event": "start", "label": EXECUTOR}
    assert [*client.events(since=began, until=int(time.time()), filters=wanted, decode=True)]
