"""Ports of sandboxes, as ports of this machine: what connects here is carried there and back."""

from __future__ import annotations

import atexit
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any
from weakref import WeakSet

from apothic._drive import block, deadline_after, is_past
from apothic_backends.model.errors import ApothicError, WaitTimeout
from apothic_backends.model.sandboxes import SandboxExpired, SandboxGone

MOST_OPEN = 32
"""Connections at once; more wait in line."""

WAIT_S = 20.0
"""How long one call waits for bytes; then the next one does."""

_PIECE = 256 << 10
_RESET = struct.pack("ii", 1, 0)
"""Closing a socket with it tells the other end that something went wrong."""

_opening = threading.Lock()
_open: WeakSet[Tunnel] = WeakSet()

_LEAVE_S = 1.0
"""What connections get to end at the end of the program."""


async def url_of(link: Any, port: int, timeout_s: float) -> str:
    """What this machine reaches a port of a sandbox by, once a program listens there.

    Raises:
        WaitTimeout: none does, within that time.
    """
    deadline = deadline_after(timeout_s)
    while (number := await link.ask("dial", port, min(WAIT_S, timeout_s))) is None:
        if is_past(deadline):
            raise WaitTimeout(
                f"nothing listens at port {port} of {link.sandbox_id} after {timeout_s:g} s; start "
                "a server there with exec()",
                port=port,
                timeout_s=timeout_s,
            )
    await link.ask("hang_up", number)
    with _opening:
        tunnel = link.tunnels.get(port)
        if tunnel is None:
            tunnel = link.tunnels[port] = Tunnel(link, port)
    url: str = tunnel.url
    return url


class Tunnel:
    """A port of this machine's loopback that stands for one of a sandbox."""

    def __init__(self, link: Any, port: int) -> None:
        self._link, self._port = link, port
        self._server = socket.create_server(("127.0.0.1", 0), backlog=MOST_OPEN)
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._places = threading.Semaphore(MOST_OPEN)
        self._changing = threading.Lock()
        self._near: dict[int, socket.socket] = {}
        """The connections that are carried, by their numbers there."""
        self.carrying: set[threading.Thread] = set()
        """Who carries them."""
        self._is_closed = False
        _open.add(self)
        _begin(self._serve)

    def close(self) -> None:
        """Listen no more, and cut what is connected. Safe to repeat."""
        with self._changing:
            self._is_closed = True
            numbers = [*self._near]
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._server.close()
        for number in numbers:
            with suppress(ApothicError):
                self._ask("hang_up", number)

    def _serve(self) -> None:
        while True:
            self._places.acquire()
            try:
                near, _ = self._server.accept()
            except OSError:
                return  # closed
            _begin(lambda near=near: self._carry(near))

    def _carry(self, near: socket.socket) -> None:
        """One connection, from its beginning to its end."""
        self.carrying.add(threading.current_thread())
        try:
            number = self._ask("dial", self._port, 0.0)
            if number is not None and self._has_place(number, near):
                self._carry_both(near, number)
            else:
                _refuse(near)
        except (SandboxGone, SandboxExpired):
            _refuse(near)
            self.close()
        except ApothicError:
            _refuse(near)
        finally:
            near.close()
            self.carrying.discard(threading.current_thread())
            self._places.release()

    def _has_place(self, number: int, near: socket.socket) -> bool:
        with self._changing:
            if not self._is_closed:
                self._near[number] = near
        return number in self._near

    def _carry_both(self, near: socket.socket, number: int) -> None:
        up = _begin(lambda: self._carry_up(near, number))
        try:
            while (data := self._ask("receive", number, WAIT_S)) != b"":
                near.sendall(data or b"")
            near.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # who connected here is gone
        except ApothicError:
            _refuse(near)
        else:
            up.join()  # there may be more to say to who says no more
        finally:
            del self._near[number]
            with suppress(OSError):
                near.shutdown(socket.SHUT_RDWR)
            with suppress(ApothicError):
                self._ask("hang_up", number)
            up.join()

    def _carry_up(self, near: socket.socket, number: int) -> None:
        try:
            while data := near.recv(_PIECE):
                self._ask("send", number, data)
            self._ask("send", number, b"")
        except (OSError, ApothicError):
            with suppress(ApothicError):
                self._ask("hang_up", number)

    def _ask(self, method: str, *args: Any) -> Any:
        return block(self._link.ask(method, *args))


def _begin(do: Callable[[], None]) -> threading.Thread:
    """Do something beside, for the same control plane."""
    run = copy_context().run
    thread = threading.Thread(target=run, args=(do,), name="apothic-tunnel", daemon=True)
    thread.start()
    return thread


def _refuse(near: socket.socket) -> None:
    """Let who has connected see that there is nobody."""
    with suppress(OSError):
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


@atexit.register
def _close_all() -> None:
    tunnels = [*_open]
    for tunnel in tunnels:
        tunnel.close()
    for thread in [thread for tunnel in tunnels for thread in [*tunnel.carrying]]:
        thread.join(_LEAVE_S)
