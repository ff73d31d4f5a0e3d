"""Where the processes of a service take connections, without a host."""

from __future__ import annotations

import socket


class Door:
    """A door as a host has one, and those who come to it."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.handed, self.handing = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.handed.setblocking(False)
        self.callers: list[socket.socket] = []

    def duplicates(self) -> list[int]:
        """What one process gets."""
        return [each.dup().detach() for each in (self.listener, self.handed, self.handing)]

    def caller(self) -> socket.socket:
        """Somebody who connects."""
        caller = socket.create_connection(self.listener.getsockname())
        self.callers.append(caller)
        return caller

    def close(self) -> None:
        for each in (self.listener, self.handed, self.handing, *self.callers):
            each.close()
