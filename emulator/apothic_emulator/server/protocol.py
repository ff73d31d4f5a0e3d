"""HTTP as uvicorn reads it, with what a server that others reach needs besides.

The head of a request has a limit and a deadline, and one address has so many connections. The guard
gets the request line's own target (an absolute one names a host, which nobody may overlook) and a
way to cut a connection that takes nothing: closing it would wait until what was sent is taken.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from apothic_emulator.gateway.sources import Sources
from apothic_emulator.gateway.tunnels import tunnelled
from apothic_emulator.server.guard import ABORT, TAKE, TARGET

MOST_HEAD = 64 << 10
"""Bytes of the head of a request, as long as it is not whole."""

HEAD_S = 10.0
"""How long the head of a request may take to come."""

LINGER_S = 10.0
"""How long the rest of a body may take to come whose request was answered before."""

MOST_FRAGMENTS = 1024
"""Pieces of one message of a WebSocket."""

MOST_PINGS = 100
"""Pings of a WebSocket that come while it does not take what was sent to it."""

_PLAIN = b"Content-Type: text/plain\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_BAD = b"HTTP/1.1 400 Bad Request\r\n" + _PLAIN
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\n" + _PLAIN
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\n" + _PLAIN
_TOO_MANY = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\n" + _PLAIN


class Config(uvicorn.Config):
    """uvicorn's own, and what all connections share."""

    sources: Sources


class Protocol(HttpToolsProtocol):
    """One connection."""

    config: Config
    _head_bytes = 0
    _is_in_head = _is_in_body = False
    _deadline: asyncio.TimerHandle | None = None
    _rest: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Somebody has connected, and is to say what for."""
        super().connection_made(transport)
        if self.config.sources.enter(_address(self.client)):
            self._await_head()
        else:
            self._end(_TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self.config.sources.leave(_address(self.client))
        self._is_in_body = False
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._is_in_body and self._rest is None:
            self._await_rest()
        if not self._is_in_head:
            return
        self._head_bytes += len(data)
        if self._head_bytes > MOST_HEAD:
            self._end(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._head_bytes, self._is_in_head = 0, True
        self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head of a request is there."""
        self._is_in_head, self._is_in_body = False, True
        self._stop_waiting()
        extensions: dict[str, Any] = self.scope.setdefault("extensions", {})
        extensions[TARGET] = bytes(self.url)
        extensions[ABORT] = self.transport.abort
        extensions[TAKE] = self.take
        super().on_headers_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """What is not upgraded here goes on as a request, which its handler may take."""

    def take(self, said: bytes) -> socket.socket:
        """Say a last thing, and give the connection away: what comes next on it is not for us."""
        self.transport.write(said)
        cycle: Any = self.cycle
        cycle.disconnected = True
        if self.transport.get_extra_info("sslcontext") is not None:
            taken = tunnelled(self.transport)
            self.connection_lost(ConnectionAbortedError())  # with None it would be closed, too
            return taken
        its = self.transport.get_extra_info("socket")
        taken = socket.socket(fileno=os.dup(its.fileno()))
        self.transport.abort()
        return taken

    def on_message_complete(self) -> None:
        """A request is there as a whole."""
        self._is_in_body = False
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """Hand a connection over to WebSockets, if its target is a path."""
        self._is_in_body = False
        if self.url.startswith(b"/"):
            super().handle_websocket_upgrade()
        else:
            self._end(_BAD)

    def _await_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_S, self._end, _TOO_SLOW)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _await_rest(self) -> None:
        """Look again later whether a body still comes that nobody reads any more."""
        self._rest = self.loop.call_later(LINGER_S, self._look_for_rest)

    def _look_for_rest(self) -> None:
        self._rest = None
        if self._is_in_body and self.cycle.response_complete:
            self.transport.abort()
        elif self._is_in_body:
            self._await_rest()

    def _end(self, response: bytes) -> None:
        """Say why, if it is heard, and hang up."""
        self._is_in_head = False
        self._stop_waiting()
        if not self.transport.is_closing():
            self.transport.write(response)
            self.transport.close()


class SocketProtocol(WebSocketsSansIOProtocol):
    """One WebSocket."""

    config: Config
    _pings = 0

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self.config.sources.leave(_address(self.client))
        super().connection_lost(exc)

    def handle_cont(self, event: Any) -> None:
        """Take a further piece of a message."""
        if len(self.frames) >= MOST_FRAGMENTS:
            self.transport.abort()
        else:
            super().handle_cont(event)

    def handle_ping(self) -> None:
        """Answer a ping, unless the answers pile up."""
        self._pings = 0 if self.writable.is_set() else self._pings + 1
        if self._pings > MOST_PINGS:
            self.transport.abort()
        else:
            super().handle_ping()

    async def run_asgi(self) -> None:
        """Have it served."""
        extensions: dict[str, Any] = self.scope.setdefault("extensions", {})
        extensions[ABORT] = self.transport.abort
        await super().run_asgi()

    async def send(self, message: Any) -> None:
        """Send; what was refused with a response is over, which uvicorn takes for a mistake."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True


def _address(client: tuple[str, int] | None) -> str:
    return client[0] if client is not None else ""
