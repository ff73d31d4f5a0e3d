"""One connection of somebody who comes from elsewhere.

    client ── TLS ──► Visitor: each request is looked at ──► a pair of sockets ──► the door
       ▲                  │ refused: 401, and nothing of it is passed on             │
       └──────────────────┴──────────────── whatever is answered ◄──────────────────┘

It is taken to the door of the service with the first request that is let in, and is a connection
like any other there. What is answered is not looked into, but for whether a WebSocket is opened.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from apothic_emulator.executors.web.callers import ANY, Caller
from apothic_emulator.gateway.heads import Headers
from apothic_emulator.gateway.links import Client, Link, Service, Streams
from apothic_emulator.gateway.public import Refused
from apothic_emulator.gateway.requests import Requests

HEAD_S = 10.0
"""How long the head of a request may take."""

LINGER_S = 2.0
"""How long somebody who is refused may go on to speak, so that they hear why."""

TOO_SLOW = Refused(408, "timeout", "the head of the request took too long")
TOO_MANY = Refused(429, "over_limit", "there are too many connections from your address")

_SWITCHED = b"HTTP/1.1 101"


class Front(Streams, Protocol):
    """What lets visitors in."""

    scheme: str
    """How they speak to it."""

    def enter(self, visit: Visit) -> bool:
        """Count one; whether it may stay."""
        ...

    def admit(self, token: str, address: str) -> str:
        """The id of the key of somebody who may ask; nothing where anybody may.

        Raises:
            Refused: they may not.
        """
        ...


class Visitor(Client):
    """The end of the client."""

    link: Visit
    _has_begun = _is_over = _is_raw = False
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there, and is to say what for."""
        self.transport = transport
        peer: tuple[Any, ...] = transport.get_extra_info("peername") or ("127.0.0.1", 0)
        self.link.caller = Caller(self.link.front.scheme, peer[0], peer[1], (ANY,))
        self._requests = Requests(self._look)
        self._await_head()
        if not self.link.front.enter(self.link):
            self._refuse(TOO_MANY)

    def _look(self, token: str) -> Headers:
        link = self.link
        link.key_id = link.front.admit(token, link.caller.address)
        link.is_owed = True
        address = link.caller.address.encode()
        return [(b"x-forwarded-for", address), (b"x-forwarded-proto", link.caller.scheme.encode())]

    def data_received(self, data: bytes) -> None:
        """Pass on what may be, and refuse the rest."""
        if self._is_over:
            return
        if self._is_raw:
            super().data_received(data)
        elif self._requests.is_switching:
            self._requests.rest += data
            self.transport.pause_reading()
        else:
            self._take(self._requests.feed, data)

    def _take(self, feed: Any, *data: bytes) -> None:
        try:
            out: bytes = feed(*data)
        except Refused as refused:
            self._refuse(refused)
            return
        if out:
            self._pass_on(out)
        if self._requests.refused is not None:
            self._refuse(self._requests.refused)
        elif self._requests.is_in_head:
            self._await_head()
        else:
            self._stop_waiting()

    def _pass_on(self, out: bytes) -> None:
        if not self._has_begun:
            self._has_begun = True
            self.link.begin()
        if self.other is None or not self.other.is_closing():
            super().data_received(out)

    def switched(self, *, is_raw: bool) -> None:
        """What was asked for a WebSocket has answered."""
        self._is_raw = is_raw
        if is_raw:
            rest, self._requests.rest, self._requests.is_switching = self._requests.rest, b"", False
            self._pass_on(rest)
        else:
            self._take(self._requests.go_on)
        if not self._is_over:
            self.transport.resume_reading()

    @property
    def is_switching(self) -> bool:
        """Whether a WebSocket was asked for."""
        return self._requests.is_switching

    def _refuse(self, refused: Refused) -> None:
        """Say why; amid another answer that cannot be said."""
        self._stop_waiting()
        self._is_over = True
        if self.link.is_owed:
            self.link.abort()
            return
        if self.transport.is_closing():
            return
        self.transport.write(refused.answer)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_S, self.transport.abort)

    def _await_head(self) -> None:
        if self._deadline is None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(HEAD_S, self._refuse, TOO_SLOW)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def eof_received(self) -> bool:
        """It says no more; over TLS it hears no more, either."""
        if self._is_over or not self._has_begun or self.link.caller.scheme == "https":
            return False
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._stop_waiting()
        super().connection_lost(exc)


class Host(Service):
    """The end of the service."""

    link: Visit
    _status = b""

    def data_received(self, data: bytes) -> None:
        """Pass it on, and see whether a WebSocket is open from now on."""
        link = self.link
        link.is_owed = False
        super().data_received(data)
        if link.visitor.is_switching:
            self._status += data[: len(_SWITCHED)]
            if len(self._status) >= len(_SWITCHED):
                is_raw, self._status = self._status.startswith(_SWITCHED), b""
                link.visitor.switched(is_raw=is_raw)


class Visit(Link):
    """Both ends."""

    is_owed = False
    """Whether a request was passed on of whose answer nothing has come."""
    key_id = ""
    """The key of the latest request."""
    caller: Caller

    def __init__(self, front: Front) -> None:
        super().__init__(front)
        self.front = front

    def make_client(self) -> Client:
        """The end of the client."""
        self.visitor = Visitor(self)
        return self.visitor

    def make_service(self) -> Service:
        """The end of the service."""
        return Host(self)

    @property
    def said(self) -> bytes:
        """What the service is told of the client."""
        return self.caller.said()
