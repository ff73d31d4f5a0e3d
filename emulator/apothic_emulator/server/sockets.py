"""The WebSockets of a server, by path: each behind the guard, with a key.

To add one, write an ASGI application that also takes the key and the site, and name it here. It
gets the socket before that is accepted, and runs for as long as the connection. When its key is
revoked or expires it is cancelled, and the guard closes the socket. `site.account(key)` is the
account, `site.waits.is_over` that the server is about to end, and `ABORT` in the scope's extensions
what cuts a connection that takes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any, cast

from apothic_backends.model.record import Record
from apothic_backends.remote.frames import CLIENT_PATH
from apothic_emulator.server.catalog import READ
from apothic_emulator.server.guard import Receive, Scope, Send
from apothic_emulator.server.keys import Key
from apothic_emulator.server.site import Site

Handler = Callable[[Scope, Receive, Send, Key, Site], Awaitable[None]]


class Socket(Record):
    """A WebSocket: where it is, which scopes open it, and `module:name` of its handler."""

    path: str
    scopes: frozenset[str]
    handler: str


SOCKETS: tuple[Socket, ...] = (
    Socket(CLIENT_PATH, READ, "apothic_emulator.server.clients:serve"),
    Socket("/v1/agent", frozenset({"agent"}), "apothic_emulator.server.agents:join"),
)
"""Every WebSocket of a server."""


def handler_of(socket: Socket) -> Handler:
    """The handler, loaded when a server is made."""
    module, _, name = socket.handler.partition(":")
    found: Any = getattr(import_module(module), name)
    return cast("Handler", found)
