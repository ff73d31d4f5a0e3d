"""The gateway of a control plane: one thread, with a loop for all connections that it passes on.

    Reach(service, agents) ──► its door opens here ──► a connection: `Dial` to the agent with fewest
    Reach(service, ())     ──► it takes none                │
                                                            ▼
                              the stream of that name ◄── dialled; or another try, elsewhere

What has come and found no agent any more waits here until one is named again, and has one woken.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from apothic_emulator.core.doors import Roused
from apothic_emulator.executors.web.door import Door
from apothic_emulator.executors.web.loops import new_event_loop
from apothic_emulator.gateway.fronts import Front
from apothic_emulator.gateway.links import Link, Unreachable
from apothic_emulator.gateway.paths import ALIVE
from apothic_emulator.gateway.public import Public

DIAL_S = 10.0
"""How long an agent may take to dial a stream."""

MOST_TRIES = 3
"""How often it is tried to pass a connection on."""

MOST_OPEN = 4096
"""Connections of one service that are passed on at a time; others wait to be taken."""

Dials = Callable[[int, str, str], bool]
"""Has an agent, by its number, open a stream for a service under a name, if it is there."""


class Awaited(NamedTuple):
    """A stream that is to come, and whose connection it is for."""

    stream: asyncio.Future[socket.socket]
    said: bytes


class Gateway:
    """All doors whose connections are passed on. Its methods may be called from any thread."""

    def __init__(self, dial: Dials, tell: Callable[[Any], object]) -> None:
        self.dial, self.tell = dial, tell
        self.awaited: dict[str, Awaited] = {}
        """Who awaits a stream, by its name."""
        self.doors: dict[str, Outside] = {}
        self.fronts: dict[str, Front] = {}
        """Of those services that are reached from elsewhere than this machine."""
        self._runner = asyncio.Runner(loop_factory=new_event_loop)
        self.loop = self._runner.get_loop()
        self._thread = threading.Thread(target=self._run, name="apothic-gateway", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._runner:
            self.loop.run_forever()

    def reach(self, service: str, fds: list[int], agents: tuple[int, ...]) -> None:
        """Take connections at a door, whose sockets these are, for processes on these agents."""
        own = [os.dup(fd) for fd in fds]
        self.loop.call_soon_threadsafe(self._reach, service, own, agents)

    def show(
        self,
        service: str,
        listener: socket.socket,
        putting: socket.socket,
        public: Public,
        *,
        is_open: bool,
    ) -> None:
        """Have others than this machine reach a service, whose connections are put there."""

        def shown() -> None:
            self.fronts[service] = Front(service, listener, putting, public, is_open=is_open)

        self.loop.call_soon_threadsafe(shown)

    def let_in(self, service: str, *, everybody: bool) -> None:
        """Have everybody let in from elsewhere, or those alone who have a key."""
        self.loop.call_soon_threadsafe(self._let_in, service, everybody)

    def cut(self, key_id: str) -> None:
        """End what goes on under a key."""
        self.loop.call_soon_threadsafe(self._cut, key_id)

    def refuse(self, service: str, why: str) -> None:
        """Tell those who wait for a process that there comes none."""
        self.loop.call_soon_threadsafe(self._refuse, service, why)

    def drop(self, service: str) -> None:
        """Take no connection any more; those that are there end as their processes do."""
        self.loop.call_soon_threadsafe(self._drop, service)

    def joined(self, name: str, stream: socket.socket) -> None:
        """A stream was dialled; it is closed if nobody awaits it any more."""
        self.loop.call_soon_threadsafe(self._joined, name, stream)

    def said_of(self, name: str) -> bytes:
        """Whose connection it is that a stream of this name is for."""
        awaits = self.awaited.get(name)
        return b"" if awaits is None else awaits.said

    def came_back(self, service: str, taken: socket.socket, said: bytes) -> None:
        """An agent has no process any more for a connection: it is for others."""
        self.loop.call_soon_threadsafe(self._came_back, service, taken, said)

    def close(self) -> None:
        """Cut all."""
        self.loop.call_soon_threadsafe(self._end)
        self._thread.join(5.0)

    # --- on its own thread ----------------------------------------------------------------------

    def _reach(self, service: str, fds: list[int], agents: tuple[int, ...]) -> None:
        door = self.doors.get(service)
        if door is None:
            door = self.doors[service] = Outside(self, service)
        door.reach(fds, agents)

    def _refuse(self, service: str, why: str) -> None:
        door = self.doors.get(service)
        if door is not None:
            door.refuse(why)

    def _let_in(self, service: str, everybody: bool) -> None:  # noqa: FBT001 - for a loop
        front = self.fronts.get(service)
        if front is not None:
            front.is_open = everybody

    def _cut(self, key_id: str) -> None:
        for front in self.fronts.values():
            front.cut(key_id)

    def _drop(self, service: str) -> None:
        front = self.fronts.pop(service, None)
        if front is not None:
            front.close()
        door = self.doors.pop(service, None)
        if door is not None:
            door.reach([], ())
            door.refuse(f"{service} is stopped")

    def _joined(self, name: str, stream: socket.socket) -> None:
        awaits = self.awaited.pop(name, None)
        if awaits is None or awaits.stream.done():
            stream.close()
        else:
            for option in ALIVE if stream.family != socket.AF_UNIX else ():
                stream.setsockopt(*option)
            awaits.stream.set_result(stream)

    def _came_back(self, service: str, taken: socket.socket, said: bytes) -> None:
        door = self.doors.get(service)
        if door is None:
            taken.close()
        else:
            door.take(taken, said)

    def _end(self) -> None:
        for front in self.fronts.values():
            front.close()
            front.abort()
        for service in [*self.doors]:
            door = self.doors[service]
            self._drop(service)
            door.abort()
        self.loop.call_soon(self.loop.stop)


class Outside:
    """The door of one service, as the gateway has it."""

    def __init__(self, gateway: Gateway, service: str) -> None:
        self._gateway = gateway
        self._service = service
        self._agents: tuple[int, ...] = ()
        self._open: Counter[int] = Counter()
        """How many connections are passed on to which agent."""
        self._links: set[Link] = set()
        self._door: Door | None = None
        self._dialling: dict[asyncio.Future[socket.socket], int] = {}
        """Who awaits a stream, and of which agent."""
        self._waiting: asyncio.Future[None] | None = None
        """Done when there are agents again."""

    def reach(self, fds: list[int], agents: tuple[int, ...]) -> None:
        """Take connections for these agents from now on."""
        self._agents = agents
        for awaits, agent in self._dialling.items():
            if agent not in agents and not awaits.done():
                awaits.set_exception(TimeoutError())  # there is nobody to dial it
        if self._door is not None:
            self._door.leave()
            self._door = None
        if agents:
            self._door = Door(fds, self._new, lambda: len(self._links) < MOST_OPEN)
            self._wake(None)
        else:
            for fd in fds:
                os.close(fd)

    def refuse(self, why: str) -> None:
        """Nobody will take those that wait."""
        self._wake(Unreachable(f"{self._service} cannot be reached: {why}"))

    def _wake(self, error: Unreachable | None) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        if error is None:
            waiting.set_result(None)
        else:
            waiting.set_exception(error)
            waiting.exception()  # maybe nobody waits any more

    def _new(self, said: bytes) -> Any:
        link = Link(self, said)
        self._links.add(link)
        return link.client

    def take(self, taken: socket.socket, said: bytes) -> None:
        """Pass on a connection that did not come through the door."""
        self._taking = self._gateway.loop.create_task(self._take(taken, said))

    async def _take(self, taken: socket.socket, said: bytes) -> None:
        try:
            await self._gateway.loop.connect_accepted_socket(lambda: self._new(said), taken)
        except OSError:
            taken.close()

    def left(self, link: Link) -> None:
        """A connection is gone."""
        if link in self._links:
            self._links.discard(link)
            self._assign(link, None)
            if self._door is not None and len(self._links) == MOST_OPEN - 1:
                self._door.open()

    async def stream(self, link: Link) -> socket.socket:
        """A stream to a process.

        Raises:
            Unreachable: there is none.
        """
        for _ in range(MOST_TRIES):
            agent = await self._pick()
            self._assign(link, agent)
            found = await self._dial(agent, link.said)
            if found is not None:
                return found
        raise Unreachable(f"{self._service} cannot be reached: no agent opens a stream to it")

    def _assign(self, link: Link, agent: int | None) -> None:
        if link.agent is not None:
            self._open[link.agent] -= 1
        if agent is not None:
            self._open[agent] += 1
        link.agent = agent

    async def _pick(self) -> int:
        """The agent that has fewest connections, once there is one."""
        while not self._agents:
            if self._waiting is None:
                self._waiting = self._gateway.loop.create_future()
                self._gateway.tell(Roused(self._service))
            await asyncio.shield(self._waiting)
        return min(self._agents, key=lambda agent: self._open[agent])

    async def _dial(self, agent: int, said: bytes) -> socket.socket | None:
        name = secrets.token_hex(16)
        awaits: asyncio.Future[socket.socket] = self._gateway.loop.create_future()
        self._gateway.awaited[name] = Awaited(awaits, said)
        self._dialling[awaits] = agent
        try:
            if not self._gateway.dial(agent, self._service, name):
                self._agents = tuple(it for it in self._agents if it != agent)
                return None
            return await asyncio.wait_for(awaits, DIAL_S)
        except TimeoutError:
            return None
        finally:
            self._gateway.awaited.pop(name, None)
            del self._dialling[awaits]

    def abort(self) -> None:
        """Cut all connections."""
        for link in [*self._links]:
            link.abort()
