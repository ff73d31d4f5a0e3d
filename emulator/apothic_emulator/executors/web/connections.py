"""Connections of a service: uvicorn's protocols, which count what is under way."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Protocol

from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from apothic_emulator.executors.web.callers import ANY, MANY, NOTHING, read
from apothic_emulator.executors.web.hosts import REFUSED, is_known

HEAD_S = 10.0
"""How long the head of a request may take."""

MOST_HEAD = 64 * 1024
"""The largest head of a request, in bytes."""

LINGER_S = 2.0
"""How long somebody who is refused may go on to speak, so that they hear why."""

ASK_S = 1.0
"""How long it is taken that somebody who has connected is about to ask for something."""

STREAM_S = 0.1
"""What an application gets to notice that its event stream has ended."""


class Server(Protocol):
    """What a connection needs of its server."""

    is_draining: bool
    is_limited: bool
    has_served: bool
    idle_since: float
    open: int
    fresh: int
    taken: int
    waiting: Any
    hosts: tuple[str, ...]

    def opened(self) -> None:
        """A connection is there."""
        ...

    def left(self) -> None:
        """A connection is gone."""
        ...

    def count(self, more: int) -> None:
        """So many requests more, or less, are under way."""
        ...

    def has_place(self) -> bool:
        """Whether the application may work on another request."""
        ...

    def task_ended(self, task: asyncio.Task[None]) -> None:
        """The application is done with a request."""
        ...

    def let_go(self, connection: Any) -> None:
        """End a connection, if that is in order now."""
        ...


_MISSPOKEN = b"the application of this service does not speak ASGI\n"


class Cycle(RequestResponseCycle):
    """A request and its answer."""

    is_stream = False
    task: Any = None

    async def send_500_response(self) -> None:
        """Answer in place of an application that has not: 500 if it raised, 502 if it misspoke."""
        error = sys.exception()
        if error is not None and not _is_refused(error):
            await super().send_500_response()
            return
        length = b"%d" % len(_MISSPOKEN)
        about = [
            (b"content-type", b"text/plain"),
            (b"content-length", length),
            (b"connection", b"close"),
        ]
        await self.send({"type": "http.response.start", "status": 502, "headers": about})
        await self.send({"type": "http.response.body", "body": _MISSPOKEN})


def _is_refused(error: BaseException) -> bool:
    """Whether it is our refusal of what an application has sent at the wrong time."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__") == httptools_impl.__name__


_uvicorn: Any = httptools_impl
_uvicorn.RequestResponseCycle = Cycle  # its protocol makes one for each request

_NO_HEAD = -(1 << 62)
"""In place of the size of a head, while what comes is a body."""

# Called for every request: without `super()`, which takes as long as half of what they do.
_received = HttpToolsProtocol.data_received
_begun = HttpToolsProtocol.on_message_begin
_asked = HttpToolsProtocol.on_headers_complete
_said = HttpToolsProtocol.on_message_complete
_answered = HttpToolsProtocol.on_response_complete


