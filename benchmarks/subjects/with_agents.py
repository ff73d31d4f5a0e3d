"""Agents that come back to `apothic serve` all at once after it was killed: 500 in one process."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import Any


class Agents:
    """A server that runs nothing itself, and agents without executors."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._home = Path(self._folder.name)
        self._port = 0
        self._start()
        self._token = self._agent_token()

    def _start(self) -> None:
        options = ["--port", str(self._port), "--no-agent", "--limit", "connections=10000"]
        self._server = subprocess.Popen(
            [sys.executable, "-m", "apothic.cli", "serve", *options],
            cwd=self._home,
            env={**os.environ, "APOTHIC_HOME": str(self._home), "APOTHIC_STATE": "sqlite"},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._server.stderr is not None
        url = next(line.split()[-1] for line in self._server.stderr if "serving on" in line)
        self._port = int(url.rpartition(":")[2])
        Thread(target=self._server.stderr.read, daemon=True).start()

    def _agent_token(self) -> str:
        import json  # noqa: PLC0415 - only here
        from urllib.request import Request, urlopen  # noqa: PLC0415 - as above

        admin = (self._home / "server" / "admin.key").read_text().strip()
        headers = {"Authorization": f"Bearer {admin}", "Content-Type": "application/json"}
        url = f"http://127.0.0.1:{self._port}/v1/create-api-key"
        with urlopen(Request(url, b'{"scopes": ["agent"]}', headers)) as response:
            return str(json.load(response)["reply"]["token"])

    def _commits(self) -> int:
        path = self._home / "server" / "accounts" / "default" / "state.db"
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT commits FROM head").fetchone()[0])

    def storm(self, agents: int) -> tuple[float, float, int]:
        """Agents join, and come back to a server that was killed.

        Seconds until all are back who dial at the same moment; who wait as all agents do, counted
        from the moment at which it serves again; and how often its state was written meanwhile.
        """
        names = [f"light-{n}" for n in range(agents)]
        asyncio.run(self._join_all(names))
        self._server.kill()
        self._server.wait()
        self._start()
        at_once_s = asyncio.run(self._join_all(names))
        patient_s, commits = asyncio.run(self._come_back(names))
        return at_once_s, patient_s, commits

    async def _join_all(self, names: list[str]) -> float:
        before = time.perf_counter()
        agents = [_Light(self._port, self._token, name) for name in names]
        await _all_joined(agents)
        found = time.perf_counter() - before
        await _end(agents)
        return found

    async def _come_back(self, names: list[str]) -> tuple[float, int]:
        agents = [_Light(self._port, self._token, name) for name in names]
        await _all_joined(agents)
        self._server.kill()
        self._server.wait()
        while any(agent.joined.is_set() for agent in agents):  # noqa: ASYNC110 - in a moment
            await asyncio.sleep(0.01)
        await asyncio.to_thread(self._start)
        before, commits = time.perf_counter(), self._commits()
        await _all_joined(agents)
        found = time.perf_counter() - before, self._commits() - commits
        await _end(agents)
        return found

    def close(self) -> None:
        """Stop the server."""
        self._server.kill()
        self._server.wait()


async def _all_joined(agents: list[_Light]) -> None:
    joined = asyncio.gather(*(agent.joined.wait() for agent in agents))
    done, _ = await asyncio.wait(
        [joined, *(agent.task for agent in agents)], return_when=asyncio.FIRST_COMPLETED
    )
    for one in done:
        one.result()  # an agent that has ended has an error of ours


async def _end(agents: list[_Light]) -> None:
    for agent in agents:
        agent.task.cancel()
    await asyncio.gather(*(agent.task for agent in agents), return_exceptions=True)


class _Light:
    """An agent: what it says, and how long it waits, is as of any other."""

    def __init__(self, port: int, token: str, name: str) -> None:
        from apothic_emulator.agent.dialing import Dialer  # noqa: PLC0415 - only apothic has it
        from apothic_emulator.agent.outpost import Outpost  # noqa: PLC0415 - as above
        from apothic_emulator.core.hellos import Capacity  # noqa: PLC0415 - as above

        self._url = f"ws://127.0.0.1:{port}/v1/agent"
        self._headers = {"Authorization": f"Bearer {token}"}
        self._outpost = Outpost(name, "1", Capacity(1, 1024), _nothing, _nothing)
        self._dialer = Dialer(self._url, token)
        self.joined = asyncio.Event()
        self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        from websockets.exceptions import WebSocketException  # noqa: PLC0415 - as above

        while True:
            try:
                await self._serve()
            except (OSError, WebSocketException, TimeoutError):
                pass
            self.joined.clear()
            await asyncio.sleep(self._dialer.draw_pause_s())

    async def _serve(self) -> None:
        from websockets.asyncio.client import connect  # noqa: PLC0415 - as above

        how: Any = {"additional_headers": self._headers, "compression": None, "proxy": None}
        async with connect(self._url, open_timeout=60, **how) as connection:
            await connection.send(self._outpost.hello(time.monotonic()))
            async for data in connection:
                self._hear(data)
                beat = self._outpost.beat(time.monotonic())
                if beat is not None:
                    await connection.send(beat)

    def _hear(self, data: Any) -> None:
        from apothic_emulator.agent import channel  # noqa: PLC0415 - as above

        frame = channel.parse(data)
        if frame.kind == channel.WELCOME:
            self._outpost.welcomed(frame, time.monotonic())
            self._dialer.succeeded()
            self.joined.set()
        else:
            self._outpost.take(frame, time.monotonic())


def _nothing(_: Any) -> None:
    """No executor runs here."""


def open_subject(workers: int) -> Agents:
    """Start a server."""
    del workers
    return Agents()
