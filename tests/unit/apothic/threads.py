"""A backend in this process: each job runs in a thread, out of the very bytes that were sent.

It keeps the contract as far as these tests look: replies come once, a queue has an end and those
who wait for room get it in order, a cancelled job never succeeds, a result goes with its last
handle. It cannot stop a thread, so a running job that is cancelled runs on unseen.
"""

from __future__ import annotations

import pickle
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import anyio

from apothic_backends.base import EventStream
from apothic_backends.commands import (
    CancelJob,
    Command,
    GetJob,
    GetJobInput,
    GetJobLogs,
    KeepJob,
    ReadEvents,
    RegisterFunction,
    ReleaseJob,
    ReplyT,
    RunJob,
    SubmitJob,
    WaitJob,
)
from apothic_backends.commands.deployments import FindFunction
from apothic_backends.model.deployments import FunctionFound
from apothic_backends.model.errors import IdempotencyConflict, JobGone, NotFound, QueueFull
from apothic_backends.model.events import ALL_JOBS, Cursor, Event, EventBatch
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.jobs import (
    ErrorInfo,
    JobInput,
    JobLogs,
    JobOutcome,
    JobSnapshot,
    JobStatus,
)
from apothic_backends.model.payloads import PICKLE, Payload
from apothic_backends.ticket import Ticket


def load(code: Payload) -> Callable[..., Any]:
    """What an executor does with code."""
    if code.codec == PICKLE:
        return pickle.loads(code.data, buffers=code.buffers)
    module, _, qualname = code.data.decode().partition(":")
    found: Any = sys.modules[module]
    for name in qualname.split("."):
        found = getattr(found, name)
    return found


class FakeJob:
    def __init__(self, job_id: str, function_id: str, arguments: Payload) -> None:
        self.job_id = job_id
        self.function_id = function_id
        self.arguments = arguments
        self.status = JobStatus.QUEUED
        self.outcome: JobOutcome | None = None
        self.waits: list[Ticket[JobOutcome]] = []
        self.is_released = False
        self.printed = ""


class RunTicket(Ticket[JobOutcome]):
    """The reply of a `RunJob`; giving it up cancels the job."""

    def __init__(self, backend: ThreadBackend) -> None:
        super().__init__()
        self.queued: str | None = None
        self._backend = backend

    @property
    def job_id(self) -> str | None:
        return self.queued

    def _abandon(self, reply: Any) -> None:
        if self.queued is not None:
            self._backend.start(CancelJob(self.queued))


