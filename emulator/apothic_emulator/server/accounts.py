"""The control planes of a server: one for each account, opened when it is first asked for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
from anyio.to_thread import run_sync

from apothic_backends.commands import Command, ReplyT
from apothic_backends.model.errors import ApothicError, BackendClosed
from apothic_backends.ticket import Ticket
from apothic_emulator.agent.zygote import Zygote
from apothic_emulator.core.costs import PriceOf
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.renting import VolumeDropped
from apothic_emulator.gateway.public import Public
from apothic_emulator.host.backend import LocalBackend
from apothic_emulator.host.commits import Commits
from apothic_emulator.host.host import Host
from apothic_emulator.host.thread import HostThread
from apothic_emulator.host.tickets import HostTicket
from apothic_emulator.host.witness import witness_of
from apothic_emulator.server.first import ACCOUNT
from apothic_emulator.server.renting import Renting
from apothic_emulator.server.sessions import Sessions
from apothic_emulator.server.settings import Settings


class Account:
    """One account: its host, the same as a backend, and the sessions of its clients."""

    def __init__(self, name: str, host: Host) -> None:
        self.name = name
        self.host = host
        self.backend = LocalBackend(host)
        self.sessions = Sessions(host)
        self.volumes = host.agent.stock.volumes
        """What those of other machines ask for volumes."""
        self.volumes.is_mounted = self._has_mounted

    @property
    def dead(self) -> ApothicError | None:
        """What has ended its control plane, if anything has."""
        return self.host.dead

    def start(self, command: Command[ReplyT], operation: str | None = None) -> Ticket[ReplyT]:
        """Ask for something; under the same operation it is done once, and answered again."""
        if operation is None or command.beside_core or self.host.dead is not None:
            return self.backend.start(command)
        ticket = HostTicket(self.host)
        asked: Any = command
        self.host.post(Asked(asked, ticket, None, operation))
        if self.host.dead is not None:
            ticket.fail(self.host.dead)
        self.host.reader.watch()
        return ticket

    def cut(self, key_id: str) -> None:
        """End what clients of its services do under a key that holds no more."""
        self.host.agent.aside.cut(key_id)

    def is_quiet(self) -> bool:
        """Whether no executor works."""
        return self.host.is_quiet()

    def tidy(self, now: float) -> None:
        """Remove what nobody needs any more of code and of volumes; `now` is Unix time."""
        self.volumes.tidy(now)
        needed = self.host.look(lambda plane: plane.registry.archives())
        self.host.agent.stock.archives.remove_unneeded(needed, now)

    def rents_volumes(self, renting: Renting) -> None:
        """Those that lie on rented machines go when they are deleted here."""
        renting.papers.host_of = self.volumes.host_of
        self.volumes.on_drop = self._drop

    def _drop(self, volume: str) -> None:
        """A volume is about to be deleted: once that is written down, it may be."""
        self.backend.start(VolumeDropped(volume)).wait()

    def _has_mounted(self, volume: str) -> bool:
        """Whether an executor anywhere has a volume of that name mounted."""
        specs = self.host.look(
            lambda plane: [it.function.spec for it in plane.ledger.executors.values()]
        )
        return any(
            it.kind == "volume" and it.name == volume for spec in specs for it in spec.mounts
        )

    def jobs(self) -> dict[str, int]:
        """How many jobs have not ended, by status."""
        known = self.host.look(lambda plane: list(plane.ledger.jobs.values()))
        return dict(Counter(job.status.value for job in known if not job.is_final))

    def workers(self) -> int:
        """How many executors there are."""
        return len(self.host.plane.ledger.executors)


def open_account(
    name: str,
    settings: Settings,
    *,
    has_home: bool,
    price_of: PriceOf | None = None,
    public: Public | None = None,
    renting: Renting | None = None,
) -> Account:
    """Open the control plane of an account; blocks while its store is read.

    With `has_home` executors run here, else on agents only. Without `price_of` all is free. Its
    services are `public`, or open to this machine alone. Machines are rented for it if it gets
    what for.

    Raises:
        StoreError: its store is in use by another server, damaged, or cannot be reached.
    """
    store = settings.store(name)
    if settings.restored:
        store.forget()
    witness = witness_of(settings.folder, store.place, is_put_back=settings.restored)
    store.open()
    thread = HostThread(Zygote())
    thread.start()
    try:
        host = Host(
            thread,
            commits=Commits(store, witness),
            has_home=has_home,
            lease_s=settings.agent_lease_s,
            grace_s=settings.agent_grace_s,
            price_of=price_of,
            quotas=settings.quotas,
            public=public,
            renting=renting,
        )
        account = Account(name, host)
        if renting is not None:
            account.rents_volumes(renting)
        volumes = settings.folder / "accounts" / name / "volumes"
        if settings.volume_bucket:
            from apothic_backends.buckets.told import bucket_of  # for few  # noqa: PLC0415

            bucket = bucket_of(settings.volume_bucket, os.environ, name)
            account.volumes.keep_in_bucket(volumes, bucket)
        elif name != ACCOUNT:  # the operator's are in the operator's home
            account.volumes.keep_in(volumes)
    except BaseException:
        thread.end()
        store.close()
        raise
    return account


class Accounts:
    """Every account that was asked for, by name."""

    def __init__(self, open_one: Callable[[str], Account]) -> None:
        self._open_one = open_one
        self._opening = anyio.Lock()
        self._is_closed = False
        self.opened: dict[str, Account] = {}

    async def get(self, name: str) -> Account:
        """The account of that name.

        Raises:
            StoreError: its state cannot be had.
            BackendClosed: the server is about to end.
        """
        found = self.opened.get(name)
        if found is not None:
            return found
        async with self._opening:
            if self._is_closed:
                raise BackendClosed("the server is about to end; ask again when it is back")
            if name not in self.opened:
                self.opened[name] = await run_sync(self._open_one, name)
            return self.opened[name]

    def dead(self) -> list[Account]:
        """Those that cannot go on."""
        return [account for account in self.opened.values() if account.dead is not None]

    def is_quiet(self) -> bool:
        """Whether no executor of any account works."""
        return all(account.is_quiet() for account in self.opened.values())

    async def tidy(self, now: float) -> None:
        """Remove what no account needs any more."""
        for account in list(self.opened.values()):
            if account.dead is None:
                await run_sync(account.tidy, now)

    async def close(self) -> None:
        """End them all, and open no other."""
        async with self._opening:
            self._is_closed = True
            for account in self.opened.values():
                await run_sync(account.backend.close)
