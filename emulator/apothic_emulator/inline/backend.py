"""The `inline` backend: calls run in the process, and the thread, of whoever waits for them.

The same core decides as with worker processes, and everything travels through pickle; so results,
errors, retries, ids, limits, events and logs are the same. What needs a process is not there: time
limits, memory limits and being killed are not enforced, and what dies takes the program with it.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar, cast
from weakref import WeakSet

from apothic_backends.base import EventStream
from apothic_backends.commands import (
    Command,
    GetJob,
    GetJobLogs,
    RunJob,
    TellProgress,
)
from apothic_backends.model.events import Cursor
from apothic_backends.ticket import Ticket
from apothic_emulator.core.facts import Asked, GivenUp, Origin
from apothic_emulator.endings import tell_unfinished
from apothic_emulator.inline.calls import CURRENT, Call
from apothic_emulator.inline.host import InlineHost

ReplyT = TypeVar("ReplyT")


_hosts: WeakSet[InlineHost] = WeakSet()


def _abandon_all() -> None:
    for host in _hosts:
        host.abandon()


os.register_at_fork(after_in_child=_abandon_all)


class InlineBackend:
    """Runs functions in this process, in the thread that waits for them."""

    shares_files = True

    def __init__(self, host: InlineHost) -> None:
        self._host = host
        atexit.register(self.close)
        _hosts.add(host)

    def start(self, command: Command[ReplyT]) -> Ticket[ReplyT]:
        """Ask for something; never blocks, awaits, or runs a call."""
        host = self._host
        ticket = InlineTicket(host)
        if host.dead is not None:
            ticket.fail(host.dead)
            return ticket
        if command.beside_core:
            host.carry_out_beside(command, ticket)
            return ticket
        asked: Any = _untimed(command)
        call = CURRENT.get()
        if call is not None and call.purse is not None and isinstance(command, TellProgress):
            asked = command.replace(message=call.purse.masks.text(command.message))
        origin = None if call is None else Origin(call.executor, call.job)
        host.post(Asked(cast("Command[object]", asked), ticket, origin))
        if host.dead is not None:
            ticket.fail(host.dead)
        if isinstance(command, RunJob) and not command.wait_for_room:  # else it is one of many
            host.promise(ticket)
        if isinstance(command, GetJob | GetJobLogs):
            return Look(host, ticket)
        if type(command).__name__ in ("StopInstance", "RestartInstance"):
            return Farewell(host, ticket)
        return ticket

    def watch(
        self, topic: str, after: Cursor | None = None, *, snapshot: bool = False
    ) -> EventStream:
        """Follow what happens to `topic`, from just after a position or as `ReadEvents` says."""
        return EventStream(self, topic, after, snapshot=snapshot)

    def current_job(self) -> tuple[str, int] | None:
        """The id and the attempt of the job that this thread or task works on."""
        call = CURRENT.get()
        return None if call is None else (call.job_id, call.attempt)

    def close(self) -> None:
        """Run nothing more; unfinished jobs are counted on stderr."""
        atexit.unregister(self.close)
        tell_unfinished(self._host.close())


def _untimed(command: Any) -> Any:
    """The same with functions that may take for ever: no clock runs for what cannot be stopped.

    And without GPUs: they run in this process, which sees those that it sees.
    """
    if type(command).__name__ == "Deploy":
        return command.replace(functions=tuple(_untimed(one) for one in command.functions))
    if type(command).__name__ in ("RegisterFunction", "DeployedFunction"):
        spec = command.spec.replace(timeout_s=float("inf"), gpu=(), gpu_count=0, min_vram_gb=0)
        return command.replace(spec=spec)
    return command


class InlineTicket(Ticket[Any]):
    """A ticket whose waiting thread does the work."""

    __slots__ = ("_host",)

    def __init__(self, host: InlineHost) -> None:
        super().__init__()
        self._host = host

    @property
    def job_id(self) -> str | None:
        """The job that a `RunJob` has become."""
        number = self._host.awaited(self)
        return f"jobs:{number}" if number else None

    def bell(self) -> Ticket[None]:
        """A ticket whose waiting thread does the work, too."""
        return InlineTicket(self._host)

    def _block(self, deadline: float | None) -> None:
        if _has_loop():  # as in a notebook's cell: no other loop can run in this thread
            self._host.helpers.serve(self)
            super()._block(deadline)
        else:
            self._host.wait(self, deadline)

    def _suspend(self, deadline: float | None) -> Coroutine[Any, Any, None]:
        self._host.helpers.serve(self)
        return super()._suspend(deadline)

    def _abandon(self, reply: Any) -> None:
        self._host.post(GivenUp(self, reply))


class Look(InlineTicket):
    """A reply that is here already; whoever waits for it lets one call run first.

    Else a program that asks again and again how its job is would ask for ever.
    """

    __slots__ = ("_reply",)

    def __init__(self, host: InlineHost, reply: Ticket[Any]) -> None:
        super().__init__(host)
        self._reply = reply

    def _block(self, deadline: float | None) -> None:
        self._host.turn()
        self._follow()
        super(InlineTicket, self)._block(deadline)

    def _suspend(self, deadline: float | None) -> Coroutine[Any, Any, None]:
        waiting = super()._suspend(deadline)  # with a helper for it
        self._follow()
        return waiting

    def _follow(self) -> None:
        if not self._reply.on_done(self._take):
            self._take()

    def _take(self) -> None:
        try:
            self.complete(self._reply.result())
        except BaseException as error:  # noqa: BLE001 - it is the reply
            self.fail(error)


class Farewell(Look):
    """A reply after which an object is no more; whoever waits for it runs its exit hooks first."""

    __slots__ = ()

    def _block(self, deadline: float | None) -> None:
        self._host.close_ended()
        self._follow()
        super(InlineTicket, self)._block(deadline)


def _has_loop() -> bool:
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None  # noqa: SLF001


def open_inline() -> InlineBackend:
    """Open a control plane without processes.

    `APOTHIC_PDB=1` has a debugger look at what calls raise.
    """
    return InlineBackend(InlineHost(_look_at if os.environ.get("APOTHIC_PDB") else None))


def _look_at(call: Call, error: BaseException) -> None:
    from apothic_emulator.inline.breakpoints import look_at  # brings pdb  # noqa: PLC0415

    look_at(call, error)
