"""Connections of clients: the client's end and the server's are the real ones, the line is not.

What is on a line that is cut is gone, and the server may notice that later than the client, so
that one connection stands when the next one has begun. A message may come twice.
"""

from __future__ import annotations

from queue import Empty
from typing import TYPE_CHECKING, Any

from apothic_backends.remote import frames
from apothic_backends.remote.address import Address
from apothic_backends.remote.connection import Connection
from apothic_backends.remote.frames import Hello, Welcome
from apothic_emulator.server.session import Session

if TYPE_CHECKING:
    from tests.simulation.sessions import SessionWorld

GRACE_S = 20.0
"""How long what is owed to a client is kept that is cut off."""


class Unthreaded(Connection):
    """The client's end, without threads of its own."""

    def __init__(self) -> None:
        super().__init__(Address("http", "sim", 80, ""), None)

    def _wake(self) -> None:
        """Whoever simulates it dials."""

    def written(self) -> list[tuple[Any, bytes]]:
        """What is to be written, and to which line."""
        found: list[tuple[Any, bytes]] = []
        while True:
            try:
                out = self._outbox.get_nowait()
            except Empty:
                return found
            if out is not None and out[0] is self._wire:
                found.append(out)

    def hang_up(self) -> None:
        """The line is gone."""
        self._wire = None


class Caller:
    """A process that is a client, again and again on new lines."""

    def __init__(self, world: SessionWorld) -> None:
        self.world = world
        self.connection = Unthreaded()
        self.line: Line | None = None
        self.is_dead = False
        world.at(world.now, self.dial)
        world.at(world.now + 5.0, self._catch_up)

    def dial(self) -> None:
        if not self.is_dead and self.line is None:
            self.line = Line(self.world, self)
            self.line.send(self.connection.hello(), may_double=False)

    def heard(self, line: Line, data: bytes) -> None:
        if line is not self.line or self.is_dead:
            return
        message = frames.unpack(data)
        if message.kind == frames.WELCOME:
            self.connection.welcomed(line, message)  # type: ignore[arg-type]
        else:
            self.connection.take(message)
        self.write()

    def write(self) -> None:
        for line, data in self.connection.written():
            line.send(data)

    def _catch_up(self) -> None:
        if not self.is_dead:
            self.connection.catch_up()
            self.write()
            self.world.at(self.world.now + 5.0, self._catch_up)

    def cut(self) -> None:
        """Its line is cut; it dials again."""
        line, self.line = self.line, None
        if line is not None:
            self.connection.hang_up()
            line.cut()
            self.world.at(self.world.now + self.world.chance.choice((0.05, 0.3, 4.0)), self.dial)

    def die(self) -> None:
        """The process is gone."""
        self.is_dead = True
        self.cut()


class Line:
    """One WebSocket."""

    def __init__(self, world: SessionWorld, caller: Caller) -> None:
        self.world, self.caller = world, caller
        self.is_up = True
        self.session: Session | None = None
        self.life = world.lives
        self._free = {True: world.now, False: world.now}

    def send(self, data: bytes, *, may_double: bool = True) -> None:
        """The client writes."""
        times = 2 if may_double and self.world.chance.random() < 0.05 else 1
        self.world.reached["twice"] += times - 1
        for _ in range(times):
            self._move(self._arrive, data, up=True)

    def put(self, data: bytes) -> None:
        """The server writes."""
        self._move(self._come, data, up=False)

    def _move(self, what: Any, data: bytes, *, up: bool) -> None:
        delay_s = self.world.chance.choice((0.0, 0.001, 0.02, 0.3))
        self._free[up] = max(self._free[up], self.world.now + delay_s)
        self.world.at(self._free[up], what, data)

    def _come(self, data: bytes) -> None:
        if self.is_up:
            self.caller.heard(self, data)

    def _arrive(self, data: bytes) -> None:
        world = self.world
        if not self.is_up or self.life != world.lives:
            return
        message, session = frames.unpack(data), self.session
        present: Any = None if session is None else session.connection
        if message.kind == frames.HELLO:
            self._hello(message.record(Hello))
        elif session is not None and present is self:
            session.take(message, bool)

    def _hello(self, hello: Hello) -> None:
        world = self.world
        session = world.sessions.get(hello.client)
        if session is None:
            session = Session(hello.client, world.desk, frames.MOST_BYTES)  # type: ignore[arg-type]
            world.sessions[hello.client] = session
        before = session.attach(self, set(hello.pending))  # type: ignore[arg-type]
        world.reached["taken over"] += before is not None
        self.session = session
        self.put(frames.pack_record(frames.WELCOME, Welcome("disk")))

    def cut(self) -> None:
        """It is gone; the server hears of that some time."""
        self.is_up = False
        self.world.at(self.world.now + self.world.chance.choice((0.0, 0.1, 3.0)), self._noticed)

    def _noticed(self) -> None:
        session = self.session
        if self.life == self.world.lives and session is not None and session.cut(self):  # type: ignore[arg-type]
            self.world.at(self.world.now + GRACE_S, self._over, session, session.cuts)

    def _over(self, session: Session, cuts: int) -> None:
        is_away = session.connection is None and session.cuts == cuts
        if self.life == self.world.lives and is_away:
            self.world.reached["over"] += 1
            self.world.sessions.pop(session.client, None)
            session.end(in_order=False)
