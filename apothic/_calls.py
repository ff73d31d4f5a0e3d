"""How calls travel: one job, or one for each of many items. Procedures, for `_drive` to run."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from typing import Any, Protocol

from apothic._connect import connect
from apothic._drive import Foreign, deadline_after, step
from apothic._serialize import decode_outcome, encode_arguments
from apothic_backends.base import Backend
from apothic_backends.commands import CancelJob, RegisterFunction, SubmitJob, WaitJob
from apothic_backends.interrupts import WINDOW
from apothic_backends.model.errors import ApothicError, UsageError, WaitTimeout
from apothic_backends.model.jobs import JobOutcome, JobStatus
from apothic_backends.model.payloads import Payload
from apothic_backends.ticket import Ticket

Items = Iterable[Any] | AsyncIterable[Any]


class Target(Protocol):
    """A function that can be called from afar."""

    name: str

    def known_id(self, backend: Backend) -> str | None:
        """Its id there, if it is registered."""
        ...

    def registration(self) -> RegisterFunction:
        """What registers it."""
        ...

    def remember(self, backend: Backend, function_id: str) -> None:
        """Keep the id for the next call."""
        ...

    def raw(self) -> Callable[..., Any]:
        """The function as it was written."""
        ...


async def call(target: Target, payload: Payload, timeout_s: float | None) -> Any:
    """Run one call and give its result; the job ends with whoever waits for it."""
    deadline = deadline_after(timeout_s)
    backend = connect()
    job_ids: list[str] = []
    ticket: Ticket[JobOutcome] | None = None
    try:
        job_id = await submit(backend, target, payload, deadline)
        job_ids.append(job_id)
        ticket = backend.start(WaitJob(job_id, last=True, owned=True))
        outcome = await step(ticket, deadline)
    except WaitTimeout:
        payload.own()  # the job may still need the arguments, and their owner goes on now
        _let_go(ticket)
        raise _expired(target, timeout_s, job_ids) from None
    except BaseException:
        abandon(backend, job_ids)
        _let_go(ticket)
        raise
    return decode_outcome(outcome)


def _let_go(*tickets: Ticket[Any] | None) -> None:
    for ticket in tickets:
        if ticket is not None:
            ticket.cancel()


async def submit(
    backend: Backend,
    target: Target,
    payload: Payload,
    deadline: float | None = None,
    *,
    wait_for_room: bool = False,
) -> str:
    """Queue one call; a submission that is given up leaves no job behind."""
    function_id = target.known_id(backend)
    if function_id is None:
        function_id = await step(backend.start(target.registration()), deadline)
        target.remember(backend, function_id)
    ticket = backend.start(SubmitJob(function_id, payload, wait_for_room))
    try:
        return await step(ticket, deadline)
    except BaseException:
        ticket.cancel()
        try:
            abandon(backend, [ticket.result()])
        except ApothicError:
            pass  # there is no job: it was refused, or it is not taken any more
        raise


def abandon(backend: Backend, job_ids: list[str]) -> None:
    """Cancel jobs whose caller is gone; nobody waits for the replies."""
    for job_id in job_ids:
        backend.start(CancelJob(job_id))


class Fan:
    """One job for each item, and the first failure among them, whichever comes first."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.waits: list[Ticket[JobOutcome]] = []
        self.job_ids: list[str] = []
        self.results: list[Any] = []
        self.failed: list[int] = []
        self.is_over = False

    def add(self, job_id: str) -> None:
        """Follow one more job."""
        index = len(self.waits)
        self.job_ids.append(job_id)
        ticket = self.backend.start(WaitJob(job_id, last=True, owned=True))
        self.waits.append(ticket)
        if not ticket.on_done(lambda: self._look(index)):
            self._look(index)

    def _look(self, index: int) -> None:
        """See how a job ended; a failure wakes whoever waits for an earlier one."""
        if self.is_over or _succeeded(self.waits[index]):
            return
        self.failed.append(index)
        at = len(self.results)
        if at < len(self.waits) and at != index:
            self.waits[at].fail(_FailedElsewhere())

    async def gather(self, deadline: float | None) -> list[Any]:
        """Wait for the results in order, or raise the first failure."""
        for ticket in self.waits:
            if self.failed:
                break
            try:
                outcome = await step(ticket, deadline)
            except _FailedElsewhere:
                break
            self._keep(outcome)
        self.raise_failure()
        return self.results

    def _keep(self, outcome: JobOutcome) -> None:
        index = len(self.results)
        try:
            with WINDOW:
                self.results.append(decode_outcome(outcome))
        except Exception as error:
            _place(error, index, outcome.job_id)
            raise

    def raise_failure(self) -> None:
        """Raise the failure that was seen first, if there was one."""
        if self.failed:
            index = self.failed[0]
            try:
                decode_outcome(self.waits[index].result())
            except Exception as error:
                _place(error, index, self.job_ids[index])
                raise

    def unfinished(self) -> list[str]:
        """The jobs whose end was not seen."""
        pairs = zip(self.job_ids, self.waits, strict=False)
        return [job_id for job_id, ticket in pairs if not ticket.done or _was_woken(ticket)]

    def let_go(self) -> None:
        """Wait no more."""
        self.is_over = True
        _let_go(*self.waits)


