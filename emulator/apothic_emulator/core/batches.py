"""Inputs that go into one call together: which, when, and what becomes of them.

    queue ──full, or the first has waited──► one call ──► an outcome for each input
      ▲                                         │
      └──── the call raised, was stopped, or ───┘
            lost its process: each runs alone

Each input is a job of its own. Those of one batch stand side by side in the line of an executor,
take one of its places, and begin together. An input whose batch has gone wrong is never in company
again (`is_alone`), so that nobody pays for the fault of another. A batch is only stopped when all
of its inputs are to be.
"""

from __future__ import annotations

from collections.abc import Sequence

from apothic_emulator.core.executors import Executor, ExecutorStatus
from apothic_emulator.core.functions import Function
from apothic_emulator.core.jobs import NEVER, Job
from apothic_emulator.core.pools import Pool, goes_before

_AT_REST = (ExecutorStatus.STARTING, ExecutorStatus.RETIRING)

BATCH_RAISED = "batch_raised"
"""What an executor reports of each input when the call for several of them raised."""


class BatchPool(Pool):
    """The queue and executors of a function that takes its inputs in batches."""

    __slots__ = ("due_at", "has_alone", "most", "wait_s")

    def __init__(self, function: Function) -> None:
        super().__init__(function)
        self.most = batch_size(function)
        self.wait_s = function.spec.batch.wait_s if function.spec.batch is not None else 0.0
        self.due_at = NEVER
        """When what is queued has waited long enough; may be early, is never late."""
        self.has_alone = False
        """Whether an input that runs alone may be queued: it goes as soon as it has a place."""

    @property
    def depth(self) -> int:
        """None: what stands behind a batch could not join the next one."""
        return 0

    def put(self, job: Job) -> None:
        """Queue an input, which has to run by a certain time."""
        super().put(job)
        self.due_at = min(self.due_at, self._due_at(job))
        self.has_alone |= job.is_alone

    def _due_at(self, job: Job) -> float:
        return max(job.submitted_at, job.not_before) + self.wait_s

    def has_place(self, level: int, now: float) -> bool:
        """Whether a batch could go somewhere now."""
        return self.pick(level, now) is not None or self.may_start(level, now)

    def next_batch(self, now: float) -> list[Job]:
        """The inputs for a call now: the first in the queue, if they are enough or it is time.

        One that runs alone, and has no place yet, is in nobody's way: others may stand deeper.
        """
        if len(self.queue) < self.most and now < self.due_at and not self.has_alone:
            return []
        together: list[Job] = []
        alone: Job | None = None
        self.has_alone = False
        for job in self.queue:
            if job.is_alone:
                is_first = not self.has_alone
                self.has_alone = True
                alone = job if is_first and self.has_place(job.level, max(now, 0.0)) else alone
            elif len(together) < self.most:
                together.append(job)
            else:
                break
        due_at = min(map(self._due_at, together), default=NEVER)
        is_due = due_at <= now or len(together) == self.most
        if alone is not None and not (is_due and goes_before(together[0], alone)):
            return [alone]
        self.due_at = due_at
        return together if is_due else []

    def take(self, jobs: Sequence[Job]) -> None:
        """Take the inputs of a batch out of the queue."""
        for job in jobs:
            self.queue.remove(job)
        self.due_at = 0.0 if self.queue else NEVER  # the others have not been looked at


class Batch:
    """Inputs that are in one call."""

    __slots__ = ("first", "jobs")

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.first = jobs[0].number
        """Whoever stands for all of them where code is stopped or asks for something."""
        self.jobs = list(jobs)
        """Those whose outcome is not known yet."""


class BatchExecutor(Executor):
    """An executor whose line is made of batches, each in one of its `places`."""

    __slots__ = ("batches", "places")

    takes_batches = True

    def __init__(self, number: int, function: Function, now: float) -> None:
        super().__init__(number, function, now)
        self.places = self.slots
        self.slots *= batch_size(function)
        self.batches: list[Batch] = []

    def take_in(self, jobs: Sequence[Job]) -> None:
        """Put a batch into a place."""
        self.line.extend(jobs)
        self.census.in_lines += len(jobs)
        self.batches.append(Batch(jobs))

    def join(self, job: Job, first: int) -> None:
        """Put an input back into the batch for which that one stands."""
        batch = next((batch for batch in self.batches if batch.first == first), None)
        if batch is None:
            batch = Batch([job])
            batch.first = first
            self.batches.append(batch)
        else:
            batch.jobs.append(job)
        self.line = [job for batch in self.batches for job in batch.jobs]
        self.census.in_lines += 1

    def take_out(self, job: Job) -> None:
        """An input leaves its batch."""
        super().take_out(job)
        batch = self._batch_of(job)
        batch.jobs.remove(job)
        if not batch.jobs:
            self.batches.remove(batch)

    def _batch_of(self, job: Job) -> Batch:
        return next(batch for batch in self.batches if job in batch.jobs)

    @property
    def room(self) -> int:
        """How many batches it can take; far below 0 if it is shut."""
        is_up = self.status is ExecutorStatus.READY or self.status is ExecutorStatus.STARTING
        return self.places - len(self.batches) if is_up and not self.recalling else -self.places

    @property
    def capacity(self) -> int:
        """How many inputs it should still get, before it is at its target."""
        return super().capacity * batch_size(self.function)

    @property
    def takes_one(self) -> bool:
        """Whether there is one batch at a time."""
        return self.places == 1

    @property
    def is_working(self) -> bool:
        """Whether a call in it is not parked."""
        return not all(any(job.parked for job in batch.jobs) for batch in self.batches)

    @property
    def is_parked(self) -> bool:
        """Whether a call in each place is parked."""
        return len(self.batches) >= self.places and not self.is_working

    @property
    def unbegun(self) -> list[Job]:
        """What may have to begin: batches begin as a whole."""
        batches = self.batches if self.loaded else ()
        if self.accepted is not None:
            batches = [batch for batch in batches if batch.first in self.accepted]
        return [job for b in batches if b.jobs[0].started_at is None for job in b.jobs]

    def may_work_on(self, job: Job) -> bool:
        """Whether the job stands where this executor works: everything in its line does."""
        return job.executor == self.number and self.status not in _AT_REST

    def mates(self, job: Job) -> Sequence[Job]:
        """The inputs that are in one call with this one, itself among them."""
        return self._batch_of(job).jobs

    def call_of(self, job: Job) -> int:
        """The input that stands for its batch."""
        return self._batch_of(job).first

    def may_stop(self, job: Job) -> bool:
        """Whether nobody needs the call any more."""
        return all(mate.stop for mate in self.mates(job))

    @property
    def has_stops(self) -> bool:
        """Whether one of its calls is being stopped."""
        return any(self.may_stop(batch.jobs[0]) for batch in self.batches)


def batch_size(function: Function) -> int:
    """How many inputs make a batch full: no more than can wait for one."""
    spec = function.spec
    return min(spec.batch.max_size, spec.max_pending_tasks) if spec.batch is not None else 1
