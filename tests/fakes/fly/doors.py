"""Addresses of apps: what comes to one goes to the app's machine.

The main service is led to byte for byte. What comes to another is HTTP, of which the head of the
first request is written anew, and no second one comes on the same connection.
"""

from __future__ import annotations

import random
import re
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

ADDRESS = "127.0.0.2"
"""Where apps are reached; their machines are at 127.0.0.1."""

MOST = 100
"""Services of an app besides the main one."""

_CHUNK = 64 * 1024
_CONNECT_S = 5.0
_OURS = re.compile(rb"(?:fly-|x-forwarded-|connection:)", re.IGNORECASE)
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)

Told = Callable[[socket.socket], bytes]
"""What is passed on of what a client says first."""


class Door:
    """Listens on a port; `port_of` says where to, None where nothing is."""

    def __init__(
        self, port_of: Callable[[], int | None], port: int = 0, told: Told | None = None
    ) -> None:
        self._port_of, self._told = port_of, told
        self._listening = socket.create_server((ADDRESS, port))
        self.port: int = self._listening.getsockname()[1]
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        try:
            said = b"" if self._told is None else self._told(near)
            far = socket.create_connection(("127.0.0.1", self._port_of() or 0), _CONNECT_S)
        except OSError:
            near.close()  # as a proxy that finds no machine
            return
        far.settimeout(None)
        self._open |= {near, far}
        back = threading.Thread(target=_pass, args=(far, near), daemon=True)
        back.start()
        _pass(near, far, said)
        back.join()
        for sock in (near, far):
            self._open.discard(sock)
            sock.close()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for sock in [*self._open]:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def _pass(source: socket.socket, sink: socket.socket, said: bytes = b"") -> None:
    with suppress(OSError):
        sink.sendall(said)
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    for sock, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with suppress(OSError):
            sock.shutdown(how)


def _by_proxy(near: socket.socket) -> bytes:
    """The head of a request as Fly's proxy passes it on, and what has come besides."""
    said = b""
    while b"\r\n\r\n" not in said:
        data = near.recv(_CHUNK)
        if not data:
            raise ConnectionError("nobody asks")
        said += data
    head, _, rest = said.partition(b"\r\n\r\n")
    client = near.getpeername()[0].encode()
    kept = [line for line in head.split(b"\r\n") if not _OURS.match(line)]
    way = b"connection: " + (b"upgrade" if _UPGRADE.search(head) else b"close")
    told = [b"fly-client-ip: " + client, b"x-forwarded-for: " + client + b", 66.241.125.1"]
    return b"\r\n".join([*kept, way, *told, b"x-forwarded-proto: https", b"", rest])


class Front:
    """An app as others reach it. `leads` says whether a service's port is led to."""

    def __init__(self, leads: Callable[[Mapping[str, Any]], bool]) -> None:
        self._leads = leads
        self._main: int | None = None
        self._door = Door(lambda: self._main)
        self.url = f"http://{ADDRESS}:{self._door.port}"
        self._keepers: list[socket.socket] = []
        self._range: list[socket.socket] = []
        self._doors: dict[int, Door] = {}
        self._others: dict[int, Mapping[str, Any]] = {}

    def lead(self, services: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Lead to a machine with these services; gives what becomes of its arguments.

        The first is the main one, and has another port each time. The others are at a range of
        ports, in place of which there is one for ever, at which clients find them, too.
        """
        [keeper], others = kept_ports(1), services[1:]
        self._keepers.append(keeper)
        self._main = keeper.getsockname()[1]
        words = {str(services[0]["internal_port"]): str(self._main)}
        if others:
            self._range = self._range or kept_ports(MOST)
            ours = [keeper.getsockname()[1] for keeper in self._range[: len(others)]]
            theirs = [it["internal_port"] for it in others]
            assert theirs == [it["ports"][0]["port"] for it in others], "a port is one everywhere"
            words[f"{theirs[0]}-{theirs[-1]}"] = f"{ours[0]}-{ours[-1]}"
            self._others = dict(zip(ours, others, strict=True))
            self._open([port for port in ours if port not in self._doors])
        return words

    def _open(self, ports: Sequence[int]) -> None:
        for port in ports:
            self._doors[port] = Door(lambda port=port: self._target(port), port, _by_proxy)

    def _target(self, port: int) -> int | None:
        service = self._others.get(port)
        return port if service is not None and self._leads(service) else None

    def close(self) -> None:
        for door in (self._door, *self._doors.values()):
            door.close()
        for keeper in (*self._keepers, *self._range):
            keeper.close()


def kept_ports(count: int) -> list[socket.socket]:
    """Ports in a row that nobody else is given until these are closed; a server may listen there.

    They are below those that the system gives to whoever wants any.
    """
    while True:
        first = random.randrange(10_000, 30_000)
        with ExitStack() as stack, suppress(OSError):
            ports = range(first, first + count)
            keepers = [_keep(stack.enter_context(socket.socket()), port) for port in ports]
            stack.pop_all()
            return keepers


def _keep(keeper: socket.socket, port: int) -> socket.socket:
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", port))
    return keeper
