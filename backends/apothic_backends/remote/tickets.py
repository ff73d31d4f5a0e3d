"""Tickets of commands to a server, some of which take two steps.

A reply may be lost with its connection, so none may be the only place where something is:

* a call (`Run`) is queued, so that its job is known, and then waited for; its handle is given up
  once the result is here, and not with the reply;
* that items have come is said at the last moment before somebody has them (`Taken`): else they go
  back;
* a watch that begins "now" first finds out where that is (`Position`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from apothic_backends.commands import (
    CancelJob,
    Command,
    OpenItems,
    ReadEvents,
    ReleaseJob,
    RunJob,
    SubmitJob,
    WaitJob,
)
from apothic_backends.remote.connection import Connection
from apothic_backends.remote.operations import changes_something
from apothic_backends.ticket import Ticket

T = TypeVar("T")


class Asked(Protocol):
    """The backend that was asked."""

    connection: Connection
    runs: dict[str, Place]

    def send(self, command: Command[T]) -> RemoteTicket[T]:
        """Ask for it as it is."""
        ...

    def tell(self, command: Command[Any]) -> None:
        """Have something done, and not hear of it."""
        ...


class RemoteTicket(Ticket[T]):
    """A reply that is on its way from a server."""

    __slots__ = ("_backend", "_number")

    def __init__(self, backend: Asked) -> None:
        super().__init__()
        self._backend = backend
        self._number = 0

    def send(self, command: Command[Any], *, once: bool = False) -> None:
        """Have the command answered here; `once` if the first answer has to be the only one."""
        once = once or changes_something(command)
        self._number = self._backend.connection.ask(command, _Taker(self, command), once=once)

    def take(self, command: Command[Any], value: Any, error: BaseException | None) -> None:
        """Take the reply, or give back what came with it if nobody wants it any more."""
        if error is not None:
            self.fail(error)
            return
        if getattr(value, "receipts", ()):
            value.undo = self._give_back
        if not self.complete(value):
            self._unwanted(command, value)

    def _unwanted(self, command: Command[Any], value: Any) -> None:
        is_call = type(command) is OpenItems or (type(command) is SubmitJob and not command.key)
        if is_call:
            drop(self._backend, value)
        elif getattr(value, "undo", None) is not None:
            self._give_back(value)

    def _give_back(self, value: Any) -> None:
        """What was claimed can be had again."""
        from apothic_backends.commands.queues import ReturnItem  # noqa: PLC0415 - seldom

        for receipt in value.receipts:
            self._backend.tell(ReturnItem(receipt, uncharged=True))

    def _abandon(self, reply: Any) -> None:
        if reply is not None:
            self._give_back(reply)
        elif self._number:
            self._backend.connection.give_up(self._number)

    # In a fork nobody else fails it.

    def _block(self, deadline: float | None) -> None:
        self._look()
        super()._block(deadline)

    def on_done(self, callback: Callable[[], object]) -> bool:
        """Call back when done; in a fork that is now."""
        self._look()
        return super().on_done(callback)

    def then(self, callback: Callable[[], object]) -> None:
        """Call back when done, on whichever thread knows that, or at once."""
        if not super().on_done(callback):
            callback()

    def _look(self) -> None:
        dead = self._backend.connection.dead
        if dead is not None:
            self.fail(dead)


class _Taker:
    """Hands a reply to its ticket."""

    __slots__ = ("_command", "_ticket")

    def __init__(self, ticket: RemoteTicket[Any], command: Command[Any]) -> None:
        self._ticket = ticket
        self._command = command

    def __call__(self, value: Any, error: BaseException | None) -> None:
        self._ticket.take(self._command, value, error)


def drop(backend: Asked, job_id: str) -> None:
    """Nobody knows of a job: it ends, and its result with it."""
    backend.tell(CancelJob(job_id))
    backend.tell(ReleaseJob(job_id))


class Place(RemoteTicket[Any]):
    """A job's outcome, with which the caller's handle goes, unless the job is to be kept."""

    __slots__ = ("is_kept", "job")

    def __init__(self, backend: Asked) -> None:
        super().__init__(backend)
        self.is_kept = False
        self.job: str | None = None

    def wait_for(self, job_id: str, *, owned: bool) -> None:
        """Have the end of that job answered here."""
        self.job = job_id
        self._backend.runs[job_id] = self
        self.send(WaitJob(job_id, last=False, owned=owned))

    def take(self, command: Command[Any], value: Any, error: BaseException | None) -> None:
        """Take the outcome; the server need not hold it any more."""
        assert self.job is not None
        if self._backend.runs.get(self.job) is self:
            del self._backend.runs[self.job]
        if error is None and not self.is_kept:
            self._let_go(self.job)
        super().take(command, value, error)

    def _let_go(self, job_id: str) -> None:
        """The caller's handle goes."""
        self._backend.tell(ReleaseJob(job_id))