class _FailedElsewhere(Exception):
    """Wakes a wait because another job has failed."""


def _succeeded(ticket: Ticket[JobOutcome]) -> bool:
    try:
        return ticket.result().status is JobStatus.SUCCEEDED
    except _FailedElsewhere:
        return True
    except ApothicError:
        return False


def _was_woken(ticket: Ticket[JobOutcome]) -> bool:
    try:
        ticket.result()
    except _FailedElsewhere:
        return True
    except ApothicError:
        return False
    return False


def _place(error: Exception, index: int, job_id: str) -> None:
    """Say which item an error belongs to."""
    error.add_note(f"at item {index} ({job_id})")
    if isinstance(error, ApothicError):
        error.data["index"] = index


async def fan_out(
    target: Target, items: Items, timeout_s: float | None, *, is_star: bool = False
) -> list[Any]:
    """Run one job for each item and give the results in order.

    The first failure cancels the others and is raised, as is what the iterable itself raises.
    """
    deadline = deadline_after(timeout_s)
    fan = Fan(connect())
    feed = Feed(items, is_star=is_star)
    try:
        while not fan.failed and (arguments := await feed.next(deadline)) is not None:
            payload = encoded(target, arguments)
            fan.add(await submit(fan.backend, target, payload, deadline, wait_for_room=True))
        return await fan.gather(deadline)
    except WaitTimeout as error:
        if "job_ids" in error.data:
            abandon(fan.backend, fan.unfinished())
            raise
        unfinished = fan.unfinished()
        fan.let_go()
        raise _expired(target, timeout_s, unfinished) from None
    except BaseException:
        abandon(fan.backend, fan.unfinished())
        fan.let_go()
        raise


async def submit_all(target: Target, items: Items) -> list[str]:
    """Queue one job for each item, waiting for room; an error cancels those that are queued."""
    backend = connect()
    job_ids: list[str] = []
    feed = Feed(items)
    try:
        while (arguments := await feed.next()) is not None:
            payload = encoded(target, arguments)
            job_ids.append(await submit(backend, target, payload, wait_for_room=True))
    except BaseException:
        abandon(backend, job_ids)
        raise
    return job_ids


def encoded(target: Target, arguments: tuple[Any, ...]) -> Payload:
    """The arguments of one item, owned by the payload because the iterable goes on."""
    with WINDOW:
        payload = encode_arguments(target.raw, arguments, {})
    payload.own()
    return payload


class Feed:
    """The user's items, from either kind of iterable, as positional arguments.

    No async generator: one that is not exhausted when an item fails would be the loop's to close.
    """

    def __init__(self, items: Items, *, is_star: bool = False) -> None:
        self._awaited = aiter(items) if isinstance(items, AsyncIterable) else None
        self._iterator: Iterator[Any] = (
            iter(()) if isinstance(items, AsyncIterable) else iter(items)
        )
        self._is_star = is_star

    async def next(self, deadline: float | None = None) -> tuple[Any, ...] | None:
        """The arguments for the next item; None after the last."""
        if self._awaited is None:
            with WINDOW:
                item = next(self._iterator, _END)
        else:
            item = await step(Foreign(anext(self._awaited, _END)), deadline)
        if item is _END:
            return None
        return _row(item) if self._is_star else (item,)


_END: Any = object()


def _row(item: Any) -> tuple[Any, ...]:
    if isinstance(item, str | bytes) or not isinstance(item, Iterable):
        raise UsageError(f"starmap() spreads each item over the parameters; {item!r} is not a row")
    row: Iterable[Any] = item
    return tuple(row)


def _expired(target: Target, timeout_s: float | None, job_ids: list[str]) -> WaitTimeout:
    what = (
        f"{len(job_ids)} jobs run on" if job_ids[1:] else f"{(job_ids or ['nothing'])[0]} runs on"
    )
    return WaitTimeout(
        f"{target.name}() has not ended within {timeout_s:g} s; {what}",
        job_ids=job_ids,
        timeout_s=timeout_s,
    )
