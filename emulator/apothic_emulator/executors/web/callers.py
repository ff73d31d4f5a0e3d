"""Who is at the other end of a connection that has come by other hands, as those say it.

It goes along with the connection itself, in the message that hands that on. Nothing of it is asked
of the client.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Final, NamedTuple

NOTHING: Final = b"\0"
"""Said where the connection itself says it all."""

MOST: Final = 1024
"""Bytes that are said."""

ANY: Final = "*"
"""Among the names by which it may ask: whatever it likes."""

MANY: Final = "MANY"
"""Among them: requests of others may come on the same connection, each with an `X-Forwarded-For`
that was written anew. No name that people give is in capitals."""


class Caller(NamedTuple):
    """A client: how it speaks, where it is, and by which names it may ask beside our own."""

    scheme: Any
    """"http" or "https"."""
    address: str
    port: int
    hosts: tuple[str, ...] = ()

    def said(self) -> bytes:
        """What goes along."""
        hosts = ",".join(self.hosts) or "-"
        return f"{self.scheme} {self.address} {self.port} {hosts}".encode("ascii", "ignore")[:MOST]


def read(said: bytes) -> Caller | None:
    """Who it is; None if nothing was said that can be meant."""
    try:
        scheme, address, port, hosts = said.decode("ascii").split(" ")
        ipaddress.ip_address(address.partition("%")[0])
        number = int(port)
    except ValueError:
        return None
    if scheme not in ("http", "https") or not 0 <= number <= 0xFFFF:  # noqa: PLR2004
        return None
    return Caller(scheme, address, number, () if hosts == "-" else tuple(hosts.split(",")))
