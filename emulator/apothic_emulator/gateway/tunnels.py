"""A connection that only its own loop can read, as a plain socket."""

from __future__ import annotations

import socket
from typing import Any

from apothic_emulator.gateway.links import Link


class Tunnel(Link):
    """A link which says nothing of its own."""

    def _apologise(self) -> None:
        """Whoever is at the other end of it does that."""
        self.client.transport.close()


class _Given:
    """A stream that is there already."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream

    async def stream(self, link: Link) -> socket.socket:
        """It."""
        return self._stream

    def left(self, link: Link) -> None:
        """It is gone."""


def tunnelled(transport: Any) -> socket.socket:
    """A socket by which a transport is read and written, on the loop of that."""
    ours, theirs = socket.socketpair()
    for each in (ours, theirs):
        each.setblocking(False)
    client = Tunnel(_Given(ours)).client
    transport.set_protocol(client)
    client.connection_made(transport)
    return theirs
