"""The second home: a server that runs nothing itself, and agents of this machine that run all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from apothic_backends.base import Backend
from apothic_backends.commands.deployments import DeleteDeployment, ListDeployments
from apothic_backends.remote.address import address_of
from apothic_backends.remote.backend import RemoteBackend
from apothic_backends.remote.connection import Connection
from tests.server.served import PATIENCE_S, Served

_AGENT = """
import signal
from apothic_emulator.executors.linux import die_with_parent
die_with_parent(signal.SIGKILL)
from apothic_emulator.agent.commands import agent
agent()
"""


class Second:
    """A server in a process of its own, and its agents."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        agents: int = 1,
        at: str = "",
        share: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """One that listens everywhere is asked `at` an address; all may `share` the folder.

        The server has the variables `env` besides those of the tests.
        """
        self._folder, self._shares = folder, share
        home = self._home("server")
        self.server = Served(home, "--no-agent", *options, env=env)
        self.server.host = at or self.server.host
        self.key = self._key()
        self.agents: dict[str, subprocess.Popen[bytes]] = {}
        for number in range(agents):
            self.join(f"agent-{number}")

    def _home(self, name: str) -> Path:
        home = self._folder if self._shares else self._folder / name
        home.mkdir(exist_ok=True)
        return home

    def _key(self) -> str:
        """A key for agents; the server may speak TLS."""
        about = {"authorization": f"Bearer {self.server.token}", "content-type": "application/json"}
        url, body = f"{self.server.url}/v1/create-api-key", json.dumps({"scopes": ["agent"]})
        request = urllib.request.Request(url, body.encode(), about)
        with urllib.request.urlopen(request) as answer:
            return str(json.load(answer)["reply"]["token"])

    def join(self, name: str, *options: str) -> None:
        """Have an agent of that name join, and wait until it has."""
        home = self._home(name)
        own = {"APOTHIC_HOME": str(home), "APOTHIC_AGENT_TOKEN": self.key}
        kept = {n: v for n, v in os.environ.items() if not n.startswith("APOTHIC_")}
        command = [sys.executable, "-c", _AGENT, "--url", self.server.url, "--name", name]
        self.agents[name] = agent = subprocess.Popen(
            [*command, "--cpu", "16", "--memory-mb", "16384", *options],
            cwd=home,
            env={**kept, **own},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert agent.stderr is not None
        for line in agent.stderr:
            if b"joined" in line:
                return
        raise AssertionError(f"{name} has not joined")

    def open(self) -> RemoteBackend:
        """What a program of the operator's has."""
        return RemoteBackend(Connection(address_of(self.server.url), self.server.token))

    def close(self) -> None:
        """All of it ends."""
        for agent in self.agents.values():
            agent.kill()
            agent.wait()
            assert agent.stderr is not None
            agent.stderr.close()
        self.server.close()


def clear(backend: Backend) -> None:
    """Nothing is deployed there any more."""
    for app in {it.app_name for it in backend.start(ListDeployments()).wait(PATIENCE_S)}:
        backend.start(DeleteDeployment(app)).wait(PATIENCE_S)
