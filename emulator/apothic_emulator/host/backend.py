"""The `local` backend: commands to the host of this process."""

from __future__ import annotations

import atexit
import os
from typing import Any, TypeVar
from weakref import WeakSet

from apothic_backends.base import EventStream
from apothic_backends.commands import Command, RunJob
from apothic_backends.model.events import Cursor
from apothic_backends.ticket import Ticket
from apothic_emulator.core.facts import Asked
from apothic_emulator.endings import tell_kept, tell_unfinished
from apothic_emulator.host.host import Host
from apothic_emulator.host.tickets import HostTicket

ReplyT = TypeVar("ReplyT")

_hosts: WeakSet[Host] = WeakSet()


def _abandon_all() -> None:
    for host in _hosts:
        host.abandon()


os.register_at_fork(after_in_child=_abandon_all)  # once: what is registered is kept for ever


class LocalBackend:
    """Runs functions in worker processes of this machine."""

    _ticket_type = HostTicket
    shares_files = True

    def __init__(self, host: Host) -> None:
        self._host = host
        _hosts.add(host)
        atexit.register(self.close)

    def start(self, command: Command[ReplyT]) -> Ticket[ReplyT]:
        """Ask for something; never blocks or awaits."""
        host = self._host
        ticket = self._ticket_type(host)
        if host.dead is not None:
            ticket.fail(host.dead)
            return ticket
        is_call = type(command) is RunJob
        if not is_call and command.beside_core:
            host.agent.carry_out_beside(command, ticket)
            return ticket
        asked: Any = command
        host.post(Asked(asked, ticket))
        if host.dead is not None:
            ticket.fail(host.dead)  # it died, or was closed, in between
        if not is_call:  # its caller reads the result, or asks for a call-back
            host.reader.watch()
        return ticket

    def watch(
        self, topic: str, after: Cursor | None = None, *, snapshot: bool = False
    ) -> EventStream:
        """Follow what happens to `topic`, from just after a position or as `ReadEvents` says."""
        return EventStream(self, topic, after, snapshot=snapshot)

    def current_job(self) -> tuple[str, int] | None:
        """None: jobs run in other processes."""
        return None

    def close(self) -> None:
        """End every process that was started; unfinished jobs are counted on stderr."""
        atexit.unregister(self.close)
        host = self._host
        tell_unfinished(host.close())
        if host.commits is not None:
            tell_kept(host.kept_jobs, host.commits.place)
            host.kept_jobs = 0
