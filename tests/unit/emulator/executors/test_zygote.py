from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest

from apothic_emulator.executors import descent
from apothic_emulator.executors.zygote import Zygote


def test_a_leftover_of_another_user_does_not_keep_the_others_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sleepers = [
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) for _ in range(2)
    ]
    theirs, other = (sleeper.pid for sleeper in sleepers)
    kill = os.kill

    def kill_our_own(pid: int, signum: int) -> None:
        if pid == theirs:
            raise PermissionError
        kill(pid, signum)

    monkeypatch.setattr(os, "kill", kill_our_own)
    monkeypatch.setattr(descent, "children", lambda: [theirs, *_alive(other)])
    near, far = socket.socketpair()
    with near, far:
        zygote = Zygote(near, far.fileno())
        zygote.kill_leftovers()

    assert (sleepers[0].poll(), _alive(other)) == (None, [])
    kill(theirs, signal.SIGKILL)
    for sleeper in sleepers:
        sleeper.communicate()


def _alive(pid: int) -> list[int]:
    return [pid] if os.path.exists(f"/proc/{pid}") else []  # noqa: PTH110
