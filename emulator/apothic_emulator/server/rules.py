"""Whether a request may be looked at at all: what it says of where it goes and where it comes from.

A browser will send requests of any page to any address, so that an address alone protects nothing:
after DNS rebinding, host and origin are equal, and a page's own GET has no origin. So the host must
be one that is ours by name, and what a browser says of the page must be ours too. What it says of
itself is not asked.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from apothic_backends.model.record import Record
from apothic_emulator.executors.web.hosts import HOST, is_localhost

_DEFAULT_PORTS = (80, 443)
_FOREIGN = frozenset({"cross-site", "same-site"})

Headers = Iterable[tuple[bytes, bytes]]


class Refusal(Record):
    """Why a request is not carried out, as people and programs see it."""

    status: int
    code: str
    message: str


BAD_TARGET = Refusal(400, "bad_request", "the target of a request begins with /")
NO_HOST = Refusal(400, "bad_host", "a request has exactly one Host header")
BAD_HOST = Refusal(
    403, "bad_host", "this server is not known by that host; name it with --allow-host"
)
BAD_ORIGIN = Refusal(403, "bad_origin", "requests from pages of other origins are not answered")


def values(headers: Headers, name: bytes) -> list[str]:
    """What the headers say under a lower-case name."""
    return [value.decode("latin-1") for key, value in headers if key.lower() == name]


class Rules:
    """Where this server is: the port it listens on, and the names that its operator has listed."""

    def __init__(self, port: int, listed: Sequence[str] = ()) -> None:
        self.port = port
        self._listed = frozenset(name.lower() for name in listed)

    def refusal(self, target: bytes, headers: Headers, address: str) -> Refusal | None:
        """Why a request that came in at an address of ours is refused, if it is."""
        if not target.startswith(b"/"):
            return BAD_TARGET
        hosts = values(headers, b"host")
        if len(hosts) != 1:
            return NO_HOST
        if not self.is_ours(hosts[0], address):
            return BAD_HOST
        return None if is_same_origin(headers, hosts[0]) else BAD_ORIGIN

    def is_ours(self, host: str, address: str) -> bool:
        """Whether a Host header names this server, in its one canonical form."""
        found = HOST.fullmatch(host)
        if found is None:
            return False
        name, port = found[1], found[2]
        if host in self._listed or name in self._listed:
            return True
        if port is None:
            if self.port not in _DEFAULT_PORTS:
                return False
        elif port != str(self.port):
            return False
        return is_localhost(name) or _is_address(name, address)


def _is_address(name: str, address: str) -> bool:
    """Whether a name is the very address at which the request came in, written as it should be."""
    try:
        here = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(here, ipaddress.IPv6Address) and here.ipv4_mapped is not None:
        here = here.ipv4_mapped
    return name == (str(here) if here.version == 4 else f"[{here}]")  # noqa: PLR2004


def is_same_origin(headers: Headers, host: str) -> bool:
    """Whether no browser says that the page which asks is from elsewhere."""
    origins = values(headers, b"origin")
    if len(origins) > 1 or (origins and origins[0] not in (f"http://{host}", f"https://{host}")):
        return False
    return not _FOREIGN.intersection(values(headers, b"sec-fetch-site"))