class ThreadBackend:
    """Runs jobs in threads; `is_held` keeps them queued until `go()`."""

    shares_files = True

    def __init__(self, *, is_held: bool = False) -> None:
        self.started: list[Command[Any]] = []
        self.functions: list[tuple[FunctionSpec, Callable[..., Any]]] = []
        self.jobs: dict[str, FakeJob] = {}
        self.keyed: dict[str | None, FakeJob] = {}
        self.is_held = is_held
        self.parked: deque[tuple[SubmitJob, Ticket[str]]] = deque()
        self._lock = threading.RLock()
        self._events: list[Event] = []
        self._readers: list[tuple[ReadEvents, Ticket[EventBatch]]] = []

    def start(self, command: Command[ReplyT]) -> Ticket[ReplyT]:
        ticket: Ticket[Any] = RunTicket(self) if isinstance(command, RunJob) else Ticket()
        with self._lock:
            self.started.append(command)
            try:
                getattr(self, f"_{type(command).__name__}")(command, ticket)
            except Exception as error:
                ticket.fail(error)
        return ticket

    def watch(
        self, topic: str, after: Cursor | None = None, *, snapshot: bool = False
    ) -> EventStream:
        return EventStream(self, topic, after, snapshot=snapshot)

    def current_job(self) -> tuple[str, int] | None:
        return None

    def close(self) -> None:
        self.is_held = True

    def seen(self, kind: type[Command[Any]]) -> list[Any]:
        """The commands of a kind, in order."""
        return [command for command in self.started if type(command) is kind]

    def go(self) -> None:
        """Let what is held run."""
        with self._lock:
            self.is_held = False
            for job in [*self.jobs.values()]:
                self._run(job)

    def fail(self, job_id: str, status: JobStatus, error: ErrorInfo) -> None:
        """End a job as the control plane would when its process is gone."""
        with self._lock:
            self._end(self.jobs[job_id], JobOutcome(job_id, status, error=error))

    def _job(self, job_id: str) -> FakeJob:
        if job_id not in self.jobs:
            raise NotFound(f"there is no job {job_id}", name=job_id)
        return self.jobs[job_id]

    def _RegisterFunction(self, command: RegisterFunction, ticket: Ticket[str]) -> None:
        self.functions.append((command.spec, load(command.code)))
        ticket.complete(f"functions:{len(self.functions)}")

    def _FindFunction(self, command: FindFunction, ticket: Ticket[FunctionFound]) -> None:
        raise NotFound("nothing is deployed here", name=command.name)

    def _SubmitJob(self, command: SubmitJob, ticket: Ticket[str]) -> None:
        spec, _ = self._function(command.function_id)
        known = self.keyed.get(command.key)
        if known is not None:
            if known.arguments != command.arguments:
                raise IdempotencyConflict("other arguments", job_id=known.job_id)
            ticket.complete(known.job_id)
            return
        queued = [j for j in self.jobs.values() if j.status is JobStatus.QUEUED]
        if len(queued) >= spec.max_pending_tasks:
            if not command.wait_for_room:
                raise QueueFull(f"{len(queued)} jobs wait already")
            self.parked.append((command, ticket))
            return
        job = FakeJob(f"jobs:{len(self.jobs) + 1}", command.function_id, command.arguments)
        self.jobs[job.job_id] = job
        if command.key is not None:
            self.keyed[command.key] = job
        self._tell("job.queued", job, app_name=spec.app_name, function_name=spec.name)
        ticket.complete(job.job_id)
        if not self.is_held:
            self._run(job)

    def _RunJob(self, command: RunJob, ticket: Ticket[JobOutcome]) -> None:
        assert isinstance(ticket, RunTicket)
        submitted: Ticket[str] = Ticket()

        def wait() -> None:
            ticket.queued = submitted.result()
            if ticket.done:
                self.start(CancelJob(ticket.queued))
            self._WaitJob(WaitJob(ticket.queued, last=True, owned=True), ticket)

        submit = SubmitJob(command.function_id, command.arguments, command.wait_for_room)
        self._SubmitJob(submit, submitted)
        if not submitted.on_done(wait):
            wait()

    def _WaitJob(self, command: WaitJob, ticket: Ticket[JobOutcome]) -> None:
        job = self._job(command.job_id)
        if job.outcome is not None and job.is_released:
            raise JobGone(f"the result of {job.job_id} is gone", name=job.job_id)
        if job.outcome is not None:
            job.is_released |= command.last
            ticket.complete(job.outcome)
        else:
            job.waits.append(ticket)

    def _GetJob(self, command: GetJob, ticket: Ticket[JobSnapshot]) -> None:
        job = self._job(command.job_id)
        ticket.complete(
            JobSnapshot(
                job.job_id, job.function_id, "app", "f", job.status, 1, False, 0.0, None, None
            )
        )

    def _GetJobInput(self, command: GetJobInput, ticket: Ticket[JobInput]) -> None:
        job = self._job(command.job_id)
        ticket.complete(JobInput(job.job_id, job.function_id, "app", "f", job.arguments))

    def _GetJobLogs(self, command: GetJobLogs, ticket: Ticket[JobLogs]) -> None:
        printed = self._job(command.job_id).printed
        ticket.complete(JobLogs(stdout=printed, stderr="", text=printed))

    def _ReadEvents(self, command: ReadEvents, ticket: Ticket[EventBatch]) -> None:
        """Of all jobs, from now on; every other topic is silent."""
        here = Cursor("threads", len(self._events))
        if command.snapshot and command.topic == ALL_JOBS:
            raise NotFound("nothing is written down here")
        if command.snapshot:
            ticket.complete(EventBatch((), here))
            return
        self._readers.append((command.replace(after=command.after or here), ticket))
        self._tell_readers()

    def _tell(self, name: str, job: FakeJob, **more: object) -> None:
        data = {"job_id": job.job_id, "attempt": 1, "at": 0.0, **more}
        self._events.append(Event(name, data, Cursor("threads", len(self._events) + 1)))
        self._tell_readers()

    def _tell_readers(self) -> None:
        for command, ticket in [*self._readers]:
            assert command.after is not None
            events = tuple(self._events[command.after.seq :])
            if events and command.topic == ALL_JOBS:
                self._readers.remove((command, ticket))
                ticket.complete(EventBatch(events, events[-1].cursor))

    def _CancelJob(self, command: CancelJob, ticket: Ticket[None]) -> None:
        job = self._job(command.job_id)
        error = ErrorInfo("job_cancelled", f"{job.job_id} was cancelled")
        self._end(job, JobOutcome(job.job_id, JobStatus.CANCELLED, error=error))
        ticket.complete(None)

    def _KeepJob(self, command: KeepJob, ticket: Ticket[None]) -> None:
        self._job(command.job_id)
        ticket.complete(None)

    def _ReleaseJob(self, command: ReleaseJob, ticket: Ticket[None]) -> None:
        self._job(command.job_id).is_released = True
        ticket.complete(None)

    def _function(self, function_id: str) -> tuple[FunctionSpec, Callable[..., Any]]:
        return self.functions[int(function_id.removeprefix("functions:")) - 1]

    def _run(self, job: FakeJob) -> None:
        if job.status is JobStatus.QUEUED:
            job.status = JobStatus.RUNNING
            threading.Thread(target=self._work, args=(job,), daemon=True).start()
            self._admit()

    def _admit(self) -> None:
        waiting, self.parked = self.parked, deque()
        for command, ticket in waiting:
            if not ticket.done:
                self._SubmitJob(command, ticket)

    def _work(self, job: FakeJob) -> None:
        spec, function = self._function(job.function_id)
        printed = StringIO()
        try:
            args, kwargs = pickle.loads(job.arguments.data, buffers=job.arguments.buffers)
            with redirect_stdout(printed):
                value = call(spec, function, args, kwargs)
            outcome = JobOutcome(job.job_id, JobStatus.SUCCEEDED, result=encode(value))
        except BaseException as error:
            outcome = JobOutcome(job.job_id, JobStatus.FAILED, error=describe(error))
        with self._lock:
            job.printed = printed.getvalue()
            self._end(job, outcome)

    def _end(self, job: FakeJob, outcome: JobOutcome) -> None:
        if job.outcome is None:
            job.outcome, job.status = outcome, outcome.status
            if job.printed:
                self._tell("job.log", job, stream="stdout", text=job.printed, seq=1)
            self._tell("job.end", job, status=outcome.status.value)
            waits, job.waits = job.waits, []
            for ticket in waits:
                ticket.complete(outcome)
            if not self.is_held:
                self._admit()


def call(
    spec: FunctionSpec, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    if not spec.is_async:
        return function(*args, **kwargs)

    async def run() -> Any:
        return await function(*args, **kwargs)

    return anyio.run(run)


def encode(value: object) -> Payload:
    buffers: list[bytearray] = []

    def keep(buffer: pickle.PickleBuffer) -> None:
        buffers.append(bytearray(buffer))

    return Payload(pickle.dumps(value, 5, buffer_callback=keep), tuple(buffers))


def describe(error: BaseException) -> ErrorInfo:
    text = "".join(traceback.format_exception(error))
    try:
        exception = Payload(pickle.dumps(error))
        pickle.loads(exception.data)
    except Exception:
        exception = None
    return ErrorInfo("user_error", str(error), type(error).__qualname__, text, exception)
