"""The `remote` backend: commands to a control plane that runs elsewhere."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar
from weakref import WeakSet

from apothic_backends.base import EventStream
from apothic_backends.commands import Command, KeepJob, ReadEvents, RunJob, WaitJob
from apothic_backends.model.errors import NoControlPlane
from apothic_backends.model.events import Cursor
from apothic_backends.remote.address import Address, address_of
from apothic_backends.remote.connection import Connection
from apothic_backends.remote.operations import changes_something
from apothic_backends.remote.profiles import CLOUD, Profiles, check_key, key_for
from apothic_backends.remote.tickets import Place, Position, RemoteTicket, Run, Taken, Wait
from apothic_backends.ticket import Ticket

ReplyT = TypeVar("ReplyT")

KEY = "Apothic-Key"
"""The header by which a key opens a service."""

_connections: WeakSet[Connection] = WeakSet()


def _abandon_all() -> None:
    for connection in _connections:
        connection.abandon()


os.register_at_fork(after_in_child=_abandon_all)  # once: what is registered is kept for ever


class RemoteBackend:
    """Runs functions on the machines of a control plane that runs elsewhere."""

    shares_files = False

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.runs: dict[str, Place] = {}
        """Jobs whose handle goes with a reply that is owed."""
        _connections.add(connection)
        atexit.register(self.close)

    @property
    def address(self) -> Address:
        """The server."""
        return self.connection.address

    @property
    def volumes(self) -> Any:
        """Those of the control plane."""
        far = import_module("apothic_backends.volumes.far")  # which itself needs backends
        return far.FarVolumes(self.start, keeps=False)

    def headers_for(self, url: str) -> dict[str, str]:
        """What a request to one of its services has, so that it is let in.

        Over TLS the server reads it, and takes the key away. Otherwise a service may be reached
        itself, on this machine, where it needs no key and must not see one.
        """
        key = self.connection.key
        return {KEY: key} if key is not None and url.startswith("https://") else {}

    def start(self, command: Command[ReplyT]) -> Ticket[ReplyT]:
        """Ask for something; never blocks or awaits."""
        way = _WAYS.get(type(command).__name__)
        if way is not None:
            return way(self, command)
        return self.send(command)

    def send(self, command: Command[ReplyT]) -> RemoteTicket[ReplyT]:
        """Ask for it as it is."""
        ticket: RemoteTicket[ReplyT] = RemoteTicket(self)
        ticket.send(command)
        return ticket

    def tell(self, command: Command[Any]) -> None:
        """Have something done, and not hear of it."""
        self.connection.tell(command, once=changes_something(command))

    def watch(
        self, topic: str, after: Cursor | None = None, *, snapshot: bool = False
    ) -> EventStream:
        """Follow what happens to `topic`, from just after a position or as `ReadEvents` says."""
        return EventStream(self, topic, after, snapshot=snapshot)

    def current_job(self) -> tuple[str, int] | None:
        """None: jobs run in other processes."""
        return None

    def close(self) -> None:
        """Hang up. Jobs that somebody waits for are cancelled; what was spawned runs on."""
        atexit.unregister(self.close)
        self.connection.close()


def _run(backend: RemoteBackend, command: Any) -> Ticket[Any]:
    return Run(backend, command)


def _take(backend: RemoteBackend, command: Any) -> Ticket[Any]:
    return Taken(backend, command)


def _wait(backend: RemoteBackend, command: WaitJob) -> Ticket[Any]:
    return Wait(backend, command) if command.last else backend.send(command)


def _read(backend: RemoteBackend, command: ReadEvents) -> Ticket[Any]:
    is_fixed = command.snapshot or command.after is not None or command.topic.startswith("jobs:")
    return backend.send(command) if is_fixed else Position(backend, command)


def _keep(backend: RemoteBackend, command: Any) -> Ticket[Any]:
    place = backend.runs.pop(command.job_id, None)
    if place is not None:
        place.is_kept = True
    return backend.send(command)


_WAYS: dict[str, Callable[[RemoteBackend, Any], Ticket[Any]]] = {
    RunJob.__name__: _run,
    WaitJob.__name__: _wait,
    ReadEvents.__name__: _read,
    KeepJob.__name__: _keep,
    "TakeItems": _take,
}
"""Commands that are asked in another way, because a connection may be cut at any moment."""


def open_remote(url: str, api_key: str | None = None) -> RemoteBackend:
    """Open the control plane at that address; it is dialled with the first command.

    Without an `api_key` it is the one that was set or kept for this very server, if there is one.

    Raises:
        UsageError: that is no address, or one to which no key should be sent.
        KeyRefused: the key can be none.
    """
    address = address_of(url)
    if api_key is not None:
        check_key(api_key)
    return RemoteBackend(Connection(address, api_key or key_for(address)))


def open_chosen() -> RemoteBackend:
    """Open the control plane that `apothic auth use` has chosen.

    Raises:
        NoControlPlane: none was chosen.
    """
    chosen = Profiles().chosen
    if chosen is None:
        raise NoControlPlane(
            "no control plane was chosen: name one with APOTHIC_BACKEND=https://..., or with "
            "`apothic auth login URL` and `apothic auth use NAME`"
        )
    return open_remote(chosen.url, chosen.api_key)


def open_cloud() -> RemoteBackend:
    """Open the control plane that `apothic cloud up` has made.

    Raises:
        NoControlPlane: this user knows of none.
    """
    made = Profiles().list().get(CLOUD)
    if made is None:
        raise NoControlPlane(
            "this user has no control plane in the cloud: make one with `apothic cloud up`, or "
            f"keep the key of one with `apothic auth login https://... --name {CLOUD}`"
        )
    return open_remote(made.url, made.api_key)
