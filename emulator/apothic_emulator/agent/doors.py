"""The doors of this machine's services: the sockets that they listen on.

A door is two sockets. One listens, at a port of this machine's own address. Through the other, a
pair whose ends every process of the service has, those that are to end hand on connections that are
between two requests. While no process runs, the host polls both; the first thing that comes has one
started, and lies in the socket until that takes it. Where others than this machine reach the
service, the gateway listens, and puts connections through a pair in place of the first socket.
"""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable
from itertools import islice
from select import EPOLLIN, EPOLLONESHOT, epoll
from typing import Any

from apothic_emulator.core.doors import (
    Door,
    Listen,
    Listening,
    Reach,
    Refuse,
    Rouse,
    Roused,
    Unlisten,
)
from apothic_emulator.executors.web.door import waiting

ADDRESS = "127.0.0.1"
"""Where services listen: at this machine's own address, and nowhere else."""

_BACKLOG = 2048
_REFUSE_S = 1.0
"""How long somebody who is refused may take to say what they want, so that they hear the answer."""
_MOST_REFUSED = 256
_CALM = EPOLLIN | EPOLLONESHOT

Tell = Callable[[object], None]
"""Brings a command into the core, to which nobody waits for an answer."""

Dials = Callable[[int, str, str], bool]
"""Has an agent open a stream for a service under a name, if that agent is there."""


class Sockets:
    """One door."""

    def __init__(self, listener: socket.socket, port: int, url: str) -> None:
        self.listener, self.port, self.url = listener, port, url
        self.handed, self.handing = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for each in (self.listener, self.handed, self.handing):
            each.setblocking(False)

    @property
    def to_hand_over(self) -> list[int]:
        """What a process of the service gets."""
        return [self.listener.fileno(), self.handed.fileno(), self.handing.fileno()]

    def close(self) -> None:
        """Nobody listens any more here; processes that have these go on."""
        for each in (self.listener, self.handed, self.handing):
            each.close()


