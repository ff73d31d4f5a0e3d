"""Apothic behind `apothic serve` that runs nothing itself, with one agent on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from typing import Any

from subjects.with_served import Served

LEASE_S = 3.0
"""How long nothing need be heard of the agent."""


class Joined(Served):
    """As `Served`, and another process between the server and the workers."""

    def __init__(self, workers: int) -> None:
        self._agent: subprocess.Popen[str] | None = None
        self._count = 0
        super().__init__(workers, "--no-agent", "--agent-lease", f"{LEASE_S:g}")

    def _join(self) -> None:
        self._count += 1
        gives = ("--name", f"agent-{self._count}", "--cpu", "16", "--memory-mb", "16000")
        folder = self.home / "machine"
        folder.mkdir(exist_ok=True)
        key = self.post("create-api-key", scopes=["agent"])["token"]
        own = {"APOTHIC_AGENT_TOKEN": key, "APOTHIC_HOME": str(folder)}
        self._agent = self._run("agent", "--url", self.url, *gives, **own)
        assert self._agent.stderr is not None
        next(line for line in self._agent.stderr if line.startswith("joined"))
        threading.Thread(target=self._agent.stderr.read, daemon=True).start()

    def loss(self, how: int) -> float:
        """Seconds from a signal to the agent until its job is known to be lost."""
        from apothic_backends.commands import CancelJob  # noqa: PLC0415 - only apothic needs it
        from apothic_backends.model.functions import RetryPolicy  # noqa: PLC0415

        policy = RetryPolicy(9, 0.0)
        job = self.submit_to(self.register("hang", lambda _: time.sleep(3600), retries=policy))
        events = iter(self._backend.watch(job))
        _until(events, "job.running")
        assert self._agent is not None
        os.kill(self._agent.pid, how)
        before = time.perf_counter()
        _until(events, "job.retry")
        taken = time.perf_counter() - before
        self._backend.start(CancelJob(job)).wait()
        self._end_agent()
        self._join()
        return taken

    def _end_agent(self) -> None:
        if self._agent is not None:
            self._agent.send_signal(signal.SIGKILL)
            self._agent.wait()

    def close(self) -> None:
        """Stop all."""
        self._end_agent()
        super().close()


def _until(events: Any, name: str) -> None:
    next(event for event in events if event.event == name)


def open_subject(workers: int) -> Joined:
    """Start both."""
    return Joined(workers)
