"""Which names a Host header may have, where a page of anybody's may send a browser.

A name that its owner lets point to this machine makes a browser take a service here for a part of
his page (DNS rebinding). An address cannot be made to point anywhere, and `localhost` is nobody's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection

HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9](?:[a-z0-9-]*(?:\.[a-z0-9-]+)*))(?::(\d{1,5}))?")
"""A host in its one canonical form, with a port or without."""

_ADDRESS = re.compile(r"\[.*\]|\d{1,3}(?:\.\d{1,3}){3}")

_REQUEST = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64} /[^\r\n]*(?:\Z|\r\Z|\r\n)")
"""How a request begins as browsers make them."""

MOST_HEAD = 64 << 10
"""How much of what is said first is looked at, in bytes."""

ALLOWED = "APOTHIC_ALLOW_HOSTS"
"""The variable with further names, between commas, by which services of this machine are known."""

REFUSED = (
    "this service is on a machine that is not known by that host. If it is yours, name it: in "
    f"{ALLOWED} where the program runs that deploys or serves (several with commas between), or "
    "with `apothic serve --allow-host`"
)


def is_localhost(name: str) -> bool:
    """Whether a name is this machine's own wherever it is looked up."""
    return name == "localhost" or name.endswith(".localhost")


def allowed() -> tuple[str, ...]:
    """The names that were said."""
    return tuple(filter(None, os.environ.get(ALLOWED, "").lower().replace(" ", "").split(",")))


def is_known(host: str, names: Collection[str]) -> bool:
    """Whether somebody who asks a service at this host may mean it; its port may be forwarded."""
    host = host.lower()
    found = HOST.fullmatch(host)
    if found is None:
        return host in names
    name = found[1]
    is_near = is_localhost(name) or _ADDRESS.fullmatch(name) is not None
    return is_near or name in names or host in names


def hosts_in(begun: bytes) -> tuple[str, ...] | None:
    """The hosts that a request names which begins so; None if more of it is needed to tell.

    What browsers do not say is none: a connection may be for something else than HTTP.
    """
    found = _REQUEST.match(begun)
    if found is None:
        return ()
    line = found[0]
    if line.endswith(b"\r\n") and not line.endswith((b" HTTP/1.1\r\n", b" HTTP/1.0\r\n")):
        return ()
    head, end, _ = begun.partition(b"\r\n\r\n")
    if not end:
        return None
    pairs = [line.partition(b":")[::2] for line in head.split(b"\r\n")]
    hosts = [value for name, value in pairs if name.strip().lower() == b"host"]
    return tuple(host.strip().decode("latin-1") for host in hosts)
