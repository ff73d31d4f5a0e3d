"""The client sessions of one account: what arrives on them goes to its host, and replies go back.

    none ──hello──► connected ──cut──► cut off ──60 s──► over: what it waited for is given up,
                        ▲  │              │               and jobs that were its own are cancelled
                        │  └──going──► over at once
                        └─────hello───────┘

A session belongs to a client, not to a connection: what is owed to it stays owed while it is cut
off. A reply that comes meanwhile reaches nobody: what came with it goes back, and the client asks
again. Of two connections of one client the later one counts, and nothing that still lies in the
earlier one.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable

from apothic_backends.model.agents import StaleSession
from apothic_backends.model.errors import ApothicError, UsageError
from apothic_backends.remote import frames
from apothic_backends.remote.frames import Hello, Welcome
from apothic_emulator.host.host import Host
from apothic_emulator.server.outgoing import Outgoing, Receive, Send
from apothic_emulator.server.session import Allows, Session

GRACE_S = 60.0
"""How long a client may be cut off before it counts as dead."""

MOST_CUT = 1000
"""Clients of an account that are cut off and counted on; beyond, the one cut off first is over."""

HELLO_S = 5.0
"""How long a connection may take to say who it is."""

NORMAL, SUPERSEDED, NOT_OURS, RESTARTS = 1000, 4409, 4400, 1012
"""Why a connection is closed."""

_CLIENT = re.compile(r"[0-9a-f]{32}")
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


class Sessions:
    """The sessions of one account, by client."""

    def __init__(
        self, host: Host, *, most_bytes: int = frames.MOST_BYTES, grace_s: float = GRACE_S
    ) -> None:
        self._host = host
        self._most_bytes = most_bytes
        self._grace_s = grace_s
        self._known: dict[str, Session] = {}
        self._cut: dict[str, Session] = {}
        """Those that are cut off, the earliest first."""

    async def serve(
        self,
        receive: Receive,
        send: Send,
        allows: Allows = bool,
        abort: Callable[[], object] | None = None,
    ) -> None:
        """Serve an ASGI WebSocket whose client has shown a key.

        `allows` looks at each command, and `abort` cuts the connection of who does not read.
        """
        await receive()  # websocket.connect
        await send({"type": "websocket.accept"})
        connection = Outgoing(send, abort)
        try:
            session = await self._hello(receive, connection)
            await self._read(session, receive, connection, allows)
        except ApothicError as error:
            connection.put(frames.pack_value(frames.FAIL, 0, error))
            await connection.finish(NOT_OURS)
        else:
            await connection.finish(NORMAL)

    async def _hello(self, receive: Receive, connection: Outgoing) -> Session:
        try:
            async with asyncio.timeout(HELLO_S):
                data = await _next(receive)
        except TimeoutError:
            raise UsageError(f"no hello within {HELLO_S:g} s") from None
        hello = _checked(data)
        session = self._known.get(hello.client)
        if session is None:
            session = self._known[hello.client] = Session(
                hello.client, self._host, self._most_bytes
            )
        self._cut.pop(hello.client, None)
        before = session.attach(connection, set(hello.pending))
        if before is not None:
            stale = StaleSession("this session has ended: another connection has taken over")
            before.put(frames.pack_value(frames.FAIL, 0, stale))
            before.abort(SUPERSEDED)
        durability = self._host.plane.durability
        welcome = Welcome(durability, self._most_bytes, python=PYTHON)
        connection.put(frames.pack_record(frames.WELCOME, welcome))
        return session

    async def _read(
        self, session: Session, receive: Receive, connection: Outgoing, allows: Allows
    ) -> None:
        """Take what comes until the connection or the client ends."""
        in_order = False
        try:
            while (data := await _next(receive)) is not None and session.connection is connection:
                message = frames.unpack(data)
                if message.kind == frames.GOING:
                    in_order = True
                    return
                session.take(message, allows)
                await connection.room()
        finally:
            if in_order:
                self._over(session, in_order=True)
            elif session.cut(connection):
                loop = asyncio.get_running_loop()
                loop.call_later(self._grace_s, self._give_up, session, session.cuts)
                self._cut[session.client] = session
                if len(self._cut) > MOST_CUT:
                    self._over(next(iter(self._cut.values())), in_order=False)

    def _give_up(self, session: Session, cuts: int) -> None:
        """The time of a client that was cut off is up, unless it came back."""
        if session.connection is None and session.cuts == cuts:
            self._over(session, in_order=False)

    def _over(self, session: Session, *, in_order: bool) -> None:
        if self._known.get(session.client) is session:
            del self._known[session.client]
        if self._cut.get(session.client) is session:
            del self._cut[session.client]
        session.end(in_order=in_order)

    def going(self) -> None:
        """Tell every client that the server ends, and cut them off: they will come back."""
        for session in self._known.values():
            connection = session.connection
            if connection is not None:
                connection.put(frames.pack(frames.GOING, 0))
                connection.abort(RESTARTS)


async def _next(receive: Receive) -> bytes | None:
    """The next message; None when the connection has ended.

    Raises:
        UsageError: it is a text.
    """
    message = await receive()
    if message["type"] != "websocket.receive":
        return None
    data = message.get("bytes")
    if data is None:
        raise UsageError("messages are bytes here")
    return data


def _checked(data: bytes | None) -> Hello:
    """How a client begins.

    Raises:
        UsageError: not so.
    """
    if data is None:
        raise UsageError("no hello")
    message = frames.unpack(data)
    if message.kind != frames.HELLO:
        raise UsageError(f"a message of kind {message.kind!r:.20} where a hello is expected")
    hello: Hello = message.record(Hello)
    if hello.version != frames.VERSION:
        raise UsageError(
            f"this server speaks version {frames.VERSION} of its protocol, and the client version "
            f"{hello.version!r:.20}: install the same version of apothic on both sides"
        )
    if _CLIENT.fullmatch(str(hello.client)) is None:
        raise UsageError("a client is known by 32 hexadecimal digits")
    hello.pending = frames.numbers_in(hello.pending)
    return hello
