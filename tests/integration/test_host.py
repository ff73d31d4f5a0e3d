"""What the host does when something breaks that must not."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from apothic_backends.commands import GetJob, ReadEvents
from apothic_backends.model.errors import BackendClosed, EmulatorDead
from apothic_emulator.local import open_local

BROKEN = """
import apothic
from apothic._connect import connect
app = apothic.App("x")
@app.function()
def f():
    return 1
backend = connect()
def broken(*_):
    raise RuntimeError("a bug of ours")
backend._host._decide = broken
try:
    f.remote()
except apothic.EmulatorDead as error:
    print(error, repr(error.__cause__))
"""


def test_everybody_who_waits_hears_that_the_control_plane_broke() -> None:
    backend = open_local()
    waiting = backend.start(ReadEvents())
    _break(backend)

    with pytest.raises(EmulatorDead):
        backend.start(GetJob("jobs:1")).wait(5)
    with pytest.raises(EmulatorDead):
        waiting.wait(5)
    with pytest.raises(EmulatorDead):
        backend.start(GetJob("jobs:1")).wait(5)
    backend.close()


def test_a_program_whose_control_plane_broke_still_ends() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", BROKEN], capture_output=True, text=True, timeout=20, check=False
    )

    assert ran.returncode == 0, ran.stderr
    assert "a bug of ours" in ran.stdout


def test_a_closed_backend_says_so_and_can_be_closed_again() -> None:
    backend = open_local()
    waiting = backend.start(ReadEvents())
    backend.close()
    backend.close()

    for ticket in (waiting, backend.start(GetJob("jobs:1"))):
        with pytest.raises(BackendClosed):
            ticket.wait(5)


def _break(backend: Any) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug of ours")

    backend._host._decide = broken
