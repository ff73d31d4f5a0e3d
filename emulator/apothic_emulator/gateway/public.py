"""Where the services of a server are that others than this machine reach, and who may ask them."""

from __future__ import annotations

import json
import math
import socket
import ssl
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, NamedTuple
from zlib import crc32

from apothic_emulator.gateway.links import answer
from apothic_emulator.gateway.proxies import Proxy

JSON = "application/json"

_MORE = {401: b"www-authenticate: Bearer\r\n", 429: b"retry-after: 1\r\n"}
"""What is said with a status, besides."""

_BACKLOG = 2048


class Refused(Exception):
    """A request that does not reach the service."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code

    @property
    def answer(self) -> bytes:
        """What is said to whoever has asked, as the API says it."""
        line = f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n".encode()
        error = {"code": self.code, "message": str(self), "data": dict[str, str]()}
        return answer(line + _MORE.get(self.status, b""), json.dumps({"error": error}), JSON)


class Pass(NamedTuple):
    """What a token stands for: a key by its id, and for how long it holds."""

    key_id: str
    left_s: float


EVERYBODY: Final = Pass("", math.inf)
"""What needs no token."""

Admit = Callable[[str, str], Pass]
"""What a token opens that somebody shows from an address.

Raises:
    Refused: it does not open this service.
"""


class Public(NamedTuple):
    """How an account's services are reached: at one address, a port each, by one name."""

    address: str
    family: socket.AddressFamily
    name: str
    tls: ssl.SSLContext | None
    ports: range
    """Where they may be; empty: anywhere."""
    admit: Admit
    most: int
    """Connections of one service that come from one address."""
    proxy: Proxy | None = None
    """What clients speak to in place of the service itself."""

    def url(self, port: int) -> str:
        """Where clients find a service."""
        if self.proxy is not None:
            return f"{self.proxy.url}:{port}"
        host = f"[{self.name}]" if ":" in self.name else self.name
        return f"{self.scheme}://{host}:{port}"

    @property
    def scheme(self) -> str:
        """How they are spoken to."""
        if self.proxy is not None:
            return self.proxy.scheme
        return "http" if self.tls is None else "https"

    def listen(self, service: str, port: int) -> tuple[socket.socket, str]:
        """A socket that listens for a service, at its own port if that can be had; and why not.

        Raises:
            OSError: none can be had.
        """
        note = ""
        if port and self.ports and port not in self.ports:
            note = f"port {port} is none of those of services any more"
        elif port:
            try:
                return self._listen(port), ""
            except OSError as error:
                note = f"port {port} cannot be listened on: {error.strerror}"
        first = crc32(service.encode())  # the same one again, if its port was not written down
        for step in range(len(self.ports)):
            try:
                return self._listen(self.ports[(first + step) % len(self.ports)]), note
            except OSError:
                continue
        if self.ports:
            raise OSError(
                f"all ports from {self.ports[0]} to {self.ports[-1]} are taken: delete a service, "
                "or have more of them by `apothic serve --service-ports` (in the cloud by "
                "`apothic cloud up --services`)"
            )
        return self._listen(0), note

    def _listen(self, port: int) -> socket.socket:
        return socket.create_server((self.address, port), family=self.family, backlog=_BACKLOG)