class Wait(Place):
    """`WaitJob` with `last`."""

    __slots__ = ()

    def __init__(self, backend: Asked, command: WaitJob) -> None:
        super().__init__(backend)
        self.wait_for(command.job_id, owned=command.owned)


class Run(Place):
    """`RunJob`."""

    __slots__ = ("_submitted",)

    def __init__(self, backend: Asked, command: RunJob) -> None:
        super().__init__(backend)
        submit = SubmitJob(command.function_id, command.arguments, command.wait_for_room)
        submit.method = command.method
        self._submitted = backend.send(submit)
        self._submitted.then(self._queued)

    @property
    def job_id(self) -> str | None:
        """The job, once it is queued."""
        return self.job

    def _queued(self) -> None:
        try:
            job_id = self._submitted.result()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the reply
            self.fail(error)
            return
        self.wait_for(job_id, owned=True)
        if self.done:
            self._abandon(None)  # given up in between

    def _let_go(self, job_id: str) -> None:
        self._backend.connection.tell_soon(ReleaseJob(job_id))  # hardly anybody knows it

    def _abandon(self, reply: Any) -> None:
        if self.job is None:
            self._submitted.cancel()
            return
        super()._abandon(reply)
        self._backend.runs.pop(self.job, None)
        drop(self._backend, self.job)


class Position(RemoteTicket[Any]):
    """`ReadEvents` from now on."""

    __slots__ = ("_found", "_read")

    def __init__(self, backend: Asked, command: ReadEvents) -> None:
        super().__init__(backend)
        self._read = command
        self._found: RemoteTicket[Any] = RemoteTicket(backend)
        self._found.send(command.replace(limit=0), once=True)  # a later "now" would miss some
        self._found.then(self._go_on)

    def _go_on(self) -> None:
        try:
            batch = self._found.result()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the reply
            self.fail(error)
            return
        if batch.ended:
            self.complete(batch)
        elif not self.done:
            self.send(self._read.replace(after=batch.cursor))
            if self.done:
                self._abandon(None)  # given up in between

    def _abandon(self, reply: Any) -> None:
        self._found.cancel()
        super()._abandon(reply)


class Taken(RemoteTicket[Any]):
    """Items that are taken.

    The server is told at the last moment before the code that wanted them has them, and nobody
    waits for that. If the process dies before, they go back to their old places.
    """

    __slots__ = ()

    def __init__(self, backend: Asked, command: Any) -> None:
        super().__init__(backend)
        ask = backend.connection.ask
        self._number = ask(command, _Taker(self, command), once=True, goes_back=True)

    def take(self, command: Command[Any], value: Any, error: BaseException | None) -> None:
        """Take the items, which can go back for now."""
        if error is None:
            value.undo = self._give_back
        super().take(command, value, error)

    def _give_back(self, value: Any) -> None:
        self._backend.connection.give_back(self._number)

    def result(self) -> Any:
        """The items, which are this code's from now on."""
        items = super().result()
        if items.undo is not None:
            items.undo = None
            self._backend.connection.see(self._number)
        return items
