"""The WebSockets of a server, by path: each behind the guard, with an account and a key.

To add one, write a handler and name it here. It gets the socket before it is accepted, and runs for
as long as the connection; when its key is revoked or expires it is cancelled, and the socket is
closed by the guard.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any, cast

from starlette.websockets import WebSocket

from apothic_backends.model.record import Record
from apothic_emulator.server.keys import Key
from apothic_emulator.server.site import Site

Handler = Callable[[WebSocket, Key, Site], Awaitable[None]]


class Socket(Record):
    """A WebSocket: where it is, which scopes open it, and `module:name` of its handler."""

    path: str
    scopes: frozenset[str]
    handler: str


SOCKETS: tuple[Socket, ...] = ()
"""Every WebSocket of a server."""


def handler_of(socket: Socket) -> Handler:
    """The handler, loaded when a server is made."""
    module, _, name = socket.handler.partition(":")
    found: Any = getattr(import_module(module), name)
    return cast("Handler", found)
