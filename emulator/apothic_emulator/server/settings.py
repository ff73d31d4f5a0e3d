"""What `apothic serve` was told."""

from __future__ import annotations

from pathlib import Path

from apothic_backends.model.record import Record
from apothic_backends.providers.base import Login
from apothic_backends.remote.running import FILE
from apothic_emulator.core.hellos import GRACE_S, LEASE_S
from apothic_emulator.core.quotas import DEFAULT, Quotas
from apothic_emulator.core.renting import Terms
from apothic_emulator.server.limits import Limits
from apothic_emulator.server.places import store_of
from apothic_emulator.stores.store import Store

PORT = 8377
"""Where the server listens if nothing else is said."""

MAX_BODY = 64 << 20
"""Bytes that a request may have."""


class Settings(Record):
    """What a server was told; `folder` is where it keeps what is the server's own.

    `hosts` are names by which others know the server, beside its addresses: with a port only there.
    The first stands in the URLs of services.
    In-flight work has `grace_s` seconds to end when the server is asked to. An agent of which
    nothing is heard for `agent_lease_s` has stopped its work; for `agent_grace_s` more it may come
    back with the outcome of what must not run twice.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = PORT
    state: str = "sqlite"
    tls_cert: Path | None = None
    tls_key: Path | None = None
    insecure_network: bool = False
    hosts: tuple[str, ...] = ()
    service_ports: range = range(0)
    """Where services listen that others than this machine reach; empty: at any port."""
    service_url: str = ""
    """What stands before the port in the URLs of services, where clients reach them by a proxy."""
    client_header: str = ""
    """In which that says who asks."""
    has_agent: bool = True
    grace_s: float = 10.0
    agent_lease_s: float = LEASE_S
    agent_grace_s: float = GRACE_S
    max_body: int = MAX_BODY
    """Bytes of a request."""
    prices: Path | None = None
    """The file that says what a second costs; without one everything is free."""
    terms: Terms | None = None
    """What may be rented, if anything may."""
    machine_url: str = ""
    """Where rented machines find this server; else by the first of its hosts, over TLS."""
    machine_image: str = ""
    """What rented machines run: an image with this version of apothic in it."""
    registry: Login | None = None
    """Opens the registry that images of machines are in, if that asks who loads them."""
    restored: bool = False
    """Whether the state was put back from a copy."""
    limits: Limits = Limits()
    quotas: Quotas = DEFAULT
    volume_bucket: str = ""
    """BUCKET or BUCKET/PREFIX in which contents of volumes are kept; else they are on the disk."""

    @property
    def is_tls(self) -> bool:
        """Whether the server itself speaks TLS."""
        return self.tls_cert is not None

    @property
    def told_in(self) -> Path:
        """The file in which it says where it is."""
        return self.folder / FILE

    def store(self, account: str | None = None) -> Store:
        """The store of an account, or the server's own, not opened yet.

        Raises:
            InvalidOption: the state is nowhere.
        """
        found = store_of(self.state, self.folder, account)
        if account is not None:
            found.archives = found.archives or self.folder / "accounts" / account / "archives"
        return found
