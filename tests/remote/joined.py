"""Control planes that run nothing themselves, one after another, and two agents that stay.

Clients and agents talk through one proxy. With each control plane that ends the agents are cut off,
and join the next one, which knows nothing of them: so each test finds agents, and nothing else.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

from apothic_backends.home import VARIABLE
from tests.remote.proxy import Faults, Proxy
from tests.remote.serving import Served, ServedBackend, server

ROOT = Path(__file__).parents[2]

_AGENT = """
import signal
from apothic_emulator.executors.linux import die_with_parent
die_with_parent(signal.SIGKILL)
from apothic_emulator.agent.commands import agent
agent()
"""


class Elsewhere(ServedBackend):
    """Its functions run in files that are shipped, as on any machine."""

    shares_files = False


class Joined:
    """The agents, and the control plane that they have joined."""

    def __init__(self, folder: Path, faults: Faults, agents: int = 2) -> None:
        self._folder = folder
        self._at = server()
        self._token = secrets.token_hex(8)
        self._count = 0
        self._next = self._serve()
        self._home = folder / "home"
        self._home.mkdir(mode=0o700)
        self.proxy = Proxy(self._at.port, faults)
        self.agents = [self._start(f"agent-{number}") for number in range(agents)]

    def _serve(self) -> tuple[str, Served]:
        """A control plane, which agents join from now on."""
        self._count += 1
        folder, key = self._folder / f"plane-{self._count}", secrets.token_hex(8)
        folder.mkdir()
        served = self._at.joined[self._token] = self._at.serve(key, folder, has_home=False)
        return key, served

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        own = {
            VARIABLE: str(self._home),
            "APOTHIC_AGENT_TOKEN": self._token,
            "PYTHONPATH": str(ROOT),
        }
        given = ["--url", self.proxy.url, "--name", name, "--cpu", "16", "--memory-mb", "100000"]
        command = [sys.executable, "-c", _AGENT, *given, "--grace", "0"]
        return subprocess.Popen(command, env={**os.environ, **own}, cwd=ROOT)

    def open(self) -> ServedBackend:
        """A client of a fresh control plane that the agents have joined, or are about to join."""
        key, _ = self._next
        return Elsewhere(self._at, key, self.proxy.url, self._end)

    def _end(self) -> None:
        ended, _ = self._next
        self._next = self._serve()
        self._at.end(ended)

    def close(self) -> None:
        """End it all."""
        for process in self.agents:
            process.terminate()
        for process in self.agents:
            process.wait(30)
        self.proxy.close()
        self._at.end(self._next[0])
        del self._at.joined[self._token]
