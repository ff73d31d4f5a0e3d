"""Which server is meant, and whether a key may be sent there."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from apothic_backends.model.errors import UsageError
from apothic_backends.model.record import Record

_PORTS = {"https": 443, "http": 80}

_HERE = "127.0.0.1"
"""What `localhost` is over plain http, without a look-up: a key for one is for the other. At the
same port of [::1], which the name may stand for, too, somebody else may be listening."""


class Address(Record):
    """A server: its scheme, host and port, and the path before its routes."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def origin(self) -> str:
        """What a key belongs to, such as `https://run.apothic.ai:443`."""
        return f"{self.scheme}://{_bracketed(self.host)}:{self.port}"

    @property
    def url(self) -> str:
        """The address as people write it."""
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{_bracketed(self.host)}{port}{self.path}"

    def websocket(self, path: str) -> str:
        """The address of a WebSocket."""
        scheme = "wss" if self.scheme == "https" else "ws"
        return f"{scheme}://{_bracketed(self.host)}:{self.port}{self.path}{path}"

    @property
    def is_loopback(self) -> bool:
        """Whether what is sent there stays on this machine."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def is_address(name: str) -> bool:
    """Whether the name of a backend is the address of a server."""
    return name.startswith(("https://", "http://"))


def address_of(url: str) -> Address:
    """The server that a URL names.

    Raises:
        UsageError: it names none, holds more than an address, or one to which nobody should send a
            key: plain `http://` to another machine.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is no address of a control plane: {error}") from None
    problem = _problem(parts)
    if problem:
        raise UsageError(
            f"{_without_secrets(parts)!r} is no address of a control plane: {problem}. One looks "
            "like https://host or http://127.0.0.1:8377"
        )
    host = (parts.hostname or "").rstrip(".")
    if host == "localhost" and parts.scheme == "http":
        host = _HERE
    found = Address(parts.scheme, host, port or _PORTS[parts.scheme], parts.path.rstrip("/"))
    if found.scheme == "http" and not found.is_loopback:
        raise UsageError(
            f"{found.url!r} is on another machine, and over plain http:// anybody on the way could "
            "read the API key: use https://, or forward a port of this machine to it"
        )
    return found


def _problem(parts: SplitResult) -> str:
    if parts.scheme not in _PORTS:
        return "it has to begin with https:// or http://"
    if not parts.hostname:
        return "it names no host"
    if parts.username is not None or parts.password is not None:
        return "a key does not belong into it: set APOTHIC_API_KEY"
    if parts.query or parts.fragment:
        return "it has to end with the host, or with a path"
    return ""


def _without_secrets(parts: SplitResult) -> str:
    """The URL without what stands before an @ and after a ?."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