class Connection(HttpToolsProtocol):
    """One connection, and what of its requests is under way."""

    serves: Server
    """Set on the class that a server makes its own."""
    said = NOTHING
    """What those who handed it on say of its client."""
    since = 0.0
    """When the request that is under way began, or the last one ended."""
    _open = 0
    """Requests that have begun and are not answered."""
    _head = 0
    _is_in_head = _is_in_request = _is_fresh = False
    _has_many = False
    """Whether each of its requests may be of another client."""
    is_refused = False
    """Whether nothing that comes is heard any more."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """It is there."""
        super().connection_made(transport)
        self.since = self.loop.time()
        self.serves.opened()
        self._is_fresh = True
        self._hosts = self.serves.hosts
        caller = read(self.said)
        if caller is not None:
            self.client, self.scheme = (caller.address, caller.port), caller.scheme
            self._hosts = caller.hosts
            self._has_many = MANY in caller.hosts

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone, and with it what it had asked."""
        super().connection_lost(exc)
        self._settle()
        self.serves.count(-self._open)
        self._open = 0
        self.serves.left()

    def data_received(self, data: bytes) -> None:
        """Part of a request has come."""
        if self.is_refused:
            return
        self._head += len(data)
        _received(self, data)
        if self._is_in_head and self._head > MOST_HEAD:
            self.send_400_response("")

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, or one whose head is too large."""
        if self._head > MOST_HEAD:
            self.refuse(431, b"the head of the request is too large")
        else:
            self.refuse(400, b"the request cannot be read")

    def refuse(self, status: int, why: bytes) -> None:
        """Answer a request that is not to be carried out, and no other after it."""
        if self.transport.is_closing() or self.is_refused:
            return
        self.is_refused = True
        head = b"content-type: text/plain\r\nconnection: close\r\ncontent-length: "
        self.transport.write(STATUS_LINE[status] + head + b"%d\r\n\r\n%b" % (len(why), why))
        if self._open:
            self.transport.close()  # nothing that is said besides is wanted
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def on_message_begin(self) -> None:
        """A request begins."""
        _begun(self)
        self._is_in_head = self._is_in_request = True
        self.since = self.loop.time()

    def on_headers_complete(self) -> None:
        """The head of a request is here: it is carried out.

        Raises:
            ValueError: it is too large, or for another host; the parser ends with that.
        """
        if self._head > MOST_HEAD:
            self._head = sum(len(n) + len(v) + 4 for n, v in self.headers) + len(self.url)
            if self._head > MOST_HEAD:
                raise ValueError("the head is too large")
        self._is_in_head = False
        if self._is_fresh:
            self._settle()
            self._check_host()
        if self._has_many:
            self._look_again()
        self._head = _NO_HEAD
        self._open += 1
        self.serves.open += 1
        _asked(self)

    def on_message_complete(self) -> None:
        """All of a request is here."""
        self._head, self._is_in_request = 0, False
        _said(self)

    def _check_host(self) -> None:
        """Let no page of others in: a browser asks for one host only on a connection.

        Raises:
            ValueError: it asks for another one than this machine.
        """
        hosts = [value.decode("latin-1") for name, value in self.headers if name == b"host"]
        if ANY not in self._hosts and not all(is_known(host, self._hosts) for host in hosts):
            self.refuse(403, REFUSED.encode())
            raise ValueError("the host is not ours")

    def _look_again(self) -> None:
        """See who asks now: the gateway says so at the end of each head."""
        told = next((its for name, its in self.headers[::-1] if name == b"x-forwarded-for"), b"")
        address = told.decode("ascii")
        if address and self.client is not None and address != self.client[0]:
            self.client = self.scope["client"] = (address, 0)

    def _settle(self) -> None:
        """It is known by now what it wants."""
        if self._is_fresh:
            self._is_fresh = False
            self.serves.fresh -= 1

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if not self.serves.is_limited or self.serves.has_place():
            self.start(cycle, app)
        else:
            self.serves.waiting.append((self, cycle, app))

    def start(self, cycle: Any, app: Any) -> None:
        """Carry out a request."""
        serves = self.serves
        serves.taken += 1
        cycle.task = task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(serves.task_ended)
        self.tasks.add(task)

    def on_response_complete(self) -> None:
        """All of an answer is on its way."""
        serves = self.serves
        self._open -= 1
        self.since = now = self.loop.time()
        serves.open -= 1
        serves.idle_since, serves.has_served = now, True
        _answered(self)
        if serves.is_draining:
            serves.let_go(self)

    def handle_websocket_upgrade(self) -> None:
        """It is a WebSocket from now on."""
        self._open = 0  # it counts on, as a WebSocket
        super().handle_websocket_upgrade()

    @property
    def is_between(self) -> bool:
        """Whether nothing of a request is here, and nothing of an answer is still to be sent."""
        is_sent = not self.transport.get_write_buffer_size()
        return not self._open and not self._is_in_request and is_sent

    def is_about_to_ask(self, now: float) -> bool:
        """Whether part of a head is here, or the first one can be on its way."""
        return self._is_in_head or (self._is_fresh and now - self.since < ASK_S)

    @property
    def is_stream(self) -> bool:
        """Whether it is answered by an event stream, which has no end of its own."""
        cycle: Any = self.cycle
        return bool(self._open and cycle.is_stream and not cycle.response_complete)

    def end_stream(self) -> None:
        """Have the application see that nobody listens any more, and the client a proper end."""
        cycle: Any = self.cycle
        if cycle.chunked_encoding:
            self.transport.write(b"0\r\n\r\n")
        self.transport.close()
        cycle.disconnected = True
        cycle.message_event.set()
        self.loop.call_later(STREAM_S, cycle.task.cancel)

    def look(self, now: float, timeout_s: float) -> None:
        """End what has taken too long: a head, or an answer that has not begun."""
        if self.is_refused:
            return
        if self._is_in_head and now - self.since > HEAD_S:
            self.refuse(408, b"the head of the request took too long")
        elif self._open and now - self.since > timeout_s:
            cycle: Any = self.cycle
            if not cycle.response_started:
                cycle.disconnected = True
                self.refuse(504, b"the answer took too long")
                if cycle.task is not None:
                    cycle.task.cancel()


class Socket(WebSocketsSansIOProtocol):
    """A WebSocket; it counts as a request for as long as it is open."""

    serves: Server

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The connection was another kind of one before, which knows its client."""
        super().connection_made(transport)
        before: Any = transport.get_protocol()
        self.client, self.scheme = before.client, "wss" if before.scheme == "https" else "ws"

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone, and with it what it had asked."""
        super().connection_lost(exc)
        self.serves.count(-1)
        self.serves.left()
