"""A control plane that agents join, in this process: a host, and a tiny server of WebSockets."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from apothic import Job
from apothic_backends.commands import ReadEvents, WaitJob
from apothic_backends.model.jobs import JobOutcome
from apothic_emulator.agent import messages
from apothic_emulator.agent.channel import HELLO, parse
from apothic_emulator.agent.zygote import Zygote
from apothic_emulator.core.hellos import Capacity, Join, Leave, Welcome
from apothic_emulator.core.plane import Plane
from apothic_emulator.host.backend import LocalBackend
from apothic_emulator.host.commits import Commits
from apothic_emulator.host.host import Host
from apothic_emulator.host.joining import serve_agent
from apothic_emulator.host.thread import HostThread
from tests.integration.agents.steps import Stop

LEASE_S = 2.0


class Wire:
    """A connection as `serve_agent` wants it; all comes twice, or late, if its server says so."""

    def __init__(self, connection: ServerConnection, server: Server) -> None:
        self._connection = connection
        self._server = server
        self._again: bytes | None = None
        self._name = ""

    async def receive(self) -> bytes | None:
        again, self._again = self._again, None
        if again is not None:
            return again
        try:
            data = await self._connection.recv()
            assert isinstance(data, bytes)
            self._name = self._name or messages.from_bytes(parse(data).body).name
            await self._server.pass_on(up=True)
            if not await self._passes(data, up=True):
                return None
        except ConnectionClosed:
            return None
        self._again = data if self._server.is_twice and data[4] < HELLO else None
        return data

    async def send(self, data: bytes) -> None:
        try:
            await self._server.pass_on(up=False)
            if not await self._passes(data, up=False):
                return
            await self._connection.send(data)
            if self._server.is_twice and data[4] < HELLO:
                await self._connection.send(data)
        except ConnectionClosed:
            pass

    async def _passes(self, data: bytes, *, up: bool) -> bool:
        """Whether a frame goes on; from a stop on none does, unless it is let go."""
        stop = self._server.stops.get(self._name)
        if stop is None or (not stop.reached.is_set() and not stop.sees(data, up=up)):
            return True
        if stop.passes and not stop.reached.is_set():
            self._server.after_this(stop.reached.set)
            return True
        stop.reached.set()
        await _either(stop.is_let_go.wait(), self._connection.wait_closed())
        return stop.is_let_go.is_set()

    async def close(self, code: int, reason: str) -> None:
        await self._connection.close(code, reason)


async def _either(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait for one of these."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


class Server:
    """A host without executors of its own, and where agents join it."""

    def __init__(
        self,
        *,
        store: Any = None,
        lease_s: float = LEASE_S,
        grace_s: float = 60.0,
        port: int = 0,
        renting: Any = None,
    ) -> None:
        thread = HostThread(Zygote())
        thread.start()
        commits = None if store is None else Commits(store)
        how: dict[str, Any] = {"has_home": False, "lease_s": lease_s, "renting": renting}
        self.host = Host(thread, commits=commits, **how)
        self.host.plane.fleet.grace_s = grace_s
        self.backend = LocalBackend(self.host)
        self.port = port
        self.is_twice = False
        self.delay_s = 0.0
        self.stops: dict[str, Stop] = {}
        """Where what an agent of some name says and hears stands still."""
        self._is_open = True
        self._gates = {True: asyncio.Event(), False: asyncio.Event()}
        """Whether frames pass, up and down."""
        self._open_gates()
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

    async def pass_on(self, *, up: bool) -> None:
        """Hold a frame up, as long as the network does."""
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        await self._gates[up].wait()

    def _open_gates(self) -> None:
        for gate in self._gates.values():
            gate.set()

    def after_this(self, what: Callable[[], object]) -> None:
        """Do something once what is under way has been done."""
        self._loop.call_soon(what)

    def let_go(self, name: str) -> None:
        """Have what stands still go on."""
        self._call(self.stops.pop(name).is_let_go.set)

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
        self._call(self._open_gates)

    def go_silent(self) -> None:
        """Pass nothing on, and end nothing."""
        self._call(lambda: [gate.clear() for gate in self._gates.values()])

    def go_deaf(self) -> None:
        """Hear nothing of any agent, which hears everything."""
        self._call(self._gates[True].clear)

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

    def forget(self, name: str) -> None:
        """Another process of that name joins, and leaves."""
        joined: Welcome = self._ask(Join(name, "another", Capacity(1, 1)))
        self._ask(Leave(joined.agent, joined.session))

    def _ask(self, command: Any) -> Any:
        return self.backend.start(command).wait(30)

    def events(self, job: Job[Any]) -> list[str]:
        """What was told of a job."""
        return [event.event for event in self._ask(ReadEvents(job.job_id)).events]

    def kept(self, job: Job[Any]) -> Any:
        """A job as the core knows it."""
        return self.look(lambda plane: plane.ledger.jobs[int(job.job_id[5:])])

    def until_there(self, name: str) -> None:
        """Wait until an agent of that name has joined, and said all that it had to say."""
        self.until(
            lambda plane: any(
                agent.name == name and agent.is_heard for agent in plane.fleet.agents.far.values()
            )
        )

    def outcome(self, job: Job[Any]) -> JobOutcome:
        """How a job has ended, once it has."""
        return self.backend.start(WaitJob(job.job_id)).wait(30)

    def close(self) -> None:
        self._call(self._open_gates)
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self.host.close()


AGENT = "from apothic_emulator.agent.commands import agent; agent()"
ROOT = Path(__file__).parents[3]


def start_agent(
    url: str,
    folder: Path,
    *more: str,
    name: str = "a",
    pause_s: float = 30.0,
    stderr: int | None = None,
    **env: str,
) -> subprocess.Popen[bytes]:
    """An agent as a process of its own, which dials again after `pause_s` at the latest."""
    patient = f"from apothic_emulator.agent import dialing; dialing.LONGEST_S = {pause_s}; "
    return subprocess.Popen(
        [sys.executable, "-c", patient + AGENT, "--url", url, "--name", name, "--cpu", "4", *more],
        env={**os.environ, "APOTHIC_HOME": str(folder), "PYTHONPATH": str(ROOT), **env},
        cwd=ROOT,
        stderr=stderr,
    )
