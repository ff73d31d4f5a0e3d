"""TLS for connections that one thread reads while another writes.

OpenSSL allows one call at a time for a connection, and the `ssl` of Python before 3.15 lets two
threads in (https://github.com/python/cpython/issues/151508): then messages are lost, a reader waits
for ever, or the process ends by a signal.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any, Self, TypeVar

T = TypeVar("T")

_Waiter = getattr(selectors, "PollSelector", selectors.SelectSelector)
"""Not `epoll`, which forgets a socket that another thread closes, and then waits for ever."""


class Shared(ssl.SSLSocket):
    """A socket whose threads take turns; who waits for the other side leaves the turn to others.

    One thread may read and one write, by `recv`, `send` and `sendall`: what is written in parts
    stays the writer's own.
    """

    _turn: threading.Lock
    _is_open = False
    _timeout_s: float | None = None

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Set up before the base class does, which makes it in a way of its own."""
        made = super().__new__(cls)
        made._turn = threading.Lock()
        return made

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - as in the base class
        """Agree with the other side; from then on no call blocks while it has the turn."""
        super().do_handshake(block)
        self._timeout_s = self.gettimeout()
        self._is_open = True
        super().settimeout(0)

    def settimeout(self, value: float | None, /) -> None:
        """How long each call may take, in seconds; None is for ever."""
        if self._is_open:
            self._timeout_s = value
        else:
            super().settimeout(value)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Some of what has come; nothing at the end."""
        return self._in_turn(lambda: ssl.SSLSocket.recv(self, buflen, flags))

    def send(self, data: Any, flags: int = 0) -> int:
        """Write, and say how much of it."""
        return self._in_turn(lambda: ssl.SSLSocket.send(self, data, flags))

    def shutdown(self, how: int) -> None:
        """Say that nothing more comes; what the other side says is still read as TLS."""
        socket.socket.shutdown(self, how)

    def close(self) -> None:
        """Let go of it; whoever waits for the other side hears so at once."""
        with contextlib.suppress(OSError):  # the other side was faster
            socket.socket.shutdown(self, socket.SHUT_RDWR)
        with self._turn:
            super().close()

    def _in_turn(self, step: Callable[[], T]) -> T:
        while True:
            with self._turn:
                try:
                    return step()
                except (ssl.SSLWantReadError, BlockingIOError):
                    waiter = self._waiter(selectors.EVENT_READ)
                except ssl.SSLWantWriteError:
                    waiter = self._waiter(selectors.EVENT_WRITE)
            with waiter:
                if not waiter.select(self._timeout_s):
                    raise TimeoutError("the other side says nothing")

    def _waiter(self, event: int) -> selectors.BaseSelector:
        waiter = _Waiter()
        waiter.register(self, event)
        return waiter


def client_context(authorities: str | None = None) -> ssl.SSLContext:
    """What a client trusts: what the system does, or the authorities of this PEM file."""
    context = ssl.create_default_context(cafile=authorities)
    context.sslsocket_class = Shared
    return context
