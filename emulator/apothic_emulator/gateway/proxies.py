"""A proxy before services: it ends TLS, passes on what it is asked, and says who asks."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import NamedTuple

from apothic_emulator.executors.web.callers import ANY, MANY, Caller

_PROTO = b"x-forwarded-proto"
_SCHEMES = (b"http", b"https")


class Proxy(NamedTuple):
    """What stands between clients and services."""

    url: str
    """What stands before the port in the URLs of services."""
    header: bytes = b""
    """Where it says who asks, in lower case; whatever a client says there it leaves out. Empty: it
    does not say, and nothing of the kind is believed."""

    @property
    def scheme(self) -> str:
        """How clients speak to it."""
        return self.url.partition("://")[0]

    def caller(self, headers: Iterable[tuple[bytes, bytes]], near: Caller) -> Caller:
        """Who asks, by the head of a request; who has connected where it does not say so."""
        if not self.header:
            return near
        told = dict(headers)  # of several the last, which is the proxy's own
        address = told.get(self.header, b"").decode("latin-1").rpartition(",")[2].strip()
        scheme = told.get(_PROTO, b"")
        if _is_address(address) and address != near.address:
            near = near._replace(address=address, port=0)
        told_scheme = scheme.decode() if scheme in _SCHEMES else near.scheme
        return near._replace(scheme=told_scheme, hosts=(ANY, MANY))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
