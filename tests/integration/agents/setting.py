"""A server, agents that come and go, and a job that stays until it is let go."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from apothic import Job
from apothic_backends.connection import use
from tests.integration.agents import functions as f
from tests.integration.agents.server import Server, start_agent
from tests.integration.support import wait_until


class Setting:
    """A server, agents, and a job that stays until it is let go."""

    def __init__(self, folder: Path, **how: Any) -> None:
        self.folder = folder
        self.server = Server(**how)
        self.before = use(self.server.backend)
        self.agents: list[subprocess.Popen[bytes]] = []
        self.began = folder / "began"
        self.gate = folder / "gate"
        os.mkfifo(self.gate)

    def agent(self, name: str = "a", *more: str) -> subprocess.Popen[bytes]:
        process = start_agent(self.server.url, self.folder, *more, name=name)
        self.agents.append(process)
        self.server.until_there(name)
        return process

    def begin(self, function: Any = f.stay) -> Job[int]:
        job: Job[int] = function.spawn(str(self.began), str(self.gate))
        wait_until(lambda: self.pids)
        return job

    @property
    def pids(self) -> list[int]:
        return [int(pid) for pid in self.began.read_text().split()] if self.began.exists() else []

    def let_go(self) -> None:
        with self.gate.open("w") as gate:
            gate.write("x")

    def close(self) -> None:
        self.server.mend()
        for process in self.agents:
            process.kill()  # also one that is stopped
            process.wait()
        use(self.before)
        self.server.close()
