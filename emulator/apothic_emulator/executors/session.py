"""The backend of code in a worker: its commands go to the control plane that started it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from apothic_backends import codec
from apothic_backends.base import EventStream
from apothic_backends.commands import CancelJob, Command, HoldJob, RunJob, SubmitJob, WaitJob
from apothic_backends.interrupts import WINDOW
from apothic_backends.model.errors import ApothicError, BackendClosed, UsageError
from apothic_backends.model.events import Cursor
from apothic_backends.registry import FAR
from apothic_backends.ticket import Ticket
from apothic_emulator.executors import calls, life
from apothic_emulator.executors.child import Executor
from apothic_emulator.executors.wire import FAILURE, Buffer, Frame

ReplyT = TypeVar("ReplyT")


class SessionBackend:
    """A backend over the executor's own channel."""

    shares_files = True
    """What runs below runs in the archive that this worker runs in, or in no other files."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._control = executor.control
        self._control.window = WINDOW

    def start(self, command: Command[ReplyT]) -> Ticket[ReplyT]:
        """Send a command on behalf of the job that this thread or task works on."""
        if type(command) is RunJob:
            return _Run(self, command)  # its reply is an outcome
        current = calls.CURRENT.get()
        kind: Any = _Taken if type(command).__name__ == "TakeItems" else _Asked
        return self._ask(command, kind(self, current[0] if current else 0))

    def send(self, command: Command[ReplyT], job: int) -> _Asked[ReplyT]:
        """Send a command on behalf of a job."""
        return self._ask(command, _Asked[ReplyT](self, job))

    @property
    def volumes(self) -> Any:
        """Those of the control plane, where that is on another machine."""
        if FAR not in os.environ:
            return None
        from apothic_backends.volumes.far import FarVolumes  # with the first one  # noqa: PLC0415

        return FarVolumes(self._need, keeps=True)

    def _need(self, command: Command[Any]) -> Ticket[Any]:
        """Ask for what is answered beside the core, also before the function is loaded."""
        ticket = _Asked[Any](self, 0)
        buffers: list[Buffer] = []
        body = codec.to_bytes(command, buffers)
        ticket.number = self._control.request(0, body, tuple(buffers), ticket.answer)
        return ticket

    def _ask(self, command: Command[Any], ticket: _Asked[Any]) -> _Asked[Any]:
        if not self._executor.is_loaded:  # the worker that answers would load the same module
            ticket.fail(
                UsageError(
                    "a module calls a function from afar, or deploys, while a worker imports it, "
                    "and every worker imports it: put that under `if __name__ == '__main__':`"
                )
            )
            return ticket
        buffers: list[Buffer] = []
        body = codec.to_bytes(command, buffers)
        ticket.number = self._control.request(ticket.job, body, tuple(buffers), ticket.answer)
        return ticket

    def tell(self, command: Command[Any], job: int) -> None:
        """Send a command whose reply nobody wants."""
        buffers: list[Buffer] = []
        body = codec.to_bytes(command, buffers)
        self._control.tell(job, body, tuple(buffers))

    def arrived(self, place: int) -> None:
        """Say that a reply will not go back any more; see `agent/lent.py`."""
        self._executor.output.flags[place] = 1

    def wait(self, ticket: Ticket[Any], deadline: float | None) -> bool:
        """Wait for a ticket by reading; False if it has to be waited for otherwise."""
        if self._control.lead(ticket, deadline):
            return True
        self.read_by_itself()
        return False

    def read_by_itself(self) -> None:
        """Have replies read whether or not anybody waits."""
        self._control.start()

    def give_up(self, number: int) -> None:
        """Want no reply to a command any more; one that is on its way comes nevertheless."""
        self._control.give_up(number)

    def refuse(self, number: int) -> None:
        """Give back what has come with a reply."""
        self._control.refuse(number)

    def watch(
        self, topic: str, after: Cursor | None = None, *, snapshot: bool = False
    ) -> EventStream:
        """Follow what happens to `topic`, from just after a position or as `ReadEvents` says."""
        return EventStream(self, topic, after, snapshot=snapshot)

    def current_job(self) -> tuple[str, int] | None:
        """The id and the attempt of the job that this thread or task works on."""
        current = calls.CURRENT.get()
        return (f"jobs:{current[0]}", current[1]) if current is not None else None

    def close(self) -> None:
        """Nothing to do: the channel belongs to the executor."""


class _Sent(Ticket[ReplyT]):
    """A ticket whose waiting thread reads the channel itself."""

    __slots__ = ("_backend",)

    def __init__(self, backend: SessionBackend) -> None:
        super().__init__()
        self._backend = backend

    def bell(self) -> Ticket[None]:
        """A ticket whose waiting thread reads the channel, too."""
        return _Sent(self._backend)

    def _block(self, deadline: float | None) -> None:
        if not self._backend.wait(self, deadline):
            super()._block(deadline)

    def on_done(self, callback: Callable[[], object]) -> bool:
        """Call back when done; nobody may wait, so a thread has to read."""
        self._backend.read_by_itself()
        return super().on_done(callback)

    def then(self, callback: Callable[[], object]) -> None:
        """Call back when done, on whichever thread has read that, or at once."""
        if not super().on_done(callback):
            callback()


class _Asked(_Sent[ReplyT]):
    """A reply that is on its way to this worker."""

    __slots__ = ("_place", "job", "number")

    def __init__(self, backend: SessionBackend, job: int) -> None:
        super().__init__(backend)
        self.job = job
        self.number = 0
        self._place = 0
        """Where to say that the reply has arrived, if it would go back otherwise."""

    def answer(self, frame: Frame | None) -> None:
        """The reply, or the end of the channel."""
        if frame is None:
            self.fail(BackendClosed("the control plane hung up"))
            return
        value = codec.from_bytes(frame.body, frame.buffers)
        if frame.kind == FAILURE and isinstance(value, ApothicError):
            self.fail(value)
            return
        if frame.job:
            self._place = frame.job
            value.undo = self._refuse
        if not self.complete(value) and frame.job:
            self._refuse()

    def result(self) -> Any:
        """The reply, which is with the code that asked from now on."""
        reply: Any = super().result()
        if self._place:
            place, self._place = self._place, 0
            reply.undo = None
            self._backend.arrived(place)
        return reply

    def _abandon(self, reply: Any) -> None:
        """Tell the control plane, for which the job that asked would be blocked still."""
        if reply is None:
            self._backend.give_up(self.number)
        else:
            self._refuse()

    def _refuse(self, now: float = 0.0) -> None:
        """Give back what has come and has reached nobody."""
        self._backend.refuse(self.number)


class _Taken(_Asked[Any]):
    """Items that are taken. Where they are kept they come as claims, see `core/queues.py`.

    Those are acknowledged when they have arrived, and nobody waits for that.
    """

    __slots__ = ()

    def result(self) -> Any:
        """The items, which are this code's from now on."""
        items = super().result()
        if items.receipts:
            from apothic_backends.commands.queues import AckItems  # noqa: PLC0415 - loaded by now

            receipts, items.receipts = items.receipts, ()
            self._backend.tell(AckItems(receipts), self.job)
        return items


