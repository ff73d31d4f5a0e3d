"""One job for each of many items."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any

from apothic._drive import Foreign, step
from apothic._serialize import decode_outcome
from apothic_backends.base import Backend
from apothic_backends.commands import WaitJob
from apothic_backends.interrupts import WINDOW
from apothic_backends.model.errors import ApothicError, UsageError
from apothic_backends.model.jobs import JobOutcome, JobStatus
from apothic_backends.ticket import Ticket

Items = Iterable[Any] | AsyncIterable[Any]
_END: Any = object()


class Feed:
    """The user's items, from either kind of iterable, as positional arguments.

    No async generator: one that is not exhausted when an item fails would be the loop's to close.
    """

    def __init__(self, items: Items, *, is_star: bool = False) -> None:
        is_awaited = isinstance(items, AsyncIterable)
        self._awaited: AsyncIterator[Any] | None = aiter(items) if is_awaited else None
        self._iterator: Iterator[Any] = iter(() if is_awaited else items)
        self._is_star = is_star

    async def next(self, deadline: float | None = None) -> tuple[Any, ...] | None:
        """The arguments for the next item; None after the last."""
        awaited = self._awaited
        if awaited is None:
            with WINDOW:
                item = next(self._iterator, _END)
        else:
            item = await step(Foreign(lambda: anext(awaited, _END)), deadline)
        if item is _END:
            return None
        return _row(item) if self._is_star else (item,)


def _row(item: Any) -> tuple[Any, ...]:
    if isinstance(item, str | bytes) or not hasattr(item, "__iter__"):
        raise UsageError(f"starmap() spreads each item over the parameters; {item!r} is not a row")
    return tuple(item)


class Fan:
    """Waits for the jobs of all items, and notices the first failure, whichever item it is of.

    Waiting goes by order, on the backend's own tickets, because a thread that waits on those does
    the backend's work meanwhile. A failure further down wakes that wait.
    """

    def __init__(self, backend: Backend) -> None:
        self.job_ids: list[str] = []
        self.failed: list[int] = []
        self._backend = backend
        self._waits: list[Ticket[JobOutcome]] = []
        self._results: list[Any] = []
        self._is_over = False

    def add(self, job_id: str) -> None:
        """Follow one more job."""
        index = len(self._waits)
        self.job_ids.append(job_id)
        ticket = self._backend.start(WaitJob(job_id, last=True, owned=True))
        self._waits.append(ticket)
        if not ticket.on_done(lambda: self._look(index)):
            self._look(index)

    def _look(self, index: int) -> None:
        """See how a job ended, on whichever thread saw it end."""
        if self._is_over or _end_of(self._waits[index]) is not _FAILED:
            return
        self.failed.append(index)
        at = len(self._results)
        if at < len(self._waits):
            self._waits[at].fail(_FailedElsewhere())  # one that is done already keeps its reply

    async def gather(self, deadline: float | None) -> list[Any]:
        """Wait for the results in order, or raise the first failure."""
        for index, ticket in enumerate(self._waits):
            if self.failed:
                break
            try:
                outcome = await step(ticket, deadline)
            except _FailedElsewhere:
                break
            with WINDOW:
                self._results.append(self._decoded(index, outcome))
        for index in self.failed[:1]:
            self._decoded(index, self._waits[index].result())
        return self._results

    def _decoded(self, index: int, outcome: JobOutcome) -> Any:
        """The result of an item; an error says which item it belongs to."""
        try:
            return decode_outcome(outcome)
        except Exception as error:
            error.add_note(f"at item {index} ({self.job_ids[index]})")
            if isinstance(error, ApothicError):
                error.data["index"] = index
            raise

    def unfinished(self) -> list[str]:
        """The jobs whose end was not seen."""
        pairs = zip(self.job_ids, self._waits, strict=False)
        return [job_id for job_id, ticket in pairs if _end_of(ticket) is None]

    def let_go(self) -> None:
        """Wait no more."""
        self._is_over = True
        for ticket in self._waits:
            ticket.cancel()


class _FailedElsewhere(Exception):
    """Wakes a wait because another job has failed."""


_FAILED = object()


def _end_of(ticket: Ticket[JobOutcome]) -> object:
    """Whether a job succeeded, failed, or has not been seen to end (None)."""
    if not ticket.done:
        return None
    try:
        status = ticket.result().status
    except _FailedElsewhere:
        return None
    except ApothicError:
        return _FAILED
    return status if status is JobStatus.SUCCEEDED else _FAILED
