"""The server dies at every commit, and each time the next one knows all that was acknowledged."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.servers import Client
from tests.integration.agents.gates import Gated
from tests.integration.agents.server import ROOT, start_agent
from tests.integration.support import wait_until

KINDS = (
    *("agent", "function", "operation", "job"),
    *("run:queued", "run:dispatched", "run:running", "run:succeeded", "run:cancelled"),
)
"""What is written down in this test, among other things."""


class Lives:
    """Servers at one address, each of which lives until its first commit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.log = folder / "log"
        options = ("--port", str(self.port), "--no-agent")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.server.lives", str(self.log), *options],
            cwd=ROOT,
            env={**os.environ, "APOTHIC_HOME": str(folder), "APOTHIC_STATE": "sqlite"},
            stderr=subprocess.DEVNULL,
        )
        key = folder / "server" / "admin.key"
        wait_until(lambda: key.exists() and key.read_text().strip())
        self.token = key.read_text().strip()

    def deaths(self) -> Counter[str]:
        """How many servers died before, and after, a commit with each kind of record."""
        found: Counter[str] = Counter()
        for line in self.log.read_text().splitlines():
            when, *kinds = line.split()
            found.update(f"{when} {kind}" for kind in kinds)
        return found

    def close(self) -> None:
        self.process.terminate()
        assert self.process.wait(30) == 0


class Gate(Gated):
    """A job on the agent that says that it has begun, and waits until it is let go."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder, f"{name}.")
        self.arguments = {"data": {"args": [str(self.began), str(self.gate)]}}


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    lives = Lives(tmp_path)
    key = Client("key", lives.port, lives.token).ask("create-api-key", scopes=["agent"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APOTHIC_AGENT_TOKEN", key["token"])
        agent = start_agent(f"http://127.0.0.1:{lives.port}", tmp_path, pause_s=0.2)
    yield lives
    agent.kill()
    agent.wait()
    lives.close()


def test_every_commit_may_be_the_last_and_none_is_lost_or_made_twice(lives: Lives) -> None:
    ask = Client("client", lives.port, lives.token).ask

    def function(name: str) -> Any:
        code = {"codec": "ref", "data": "tests.integration.agents.functions:linger"}
        return ask("register-function", spec={"app_name": "lives", "name": name}, code=code)

    def submit(function: str, gate: Gate) -> Any:
        return ask("submit-job", function_id=function, arguments=gate.arguments)

    one, two = function("one"), function("two")
    names = ("running", "next", "never", "stopped")
    gates = {name: Gate(lives.folder, name) for name in names}
    jobs = {name: submit(one, gates[name]) for name in names[:3]}
    jobs["stopped"] = submit(two, gates["stopped"])
    wait_until(lambda: gates["running"].pids and gates["stopped"].pids)
    ask("cancel-job", job_id=jobs["stopped"])
    ask("cancel-job", job_id=jobs["never"])
    ask("open-queue", queue="q")
    for n in range(3):
        ask("put-items", queue="q", items={"items": [{"data": n}]}, count=1)
    taken = ask("take-items", queue="q", count=2, timeout_s=0)
    rev = ask("put-key", name="d", key='"k"', value={"data": 1}, create=True)
    assert ask("put-key", name="d", key='"k"', value={"data": 2}, if_rev=rev) is not None
    gates["running"].let_go()
    wait_until(lambda: gates["next"].pids)
    gates["next"].let_go()

    ends = {name: ask("wait-job", job_id=job)["status"] for name, job in jobs.items()}

    assert ends == {
        "running": "succeeded",
        "next": "succeeded",
        "never": "cancelled",
        "stopped": "cancelled",
    }
    assert {name: len(gate.pids) for name, gate in gates.items()} == {
        "running": 1,
        "next": 1,
        "never": 0,
        "stopped": 1,
    }
    assert [item["data"] for item in taken["items"]["items"]] == [0, 1]
    left = ask("take-items", queue="q", count=3, timeout_s=0)
    assert [item["data"] for item in left["items"]["items"]] == [2]
    (entry,) = ask("get-keys", name="d", keys=['"k"'])
    assert entry["value"]["data"] == 2
    deaths = lives.deaths()
    assert not [it for when in ("before", "after") for it in KINDS if not deaths[f"{when} {it}"]]