class Doors:
    """All of them, by their services. `tell` is called from any thread."""

    def __init__(self, errands: epoll, tell: Tell, dial: Dials, public: Any = None) -> None:
        self._errands = errands
        self._tell = tell
        self._dial = dial
        self._public = public
        """How they are reached from elsewhere, a `Public`; None where they are not."""
        self._doors: dict[str, Sockets] = {}
        self._by_fd: dict[int, str] = {}
        self.gateway: Any = None
        """The `Gateway`, from the first process of a service on that is on an agent."""

    def carry_out(self, effect: Door) -> None:
        """Do what the core wants, under its lock."""
        if isinstance(effect, Listen):
            self._open(effect)
        elif isinstance(effect, Unlisten):
            self._close(effect.service)
        elif isinstance(effect, Rouse):
            self._rouse(effect.service)
        elif isinstance(effect, Reach):
            self._reach(effect)
        else:
            self._refuse(effect)

    def to_hand_over(self, service: str) -> list[int]:
        """The descriptors for a process of a service; none if it listens no more."""
        door = self._doors.get(service)
        return [] if door is None else door.to_hand_over

    def _open(self, effect: Listen) -> None:
        door, note = self._doors.get(effect.service), ""
        if door is not None:  # the core has begun anew
            self._reach(Reach(effect.service, (), effect.is_public))
            self._rouse(effect.service)
            self._tell(Listening(effect.service, door.port, "", door.url))
            return
        try:
            door, note = self._listen(effect)
        except OSError as error:
            self._tell(Listening(effect.service, 0, f"it cannot listen: {error}"))
            return
        self._doors[effect.service] = door
        for each in (door.listener, door.handed):
            self._by_fd[each.fileno()] = effect.service
            self._errands.register(each, _CALM)
        self._tell(Listening(effect.service, door.port, note, door.url))

    def _listen(self, effect: Listen) -> tuple[Sockets, str]:
        """A new door, and why it is not where it was to be."""
        if self._public is None:
            listener, note = listen_near(effect.port)
            port = int(listener.getsockname()[1])
            return Sockets(listener, port, f"http://{ADDRESS}:{port}"), note
        listener, note = self._public.listen(effect.service, effect.port)
        port = int(listener.getsockname()[1])
        coming, putting = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        putting.setblocking(False)
        gateway, is_open = self._open_gateway(), effect.is_public
        gateway.show(effect.service, listener, putting, self._public, is_open=is_open)
        return Sockets(coming, port, self._public.url(port)), note

    def _close(self, service: str) -> None:
        door = self._doors.pop(service, None)
        if self.gateway is not None:
            self.gateway.drop(service)
        if door is not None:
            for each in (door.listener, door.handed):
                self._by_fd.pop(each.fileno(), None)
                self._errands.unregister(each)
            door.close()

    def _rouse(self, service: str) -> None:
        door = self._doors.get(service)
        if door is not None:
            for each in (door.listener, door.handed):
                self._errands.modify(each, _CALM)

    def knocked(self, fd: int) -> bool:
        """Something has come at a door, if that is a door."""
        service = self._by_fd.get(fd)
        if service is None:
            return False
        self._tell(Roused(service))
        return True

    def _reach(self, effect: Reach) -> None:
        """Have connections taken for processes on agents, beside those that are here."""
        door = self._doors.get(effect.service)
        if door is None or (self.gateway is None and not effect.agents):
            return
        fds = door.to_hand_over if effect.agents else []
        gateway = self._open_gateway()
        gateway.reach(effect.service, fds, effect.agents)
        gateway.let_in(effect.service, everybody=effect.is_public)

    def _open_gateway(self) -> Any:
        if self.gateway is None:
            from apothic_emulator.gateway.gateway import Gateway  # few need one  # noqa: PLC0415

            self.gateway = Gateway(self._dial, self._tell)
        return self.gateway

    def cut(self, key_id: str) -> None:
        """End what goes on under a key that holds no more."""
        if self.gateway is not None:
            self.gateway.cut(key_id)

    def _refuse(self, effect: Refuse) -> None:
        """Answer those who wait, each for itself: they may be slow, and nobody is to wait."""
        door = self._doors.get(effect.service)
        if self.gateway is not None:
            self.gateway.refuse(effect.service, effect.why)
        answer = _unavailable(effect.service, effect.why)
        for caller, _ in islice(() if door is None else waiting(door.listener), _MOST_REFUSED):
            threading.Thread(target=_turn_away, args=(caller, answer), daemon=True).start()

    def close(self) -> None:
        """Close them all."""
        for service in [*self._doors]:
            self._close(service)
        if self.gateway is not None:
            self.gateway.close()


def listen_near(port: int) -> tuple[socket.socket, str]:
    """A socket that listens on loopback, at a port if that is free; and why it is not there.

    Raises:
        OSError: it cannot.
    """
    try:
        return listen(port), ""
    except OSError as error:
        if not port or error.errno != errno.EADDRINUSE:
            raise
        return listen(0), f"port {port} is taken by {holder(port)}"


def listen(port: int) -> socket.socket:
    """A socket that listens at a port, or at any.

    Raises:
        OSError: it cannot; the port may be taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def holder(port: int) -> str:
    """Who listens at a port of this machine, as far as that can be seen."""
    import psutil  # only for a message  # noqa: PLC0415

    try:
        for connection in psutil.net_connections("inet"):
            is_it = connection.laddr and connection.laddr.port == port
            if is_it and connection.status == psutil.CONN_LISTEN and connection.pid:
                command = " ".join(psutil.Process(connection.pid).cmdline())[:80]
                return f"process {connection.pid} ({command})"
    except (psutil.Error, OSError):
        pass
    return "another program"


def _unavailable(service: str, why: str) -> bytes:
    """What those hear for whom there is no process."""
    body = f"{service} cannot be started: {why}\n".encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n"
        f"content-length: {len(body)}\r\nretry-after: 1\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


def _turn_away(caller: socket.socket, answer: bytes) -> None:
    """Answer, once something was asked: whoever is cut off before may never read the answer."""
    with caller:
        try:
            caller.settimeout(_REFUSE_S)
            caller.recv(64 * 1024)
            caller.sendall(answer)
            caller.shutdown(socket.SHUT_WR)
            while caller.recv(64 * 1024):
                pass
        except OSError:
            return
