"""A server, agents that come and go, and a job that stays until it is let go."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from apothic import Job
from apothic_backends.connection import use
from tests.integration.agents import functions as f
from tests.integration.agents.gates import Gated
from tests.integration.agents.server import Server, start_agent
from tests.integration.support import wait_until


class Setting(Gated):
    """A server, agents, and a job that stays until it is let go."""

    def __init__(self, folder: Path, **how: Any) -> None:
        super().__init__(folder)
        self.server = Server(**how)
        self.before = use(self.server.backend)
        self.agents: list[subprocess.Popen[bytes]] = []

    def agent(self, name: str = "a", *more: str) -> subprocess.Popen[bytes]:
        process = start_agent(self.server.url, self.folder, *more, name=name)
        self.agents.append(process)
        self.server.until_there(name)
        return process

    def begin(self, function: Any = f.stay) -> Job[int]:
        job: Job[int] = function.spawn(str(self.began), str(self.gate))
        wait_until(lambda: self.pids)
        return job

    def close(self) -> None:
        self.server.mend()
        for process in self.agents:
            process.kill()  # also one that is stopped
            process.wait()
        use(self.before)
        self.server.close()
