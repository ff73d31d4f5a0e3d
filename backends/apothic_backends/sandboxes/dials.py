"""Connections to the ports of a guest, for callers who are not on this machine.

A caller holds a number, and asks for bytes again and again; each connection is used by one caller.
"""

from __future__ import annotations

import itertools
import select
import socket
import threading
import time
from contextlib import suppress

from apothic_backends.model.errors import NotFound, OverLimit
from apothic_backends.sandboxes.guest import Guest

MOST_OPEN = 32
"""Connections of one sandbox at once."""

MOST_BYTES = 256 << 10
"""What one call gives at most."""

_RETRY_S = 0.02


class Dials:
    """The connections that callers have to the ports of one guest."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._numbers = itertools.count(1)
        self._changing = threading.Lock()
        self._open: dict[int, socket.socket] = {}

    def dial(self, port: int, wait_s: float) -> int | None:
        """Connect to a port; None if nobody listens there, nor within that time.

        Raises:
            OverLimit: as many as may be are open.
            GuestGone: the guest has ended.
        """
        deadline = time.monotonic() + wait_s
        while True:
            try:
                return self._keep(self._guest.connect(port))
            except OSError:
                if time.monotonic() >= deadline:
                    return None
            time.sleep(_RETRY_S)

    def _keep(self, connection: socket.socket) -> int:
        with self._changing:
            if len(self._open) < MOST_OPEN:
                number = next(self._numbers)
                self._open[number] = connection
                return number
        connection.close()
        raise OverLimit(
            f"{MOST_OPEN} connections to ports of this sandbox are open, and more cannot be",
            limit=MOST_OPEN,
        )

    def send(self, number: int, data: bytes) -> None:
        """Send bytes; none at all is the end of what is sent.

        Raises:
            NotFound: the connection is closed.
        """
        connection = self._of(number)
        try:
            if data:
                connection.sendall(data)
            else:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            self.hang_up(number)
            raise self._closed(number) from None

    def receive(self, number: int, wait_s: float) -> bytes | None:
        """What has come, once something has; nothing at the end; None if that time was too short.

        Raises:
            NotFound: the connection is closed.
        """
        connection = self._of(number)
        ready = select.poll()
        ready.register(connection, select.POLLIN)
        if not ready.poll(wait_s * 1000):
            return None
        try:
            return connection.recv(MOST_BYTES)
        except OSError:
            self.hang_up(number)
            raise self._closed(number) from None

    def hang_up(self, number: int) -> None:
        """Close a connection, if it is open."""
        with self._changing:
            connection = self._open.pop(number, None)
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # wakes who waits for bytes
            connection.close()

    def close(self) -> None:
        """Close all."""
        for number in [*self._open]:
            self.hang_up(number)

    def _of(self, number: int) -> socket.socket:
        found = self._open.get(number)
        if found is None:
            raise self._closed(number)
        return found

    def _closed(self, number: int) -> NotFound:
        return NotFound(f"connection {number} is closed", number=number)
