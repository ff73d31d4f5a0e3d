"""One connection of somebody who comes from elsewhere.

    client ── TLS ──► Visitor: each request is looked at ──► a pair of sockets ──► the door
       ▲                  │ refused: 401, and nothing of it is passed on             │
       └──────────────────┴──────────────── whatever is answered ◄──────────────────┘

It is taken to the door of the service with the first request that is let in, and is a connection
like any other there. What is answered is not looked into, but for whether a WebSocket is opened.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any, Protocol

from apothic_emulator.executors.web.callers import ANY, Caller
from apothic_emulator.gateway import paces
from apothic_emulator.gateway.heads import Headers
from apothic_emulator.gateway.links import Client, Link, Service, Side, Streams
from apothic_emulator.gateway.paces import Pace
from apothic_emulator.gateway.proxies import Proxy
from apothic_emulator.gateway.public import EVERYBODY, Pass, Refused
from apothic_emulator.gateway.requests import Requests

HEAD_S = 10.0
"""How long the head of a request may take."""

LINGER_S = 2.0
"""How long somebody who is refused may go on to speak, so that they hear why."""

TOO_SLOW = Refused(408, "timeout", "the head of the request took too long")
SLOW_BODY = Refused(408, "timeout", paces.TOO_SLOW)
TOO_MANY = Refused(429, "over_limit", "there are too many connections from your address")

_SWITCHED = b"HTTP/1.1 101"


class Front(Streams, Protocol):
    """What lets visitors in."""

    scheme: str
    """How they speak to it."""
    proxy: Proxy | None
    """What they come through, if they do."""

    def is_welcome(self, visit: Visit, client: str) -> bool:
        """Count a connection for whose requests come on it from now on; False if too many are."""
        ...

    def admit(self, token: str, address: str) -> Pass:
        """By what somebody may ask.

        Raises:
            Refused: they may not.
        """
        ...


class Visitor(Client):
    """The end of the client."""

    link: Visit
    _has_begun = _is_raw = is_refused = False
    _near: Caller
    """Who has connected."""
    _deadline: asyncio.TimerHandle | None = None
    _awaited = ("", 0)
    """What is to come, and of which request."""
    _pace: Pace
    """That of the latest request's body."""
    _is_next = True
    """Whether nothing was still to be answered when that came."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there, and is to say what for."""
        self.transport = transport
        peer: tuple[Any, ...] = transport.get_extra_info("peername") or ("127.0.0.1", 0)
        self._near = Caller(self.link.front.scheme, peer[0], peer[1], (ANY,))
        self.link.caller = self._near
        self._loop = asyncio.get_running_loop()
        self._requests = Requests(self._look)
        self._await("head")
        if not self.link.is_welcome:
            self._refuse(TOO_MANY)

    def _look(self, token: str, headers: Headers) -> Headers:
        link = self.link
        if link.front.proxy is not None:  # which may pass on requests of several on one connection
            link.caller = link.front.proxy.caller(headers, self._near)
            self._count(link.caller.address)
        link.go_by(link.front.admit(token, link.caller.address))
        self._is_next, link.is_owed = not link.is_owed, True
        self._pace = Pace(self._loop.time())
        address = link.caller.address.encode()
        return [(b"x-forwarded-for", address), (b"x-forwarded-proto", link.caller.scheme.encode())]

    def _count(self, address: str) -> None:
        """Count the connection for a client that the proxy names; for the proxy it was already.

        Raises:
            Refused: it has too many.
        """
        is_counted = address in (self._near.address, self.link.client_told)
        if not is_counted and not self.link.front.is_welcome(self.link, address):
            raise TOO_MANY

    def data_received(self, data: bytes) -> None:
        """Pass on what may be, and refuse the rest."""
        if self.is_refused:
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
            self._await("head")
        elif self._requests.is_in_body:
            self._await("body")
        else:
            self._stop_waiting()

    def _pass_on(self, out: bytes) -> None:
        if not self._has_begun:
            self._has_begun = True
            self.link.begin()
        if self.other is None or not self.other.is_closing():
            super().data_received(out)

    def hold(self) -> None:
        """What it says is not taken for the time being."""
        self._pace.hold(self._loop.time())

    def go_on(self) -> None:
        """It is taken again."""
        self._pace.go_on(self._loop.time())
        if self._deadline is None and self._awaited[0] == "body":
            self._look_at_body()

    def switched(self, *, is_raw: bool) -> None:
        """What was asked for a WebSocket has answered."""
        self._is_raw = is_raw
        if is_raw:
            rest, self._requests.rest, self._requests.is_switching = self._requests.rest, b"", False
            self._pass_on(rest)
        else:
            self._take(self._requests.go_on)
        if not self.is_refused:
            self.transport.resume_reading()

    @property
    def is_switching(self) -> bool:
        """Whether a WebSocket was asked for."""
        return self._requests.is_switching

    def _refuse(self, refused: Refused) -> None:
        """Say why; amid another answer that cannot be said."""
        self._stop_waiting()
        self.is_refused = True
        if self.link.is_owed:
            self.link.abort()
            return
        if self.transport.is_closing():
            return
        self.transport.write(refused.answer)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._loop.call_later(LINGER_S, self.transport.abort)

    def _await(self, what: str) -> None:
        awaited = (what, max(self._requests.count, 1))
        if self._awaited == awaited:
            return
        self._stop_waiting()
        self._awaited = awaited
        if what == "head":
            self._deadline = self._loop.call_later(HEAD_S, self._refuse, TOO_SLOW)
        else:
            self._look_at_body()

    def _look_at_body(self) -> None:
        self._deadline = None
        due = self._pace.due(self._requests.body)
        if due <= self._loop.time():
            self._end_body()
        elif due < math.inf:
            self._deadline = self._loop.call_at(due, self._look_at_body)

    def _end_body(self) -> None:
        """It comes too slowly, which is said if nothing of an answer was."""
        link = self.link
        if not (self._is_next and link.is_owed):
            link.abort()
            return
        link.is_owed = False
        self._refuse(SLOW_BODY)
        link.forsake()

    def _stop_waiting(self) -> None:
        self._awaited = ("", 0)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def eof_received(self) -> bool:
        """It says no more; over TLS it hears no more, either."""
        is_tls = self.transport.get_extra_info("sslcontext") is not None
        if self.is_refused or not self._has_begun or is_tls:
            return False
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._stop_waiting()
        self.link.go_by(EVERYBODY)
        super().connection_lost(exc)


