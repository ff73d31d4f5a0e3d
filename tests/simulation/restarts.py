"""What a control plane has to know again after a crash, and whether it does.

The rule, in `core/keeping.py`: what has ended stays as it was, with its result if anybody may ask
for it; what waits has its place again, with as many attempts behind it; what an executor had is
lost with it, and runs again only where retries allow that; what was cancelled ends so. Schedules
and keys go on. Calls that were their caller's alone are gone, and no number is given twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apothic_backends.model.jobs import JobStatus
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.attempts import MOST_LOSSES
from apothic_emulator.core.jobs import Job
from apothic_emulator.core.plane import Plane
from tests.simulation.history import sure

_UNDER_WAY = (JobStatus.DISPATCHED, JobStatus.RUNNING)
_TINY = 1e-6


@dataclass(frozen=True)
class Seen:
    """A job, as far as it must be known again."""

    status: JobStatus
    attempt: int
    failures: int
    losses: int
    is_alone: bool
    held: bool
    is_cancelled: bool
    not_before: float
    arguments: Payload
    result: Payload | None
    error: str
    key: tuple[str, str, str] | None

    @property
    def is_under_way(self) -> bool:
        """Whether an executor had it."""
        return self.status in _UNDER_WAY


class Before:
    """What a control plane that is about to be dropped has written down."""

    def __init__(self, plane: Plane) -> None:
        jobs = plane.ledger.jobs.items()
        self.jobs = {number: _seen(job) for number, job in jobs if job.kept is not None}
        self.functions = _functions(plane)
        self.schedules = _schedules(plane)

    def compare(self, plane: Plane, now: float) -> None:
        """See to it that the control plane that has taken over knows all that, and no more."""
        sure(_functions(plane) == self.functions, "R1", "the functions are others")
        self._compare_schedules(_schedules(plane))
        more = plane.ledger.jobs.keys() - self.jobs.keys()
        sure(not more, "R3", "%s have come back", more)
        for number, seen in self.jobs.items():
            job = plane.ledger.jobs.get(number)
            if job is None:
                sure(_may_go(seen), "R3", "jobs:%d is lost: %s", number, seen)
            else:
                _compare(seen, job)
        for pool in plane.pools.values():
            line = [job.number for job in pool.queue]
            sure(line == sorted(line), "R5", "the queue has another order: %s", line)
            late = [job.number for job in pool.delayed if job.not_before <= now]
            sure(not late, "R5", "%s are not waited for any more", late)

    def _compare_schedules(self, found: dict[int, tuple[Any, ...]]) -> None:
        """A schedule is as it was, but for a last run that nobody can ask for any more."""
        sure(found.keys() == self.schedules.keys(), "R2", "the schedules are others")
        for number, (*told, run) in self.schedules.items():
            *now_told, now_run = found[number]
            may_go = run in self.jobs and _may_go(self.jobs[run])
            is_run = now_run == run or (may_go and now_run == 0)
            sure(now_told == told and is_run, "R2", "schedule %d is another", number)

    @property
    def ended(self) -> dict[int, str]:
        """How jobs have ended, also those that were forgotten at once."""
        statuses = {number: seen.status for number, seen in self.jobs.items()}
        return {number: status for number, status in statuses.items() if status.is_final}

    @property
    def under_way(self) -> list[int]:
        """The jobs that executors had."""
        return [number for number, seen in self.jobs.items() if seen.is_under_way]


def _seen(job: Job) -> Seen:
    return Seen(
        job.status,
        job.attempt,
        job.failures,
        job.losses,
        job.is_alone,
        job.held,
        job.stop == "cancel",
        job.not_before,
        job.arguments,
        job.result,
        job.error.code if job.error is not None else "",
        job.key,
    )


def _may_go(seen: Seen) -> bool:
    """Whether a job can be forgotten: it has ended, or ends now, and nobody asks for it."""
    return not seen.held and (seen.status.is_final or seen.is_under_way)


def _compare(seen: Seen, job: Job) -> None:
    """See to it that a job is what the rule makes of it."""
    now = _seen(job)
    sure(now.key == seen.key, "R4", "jobs:%d has the key %s", job.number, now.key)
    sure(now.held == seen.held, "R4", "jobs:%d: who may ask for it has changed", job.number)
    if not seen.is_under_way:
        is_same = abs(now.not_before - seen.not_before) < _TINY
        rest = {**vars(now), "not_before": 0.0} == {**vars(seen), "not_before": 0.0}
        sure(is_same and rest, "R4", "jobs:%d was %s and is %s", job.number, seen, now)
        return
    sure(now.attempt == seen.attempt, "R4", "jobs:%d: attempt %d", job.number, now.attempt)
    expected = _settled(seen, job)
    sure(now.status is expected, "R6", "jobs:%d, %s, is %s", job.number, seen, now.status)
    if expected is JobStatus.QUEUED:
        kept = now.failures == seen.failures and now.arguments == seen.arguments
        counts = now.losses == seen.losses + 1 and now.is_alone
        sure(kept and counts, "R6", "jobs:%d, %s, is %s", job.number, seen, now)


def _settled(seen: Seen, job: Job) -> JobStatus:
    """What becomes of a job that an executor had."""
    if seen.is_cancelled:
        return JobStatus.CANCELLED
    is_tried_again = job.function.spec.retries.max_retries > 0 and seen.losses < MOST_LOSSES
    return JobStatus.QUEUED if is_tried_again else JobStatus.LOST


def _functions(plane: Plane) -> dict[int, tuple[Any, Any]]:
    return {number: (it.function.spec, it.function.code) for number, it in plane.pools.items()}


def _schedules(plane: Plane) -> dict[int, tuple[Any, ...]]:
    """When each is due, and what it has done; a run that is forgotten is no run."""
    jobs = plane.ledger.jobs
    return {
        number: (
            it.schedule,
            it.arguments,
            it.due,
            it.last,
            it.fired,
            it.skipped,
            it.job.number if it.job is not None and it.job.number in jobs else 0,
        )
        for number, it in plane.schedules.timetables.items()
    }
