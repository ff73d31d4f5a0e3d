"""Waiting for several jobs: which has ended first, and what all of them came to."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

from apothic._drive import deadline_after, step
from apothic._serialize import decode_outcome
from apothic_backends.interrupts import WINDOW
from apothic_backends.model.errors import ApothicError, WaitTimeout
from apothic_backends.model.jobs import JobOutcome, JobStatus
from apothic_backends.ticket import Ticket


class Arrivals:
    """Tickets by index, in the order in which they are done."""

    def __init__(self) -> None:
        self.arrived: deque[int] = deque()
        self.failed: Ticket[None] = Ticket()
        """Done as soon as one of them has not succeeded."""
        self._bell: Ticket[None] | None = None

    def expect(self, index: int, ticket: Ticket[JobOutcome]) -> None:
        """Wait for one more."""
        come = partial(self._come, index, ticket)
        if not ticket.on_done(come):
            come()

    def _come(self, index: int, ticket: Ticket[JobOutcome]) -> None:
        """It is done: called on whichever thread has done it."""
        self.arrived.append(index)
        bell = self._bell
        if bell is not None:
            bell.complete(None)
        if not self.failed.done and not has_succeeded(ticket):
            self.failed.complete(None)

    async def next(self, among: Ticket[JobOutcome], deadline: float | None) -> None:
        """Wait until some have arrived; `among` is any that has not."""
        if not self.arrived:
            self._bell = bell = among.bell()
            if not self.arrived:  # else it came before there was a bell to ring
                await step(bell, deadline)
            self._bell = None


def has_succeeded(ticket: Ticket[JobOutcome]) -> bool:
    """Whether a job that has ended gave a result."""
    try:
        return ticket.result().status is JobStatus.SUCCEEDED
    except ApothicError:
        return False


class Link(Protocol):
    """A job, as its handle knows it."""

    job_id: str

    def end(self) -> Ticket[JobOutcome]: ...


async def gather(
    links: Sequence[Link], timeout_s: float | None, *, keeps_errors: bool
) -> list[Any]:
    """The results of jobs in the order of the links; the jobs go on, whatever happens here.

    The first failure is raised at once, unless errors stand in the place of results.
    """
    ends: dict[str, Ticket[JobOutcome]] = {}
    try:
        for link in links:
            if link.job_id not in ends:
                ends[link.job_id] = link.end()
        failed = await _ended(ends, timeout_s, is_patient=keeps_errors)
        if failed is not None:
            _result([link.job_id for link in links].index(failed), failed, ends)
        return [_result(*of, ends, keeps_errors=keeps_errors) for of in _numbered(links)]
    finally:
        for ticket in ends.values():
            ticket.cancel()


def _numbered(links: Sequence[Link]) -> list[tuple[int, str]]:
    return [(index, link.job_id) for index, link in enumerate(links)]


async def _ended(
    ends: dict[str, Ticket[JobOutcome]], timeout_s: float | None, *, is_patient: bool
) -> str | None:
    """Wait until all have ended, or until the first has failed: which that is."""
    deadline = deadline_after(timeout_s)
    arrivals, job_ids = Arrivals(), list(ends)
    for index, ticket in enumerate(ends.values()):
        arrivals.expect(index, ticket)
    left = len(ends)
    while left:
        try:
            await arrivals.next(ends[job_ids[0]], deadline)
        except WaitTimeout:
            left_over = [job_id for job_id, ticket in ends.items() if not ticket.done]
            raise WaitTimeout(
                f"{len(left_over)} of {len(ends)} jobs have not ended within {timeout_s:g} s; "
                "they run on",
                job_ids=left_over,
                timeout_s=timeout_s,
            ) from None
        while arrivals.arrived:
            left -= 1
            job_id = job_ids[arrivals.arrived.popleft()]
            if not is_patient and not has_succeeded(ends[job_id]):
                return job_id
    return None


def _result(
    index: int, job_id: str, ends: dict[str, Ticket[JobOutcome]], *, keeps_errors: bool = False
) -> Any:
    """What a job has given, as a fresh copy; an error says which argument the job was."""
    try:
        with WINDOW:
            return decode_outcome(ends[job_id].result(), is_shared=True)
    except Exception as error:
        name_item(error, index, f"at argument {index} ({job_id})")
        if not keeps_errors:
            raise
        return error.with_traceback(None)


def name_item(error: Exception, index: int, note: str) -> None:
    """Have an error say which of many it belongs to."""
    error.add_note(note)
    if isinstance(error, ApothicError):
        error.data["index"] = vars(error)["index"] = index