class Host(Service):
    """The end of the service."""

    link: Visit
    _status = b""

    def data_received(self, data: bytes) -> None:
        """Pass it on, and see whether a WebSocket is open from now on."""
        link = self.link
        if link.visitor.is_refused:
            return
        link.is_owed = False
        super().data_received(data)
        if link.visitor.is_switching:
            self._status += data[: len(_SWITCHED)]
            if len(self._status) >= len(_SWITCHED):
                is_raw, self._status = self._status.startswith(_SWITCHED), b""
                link.visitor.switched(is_raw=is_raw)

    def pause_writing(self) -> None:
        """It does not take what the client says."""
        super().pause_writing()
        self.link.visitor.hold()

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        self.link.visitor.go_on()


class Visit(Link):
    """Both ends."""

    is_owed = False
    """Whether a request was passed on of whose answer nothing has come."""
    client_told = ""
    """For whom the connection is counted, if a proxy has named somebody."""
    key_id = ""
    """The key of the latest request."""
    caller: Caller
    _expiry: asyncio.TimerHandle | None = None

    def __init__(self, front: Front, *, is_welcome: bool) -> None:
        super().__init__(front)
        self.front, self.is_welcome = front, is_welcome

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

    def go_by(self, shown: Pass) -> None:
        """Go on under a key, and no longer than that holds."""
        if shown.key_id == self.key_id:
            return
        self.key_id = shown.key_id
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if shown.left_s < math.inf:
            self._expiry = asyncio.get_running_loop().call_later(shown.left_s, self.abort)

    def forsake(self) -> None:
        """Have nothing more to do with the service."""
        if self.service.transport is not None:
            self.service.transport.abort()

    def lost(self, side: Side, *, is_broken: bool) -> None:
        """An end is gone; who was refused may still hear why."""
        if side is not self.service or not self.visitor.is_refused:
            super().lost(side, is_broken=is_broken)
