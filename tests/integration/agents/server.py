"""A control plane that agents join, in this process: a host, and a tiny server of WebSockets."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from apothic import Job
from apothic_backends.commands import WaitJob
from apothic_backends.model.jobs import JobOutcome
from apothic_emulator.agent.channel import HELLO
from apothic_emulator.agent.zygote import Zygote
from apothic_emulator.core.plane import Plane
from apothic_emulator.host.backend import LocalBackend
from apothic_emulator.host.commits import Commits
from apothic_emulator.host.host import Host
from apothic_emulator.host.joining import serve_agent
from apothic_emulator.host.thread import HostThread

LEASE_S = 2.0


class Wire:
    """A connection as `serve_agent` wants it; all comes twice, or late, if its server says so."""

    def __init__(self, connection: ServerConnection, server: Server) -> None:
        self._connection = connection
        self._server = server
        self._again: bytes | None = None

    async def receive(self) -> bytes | None:
        again, self._again = self._again, None
        if again is not None:
            return again
        try:
            data = await self._connection.recv()
            await self._server.pass_on()
        except ConnectionClosed:
            return None
        assert isinstance(data, bytes)
        self._again = data if self._server.is_twice and data[4] < HELLO else None
        return data

    async def send(self, data: bytes) -> None:
        try:
            await self._server.pass_on()
            await self._connection.send(data)
            if self._server.is_twice and data[4] < HELLO:
                await self._connection.send(data)
        except ConnectionClosed:
            pass

    async def close(self, code: int, reason: str) -> None:
        await self._connection.close(code, reason)


class Server:
    """A host without executors of its own, and where agents join it."""

    def __init__(self, *, store: Any = None, lease_s: float = LEASE_S, port: int = 0) -> None:
        thread = HostThread(Zygote())
        thread.start()
        commits = None if store is None else Commits(store)
        self.host = Host(thread, commits=commits, has_home=False, lease_s=lease_s)
        self.backend = LocalBackend(self.host)
        self.port = port
        self.is_twice = False
        self.delay_s = 0.0
        self._is_open = True
        self._gate = asyncio.Event()
        self._gate.set()
        self._connections: set[ServerConnection] = set()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over: asyncio.Event = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        async with serve(self._joined, "127.0.0.1", self.port, compression=None) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            self._ready.set()
            await self._over.wait()

    async def _joined(self, connection: ServerConnection) -> None:
        if not self._is_open:
            return
        self._connections.add(connection)
        try:
            await serve_agent(Wire(connection, self), self.host)
        finally:
            self._connections.discard(connection)

    async def pass_on(self) -> None:
        """Hold a frame up, as long as the network does."""
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        await self._gate.wait()

    def _call(self, work: Callable[[], object]) -> None:
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (work(), done.set()))
        assert done.wait(10)

    def cut(self) -> None:
        """End every connection, and take none until `mend`."""
        self._is_open = False

        def close() -> None:
            for connection in self._connections:
                connection.transport.abort()

        self._call(close)

    def mend(self) -> None:
        self._is_open = True
        self._call(self._gate.set)

    def go_silent(self) -> None:
        """Pass nothing on, and end nothing."""
        self._call(self._gate.clear)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def look(self, read: Callable[[Plane], Any]) -> Any:
        return self.host.look(read)

    def until(self, is_so: Callable[[Plane], Any], what: str = "") -> None:
        """Wait for something to be so in the core, looking after each step."""
        happened = threading.Event()

        def look(plane: Plane) -> None:
            if is_so(plane):
                happened.set()

        self.host.after_step(look)
        self.host.look(look)
        assert happened.wait(30), what or "it never is"

    def outcome(self, job: Job[Any]) -> JobOutcome:
        """How a job has ended, once it has."""
        return self.backend.start(WaitJob(job.job_id)).wait(30)

    def close(self) -> None:
        self._call(self._gate.set)
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self.host.close()


AGENT = "from apothic_emulator.agent.commands import agent; agent()"
ROOT = Path(__file__).parents[3]


def start_agent(
    url: str, folder: Path, *more: str, name: str = "a", **env: str
) -> subprocess.Popen[bytes]:
    """An agent as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", AGENT, "--url", url, "--name", name, "--cpu", "4", *more],
        env={**os.environ, "APOTHIC_HOME": str(folder), "PYTHONPATH": str(ROOT), **env},
        cwd=ROOT,
    )