class _Run(_Sent[Any]):
    """`RunJob` in two commands, so that the job's id is known here while it is waited for."""

    __slots__ = ("_caller", "_job_id", "_submitted")

    def __init__(self, backend: SessionBackend, command: RunJob) -> None:
        super().__init__(backend)
        current = calls.CURRENT.get()
        self._caller = current[0] if current else 0
        self._job_id: str | None = None
        submit = SubmitJob(command.function_id, command.arguments, command.wait_for_room)
        submit.method = command.method
        submit.owned = True
        self._submitted = backend.send(submit, self._caller)
        self._submitted.then(self._wait)

    @property
    def job_id(self) -> str | None:
        """The job, once it is queued."""
        return self._job_id

    def _wait(self) -> None:
        try:
            self._job_id = job_id = self._submitted.result()
        except ApothicError as error:
            self.fail(error)
            return
        if self.done:  # given up before the job was known
            self._backend.send(CancelJob(job_id), self._caller)
            return
        waiting = self._backend.send(WaitJob(job_id, last=True, owned=True), self._caller)

        def finish() -> None:
            try:
                self.complete(waiting.result())
            except ApothicError as error:
                self.fail(error)

        waiting.then(finish)

    def _abandon(self, reply: Any) -> None:
        if self._job_id is not None:
            self._backend.send(CancelJob(self._job_id), self._caller)


def open_session() -> SessionBackend:
    """The session of this worker."""
    executor = life.this_executor()
    if executor is None:
        raise BackendClosed("this process is not an executor")
    return SessionBackend(executor)


def hold(job: int, *, held: bool) -> None:
    """Stop the clock of a job of this worker, or let it go on."""
    open_session().send(HoldJob(f"jobs:{job}", held), job).wait()
