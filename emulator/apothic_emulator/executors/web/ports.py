"""The port of a server that a function starts: kept apart from that of other processes.

Two processes of one service may run at once, and both want the same port. What this interpreter
binds there goes to a port of its own instead, which nobody else has, and connections that it makes
there follow. A server that is another program binds the port itself: those take turns.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Collection
from ipaddress import IPv6Address, ip_address
from typing import Any, NamedTuple

import psutil

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}

_NEAR = LOOPBACK[socket.AF_INET]

Address = tuple[str, int]


class Moved:
    """What binds to one port, moved to others."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.addresses: list[Address] = []
        """Where it went, in the order of the binds."""
        self._pid = os.getpid()

    def install(self) -> None:
        """From now on, in this process; not in those that it forks."""
        kind: Any = socket.socket
        for name, around in (
            ("bind", self._bind),
            ("connect", self._connect),
            ("connect_ex", self._connect),
        ):
            setattr(kind, name, around(getattr(kind, name)))

    def _is_meant(self, sock: socket.socket, address: Any) -> bool:
        is_stream = sock.family in LOOPBACK and sock.type & socket.SOCK_STREAM
        is_port = isinstance(address, tuple) and address[1:2] == (self.port,)
        return bool(is_stream) and is_port and os.getpid() == self._pid

    def _bind(self, bind: Any) -> Any:
        def moved(sock: socket.socket, address: Any, /) -> None:
            if not self._is_meant(sock, address):
                bind(sock, address)
                return
            bind(sock, (LOOPBACK[sock.family], 0))
            self.addresses.append(sock.getsockname()[:2])

        return moved

    def _connect(self, connect: Any) -> Any:
        def moved(sock: socket.socket, address: Any, /) -> Any:
            if self._is_meant(sock, address):
                own = LOOPBACK[sock.family]
                if address[0] in (own, "localhost"):
                    address = next((one for one in self.addresses if one[0] == own), address)
            return connect(sock, address)

        return moved


def is_taken(port: int) -> bool:
    """Whether somebody listens at a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK[socket.AF_INET], port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


class Listener(NamedTuple):
    """Somebody who listens at a port."""

    pid: int
    host: str
    port: int
    command: str

    def __str__(self) -> str:
        """Where, and who."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port} (process {self.pid}, {self.command})"


def listeners() -> list[Listener]:
    """All that this user's processes listen at, as far as that can be seen."""
    found: list[Listener] = []
    for one in psutil.net_connections("tcp"):
        if one.status == psutil.CONN_LISTEN and one.pid and one.laddr:
            host, port = one.laddr[:2]
            found.append(Listener(one.pid, host, port, _command(one.pid)))
    return found


def _command(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())[:80] or "?"
    except psutil.Error:
        return "?"


def family() -> set[int]:
    """This process and all that it has started."""
    own = psutil.Process()
    return {own.pid, *(one.pid for one in own.children(recursive=True))}


def age_s() -> float:
    """For how long this process has existed."""
    return max(0.0, time.time() - psutil.Process().create_time())


def is_relative(pid: int) -> bool:
    """Whether a process, or what it comes from, was started by whoever has started this one."""
    session = os.getsid(0)
    try:
        process = psutil.Process(pid)
        return any(_session(one.pid) == session for one in (process, *process.parents()))
    except psutil.Error:
        return False


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def is_beyond(own: Listener) -> bool:
    """Whether others than this machine reach it there."""
    address = ip_address(own.host)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return not (mapped or address).is_loopback


def why_silent(port: int, waited: str, own: Collection[Listener]) -> str:
    """What to say when nothing accepts connections at a port; `own` is what was there instead."""
    said = f"nothing accepts connections at port {port} within {waited}: "
    if not own:
        return said + (
            "the function has started nothing that listens. Have it start its server there and "
            "return, or raise startup_timeout"
        )
    said += f"what it has started listens at {_listed(own)}. "
    if any(one.port == port for one in own):
        return said + f"Have it listen at {_NEAR}"
    return said + (
        f"Have that use port {port}, or declare the port that it uses: @app.web_server(port)"
    )


def why_beyond(own: Collection[Listener]) -> str:
    """What to say of a server that others than this machine reach without the service."""
    return (
        f"it listens at {_listed(own)}, where whoever reaches this machine reaches it past the "
        f"service. Have it listen at {_NEAR}, which the service forwards to"
    )


def _listed(own: Collection[Listener]) -> str:
    return ", ".join(str(one) for one in own)
