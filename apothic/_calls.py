"""What carries out the calls of a function and the wishes of a job: procedures, for `_drive`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from apothic._connect import connect, is_open
from apothic._drive import deadline_after, step, work
from apothic._items import ItemsLink, close_items
from apothic._maps import Fan, Feed, How, Items, width
from apothic._serialize import decode_arguments, decode_outcome, encode_arguments
from apothic.options import FunctionOptions
from apothic_backends.base import Backend, EventStream
from apothic_backends.commands import (
    CancelJob,
    Command,
    GetJob,
    GetJobInput,
    GetJobLogs,
    KeepJob,
    OpenItems,
    ReleaseJob,
    RunJob,
    SubmitJob,
    WaitJob,
)
from apothic_backends.interrupts import WINDOW
from apothic_backends.model.errors import (
    ApothicError,
    BackendClosed,
    IdempotencyConflict,
    UsageError,
    WaitTimeout,
)
from apothic_backends.model.events import Cursor
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.jobs import JobOutcome, JobStatus
from apothic_backends.model.payloads import Payload
from apothic_backends.ticket import Ticket


class Callee(Protocol):
    """A function that can be called from afar."""

    name: str

    @property
    def options(self) -> FunctionOptions:
        """What it was declared with, as far as that is known here."""
        ...

    @property
    def is_generator(self) -> bool | None:
        """Whether it gives items and no result; None where that is not known yet."""
        ...

    @property
    def freeze(self) -> Callable[[], object] | None:
        """What has its body generated, which may take minutes; None if it is as it was written."""
        ...

    def raw(self) -> Callable[..., Any]:
        """The function as it was written."""
        ...

    def spec(self) -> FunctionSpec:
        """What a backend must know of it."""
        ...

    def introduction(self) -> list[Command[Any]]:
        """What makes it known to a backend, in order; the last reply is its id."""
        ...

    def take_wait(self, kwargs: dict[str, Any]) -> float | None:
        """Take the caller's `timeout_s` out of a call's keywords."""
        ...


class Calls:
    """The calls of one function, each by a backend that knows it."""

    def __init__(self, callee: Callee) -> None:
        self._callee = callee
        self.connect = connect
        """Gives the backend that calls go to."""
        self._backend: Backend | None = None
        self._function_id = ""
        self._is_generator = callee.is_generator
        self.method = ""
        """Which method is called, if it is an instance that is."""
        self.first: tuple[Any, ...] = ()
        """What goes before the arguments of each call: of an instance, the method's name."""

    def go_to(self, backend: Backend, function_id: str) -> None:
        """Call the function of that id there, in place of one that has to be made known."""
        self._backend, self._function_id = backend, function_id

    async def function_on(self, backend: Backend, deadline: float | None) -> str:
        """The id of the function there, once it is known."""
        if backend is not self._backend:
            await self._register(backend, deadline)
        return self._function_id

    async def call(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, owned: bool) -> Any:
        """Run one call and give its result; the job ends with whoever waits for it.

        `owned` copies the arguments, for a caller whose loop goes on meanwhile.
        """
        if self._is_generator:
            self._refuse("remote()")
        timeout_s = self._callee.take_wait(kwargs)
        deadline = deadline_after(timeout_s)
        backend = self.connect()
        payload = encode_arguments(self._callee.raw, self.first + args, kwargs)
        if owned:
            payload.own()
        ticket: Ticket[JobOutcome] | None = None
        try:
            if backend is not self._backend:
                await self._register(backend, deadline)
            ticket = backend.start(RunJob(self._function_id, payload, False, self.method))
            outcome = await step(ticket, deadline)
        except WaitTimeout:
            payload.own()  # the job may still need the arguments, and their owner goes on now
            job_id = ticket and ticket.job_id
            if job_id:
                backend.start(KeepJob(job_id))
            raise self.expired(timeout_s, [job_id] if job_id else []) from None
        except BaseException:
            if ticket is not None:
                ticket.cancel()
            raise
        return decode_outcome(outcome)

    async def spawn(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], key: str | None = None
    ) -> JobLink:
        """Queue one call, unless it was queued under that key before; the link to its job."""
        self._refuse("spawn()")
        backend = self.connect()
        payload = encode_arguments(self._callee.raw, self.first + args, kwargs)
        payload.own()
        submit = SubmitJob(self._function_id, payload, key=key, method=self.method)
        try:
            job_id = await self._submit(backend, submit)
        except IdempotencyConflict as conflict:
            if not await self._is_same_call(backend, conflict, payload):
                raise
            job_id = conflict.data["job_id"]
        return JobLink(job_id, backend, is_shared=key is not None)

    async def _is_same_call(
        self, backend: Backend, conflict: IdempotencyConflict, payload: Payload
    ) -> bool:
        """Whether the arguments are equal although their pickles are not, as those of sets."""
        try:
            known = await step(backend.start(GetJobInput(conflict.data["job_id"])))
            return bool(decode_arguments(known.arguments) == decode_arguments(payload))
        except Exception:  # noqa: BLE001 - what cannot be compared is not the same
            return False

    async def fan_out(
        self, items: Items, timeout_s: float | None, *, is_star: bool = False, **how: bool
    ) -> list[Any]:
        """Run one job for each item and give the results.

        The first failure cancels the others and is raised, as is what the iterable itself raises.
        """
        self._refuse("map(), starmap() and for_each()")
        deadline = deadline_after(timeout_s)
        callee, backend = self._callee, self.connect()
        feed = Feed(items, is_star=is_star)
        if backend is not self._backend:
            await self._register(backend, deadline)
        fan = Fan(
            feed,
            lambda arguments: encode_arguments(callee.raw, self.first + arguments, {}),
            lambda payload: backend.start(RunJob(self._function_id, payload, True, self.method)),
            width(callee.spec()),
            How(**how),
        )
        try:
            return await fan.gather(deadline)
        except WaitTimeout as error:
            if "job_ids" in error.data:  # of the user's own
                fan.cancel()
                raise
            job_ids = fan.let_go(lambda job_id: backend.start(KeepJob(job_id)))
            raise self.expired(timeout_s, job_ids) from None
        except BaseException:
            fan.cancel()
            raise

    async def submit_all(self, items: Items, timeout_s: float | None) -> list[JobLink]:
        """Queue one job for each item, waiting for room; an error cancels what is queued."""
        self._refuse("spawn_map()")
        deadline = deadline_after(timeout_s)
        backend = self.connect()
        feed = Feed(items)
        job_ids: list[str] = []
        try:
            while (arguments := await feed.next(deadline)) is not None:
                with WINDOW:
                    payload = encode_arguments(self._callee.raw, self.first + arguments, {})
                payload.own()
                submit = SubmitJob(
                    self._function_id, payload, wait_for_room=True, method=self.method
                )
                job_ids.append(await self._submit(backend, submit, deadline))
        except WaitTimeout as error:
            if "job_ids" not in error.data:  # not of the user's own
                raise self.expired(timeout_s, job_ids) from None
            abandon(backend, job_ids)
            raise
        except BaseException:
            abandon(backend, job_ids)
            raise
        return [JobLink(job_id, backend) for job_id in job_ids]

    def items(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ItemsLink:
        """One call of a generator, ready to be read; it starts with the first item."""
        callee = self._callee
        if self._is_generator is False:
            raise UsageError(
                f"{callee.name}() is not a generator function: it has no `yield`. Call it with "
                f"{callee.name}.remote(...)"
            )
        timeout_s = callee.take_wait(kwargs)
        payload = encode_arguments(callee.raw, self.first + args, kwargs)
        payload.own()
        return ItemsLink(self, payload, timeout_s)

    def _refuse(self, verb: str) -> None:
        """See to it that a generator is not asked for a result.

        Raises:
            UsageError: it is one.
        """
        if self._is_generator:
            name = self._callee.name
            raise UsageError(
                f"{name}() is a generator function, and {verb} gives results. Take its items with "
                f"`for item in {name}.remote_gen(...)`"
            )

    async def open(self, payload: Payload, deadline: float | None) -> tuple[Backend, str]:
        """Queue one call of a generator; the job is cancelled if nobody waits for its id."""
        backend = self.connect()
        if backend is not self._backend:
            await self._register(backend, deadline)
        ticket = backend.start(OpenItems(self._function_id, payload, self.method))
        try:
            return backend, await step(ticket, deadline)
        except BaseException:
            if not ticket.on_done(lambda: _drop(backend, ticket)):
                _drop(backend, ticket)
            raise

    async def _register(self, backend: Backend, deadline: float | None) -> None:
        """Make the function known where it is called for the first time."""
        await self._introduce(backend, deadline)
        self._backend = backend

    async def _introduce(self, backend: Backend, deadline: float | None) -> None:
        """Make it known, with the files that it runs in where those are not there."""
        freeze = self._callee.freeze
        if freeze is not None:
            await work(freeze)
        image = self._callee.options.get("image")
        if image is None and backend.shares_files:
            commands = self._callee.introduction()
        else:
            from apothic._placing import placed  # seldom  # noqa: PLC0415

            commands = await placed(backend, self._callee.introduction, image)
        for command in commands:
            self._function_id = await step(backend.start(command), deadline)

    async def _submit(
        self, backend: Backend, submit: SubmitJob, deadline: float | None = None
    ) -> str:
        """Queue one call; a submission that is given up leaves no job behind."""
        if backend is not self._backend:
            await self._register(backend, deadline)
        submit.function_id = self._function_id
        ticket = backend.start(submit)
        try:
            return await step(ticket, deadline)
        except BaseException:
            ticket.cancel()
            try:
                abandon(backend, [ticket.result()])
            except ApothicError:
                pass  # there is no job: it was refused, or it is not taken any more
            raise

    def expired(self, timeout_s: float | None, job_ids: list[str]) -> WaitTimeout:
        done = "yielded" if self._is_generator else "ended"
        running = f"{len(job_ids)} jobs run on" if job_ids[1:] else f"{''.join(job_ids)} runs on"
        return WaitTimeout(
            f"{self._callee.name}() has not {done} within {timeout_s:g} s; "
            f"{running if job_ids else 'no job was queued yet'}",
            job_ids=job_ids,
            timeout_s=timeout_s,
        )


def _drop(backend: Backend, opening: Ticket[str]) -> None:
    """Cancel a generator whose caller has gone before it had its id."""
    try:
        close_items(backend, opening.result())
    except ApothicError:
        pass  # it was refused


def abandon(backend: Backend, job_ids: list[str]) -> None:
    """Cancel jobs whose caller is gone; nobody waits for the replies."""
    for job_id in job_ids:
        backend.start(CancelJob(job_id))


class JobLink:
    """The wishes of whoever holds the handle of a job.

    A link that was made with the job knows its backend. Ids start afresh in another one, so after
    a fork the same id would mean another job.
    """

    def __init__(
        self, job_id: str, backend: Backend | None = None, *, is_shared: bool = False
    ) -> None:
        self.job_id = job_id
        self._backend = backend
        self._is_shared = is_shared
        """Whether others may hold the job as well, under its key."""

    def _connect(self) -> Backend:
        if self._backend is None:
            return connect()
        if not is_open(self._backend):
            raise BackendClosed(
                f"{self.job_id} belongs to a control plane that this process is not connected to: "
                "it was closed, or this process is a fork of the one that started the job",
                job_id=self.job_id,
            )
        return self._backend

    async def status(self) -> JobStatus:
        """Where the job is in its life."""
        return (await step(self._connect().start(GetJob(self.job_id)))).status

    def end(self) -> Ticket[JobOutcome]:
        """How it ends."""
        return self._connect().start(WaitJob(self.job_id, last=False, owned=False))

    async def wait(self, timeout_s: float | None) -> Any:
        """Its result, each time as a fresh copy."""
        ticket = self.end()
        try:
            outcome = await step(ticket, deadline_after(timeout_s))
        except WaitTimeout:
            ticket.cancel()
            raise WaitTimeout(
                f"{self.job_id} has not ended within {timeout_s:g} s; it runs on",
                job_ids=[self.job_id],
                timeout_s=timeout_s,
            ) from None
        except BaseException:
            ticket.cancel()
            raise
        return decode_outcome(outcome, is_shared=True)

    async def cancel(self) -> None:
        """Stop it."""
        await step(self._connect().start(CancelJob(self.job_id)))

    async def logs(self, attempt: int | None, stream: str) -> str:
        """What it has printed: "text" is both streams."""
        ticket = self._connect().start(GetJobLogs(self.job_id, attempt))
        text: str = getattr(await step(ticket), stream)
        return text

    def watch(self, after: Cursor | None, *, snapshot: bool) -> EventStream:
        """What happens to it."""
        return self._connect().watch(self.job_id, after, snapshot=snapshot)

    def release(self) -> None:
        """Say that nobody will ask for its result again."""
        backend = self._backend
        if backend is not None and is_open(backend) and not self._is_shared:
            backend.start(ReleaseJob(self.job_id))
