"""All jobs by number, who waits for them, and what happened: the records of the control plane."""

from __future__ import annotations

from collections import deque

from apothic_backends.model.errors import JobGone, NotFound
from apothic_backends.model.events import ALL_JOBS, Cursor, EventBatch
from apothic_backends.model.ids import number_of
from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.eventlog import EventLog
from apothic_emulator.core.jobs import Job

KEPT_JOBS = 10_000
"""Ended jobs that nobody holds any more and that can still be looked at."""

KEPT_S = 3600.0
"""How long such a job can be looked at."""

Reply = tuple[object, object, BaseException | None]


class Ledger:
    """Jobs, waiters, readers and the event log. `replies` collects answers; the plane empties it."""

    def __init__(self, epoch: str) -> None:
        self.jobs: dict[int, Job] = {}
        self.events = EventLog(epoch)
        self.replies: list[Reply] = []
        self.payload_bytes = 0
        """Arguments of jobs that have not ended."""
        self._waiting: dict[object, Job] = {}
        self._readers: dict[object, tuple[int | None, Cursor, int]] = {}
        self._let_go: deque[Job] = deque()
        self._last_job = 0

    def next_number(self) -> int:
        """The number of the next job."""
        self._last_job += 1
        return self._last_job

    def add(self, job: Job) -> None:
        """Take a new job in."""
        self.jobs[job.number] = job
        self.payload_bytes += job.nbytes
        self.events.append("job.queued", job.number, job.submitted_at, {"attempt": 1})

    def find(self, job_id: str) -> Job:
        """The job of that id.

        Raises:
            JobGone: it was there and is forgotten.
            NotFound: it never was.
        """
        number = number_of(job_id, "jobs")
        job = self.jobs.get(number)
        if job is not None:
            return job
        if 0 < number <= self._last_job:
            raise JobGone(f"{job_id} ended and is forgotten: nobody held it", job_id=job_id)
        raise NotFound(f"no job {job_id!r} here", job_id=job_id)

    def wait(self, job: Job, token: object, *, last: bool) -> bool:
        """Answer with the job's outcome, at once or when it has ended; True if it waits.

        Raises:
            JobGone: its result was dropped with its last handle.
        """
        if job.is_final:
            if not job.held:
                raise JobGone(
                    f"the result of {job.job_id} was dropped with its last handle",
                    job_id=job.job_id,
                )
            self.replies.append((token, job.outcome(), None))
            if last:
                self.release(job)
            return False
        if job.waiters is None:
            job.waiters = []
        job.waiters.append((token, last))
        self._waiting[token] = job
        return True

    def tokens(self) -> list[object]:
        """Everybody who waits for a job or for events."""
        return [*self._waiting, *self._readers]

    def give_up(self, token: object) -> None:
        """Forget somebody who waited or read."""
        self._readers.pop(token, None)
        job = self._waiting.pop(token, None)
        if job is not None and job.waiters:
            job.waiters = [waiter for waiter in job.waiters if waiter[0] is not token]

    def end(
        self, job: Job, move: str, now: float, result: Payload | None, error: ErrorInfo | None
    ) -> None:
        """End a job for good and answer everybody who waited for it."""
        job.move(move)
        job.result = result
        job.error = error
        job.ended_at = now
        job.arguments = None
        self.payload_bytes -= job.nbytes
        told = {"attempt": job.attempt, "status": job.status.value}
        if error is not None:
            told["error"] = error.code
        append = self.events.append
        append("job.result", job.number, now, told)
        append("job.end", job.number, now, told)
        waiters, job.waiters = job.waiters, None
        if waiters:
            outcome = job.outcome()
            for token, last in waiters:
                self._waiting.pop(token, None)
                self.replies.append((token, outcome, None))
                if last:
                    job.held = False
        if not job.held:
            self._forget_later(job, now)

    def release(self, job: Job) -> None:
        """Nobody will ask for the job's result again."""
        if job.held:
            job.held = False
            if job.is_final:
                self._forget_later(job, job.ended_at or 0.0)

    def _forget_later(self, job: Job, now: float) -> None:
        """Drop the result now, and the record once there are enough newer ones."""
        job.result = None
        let_go = self._let_go
        let_go.append(job)
        while len(let_go) > KEPT_JOBS or (let_go[0].ended_at or now) + KEPT_S < now:
            self.jobs.pop(let_go.popleft().number, None)

    def read(self, token: object, topic: str, after: Cursor | None, limit: int) -> None:
        """Answer with events, at once or when there are some."""
        job = None if topic == ALL_JOBS else self.find(topic).number
        here = after or Cursor(self.events.epoch, self.events.seq)
        batch = self.events.read(here, job, limit)
        if batch is not None:
            self.replies.append((token, batch, None))
        else:
            self._readers[token] = (job, Cursor(here.epoch, self.events.seq), limit)

    def publish(self) -> None:
        """Answer the readers for whom something has happened."""
        if not self._readers:
            return
        for token, (job, after, limit) in list(self._readers.items()):
            if after.seq == self.events.seq:
                continue
            batch: EventBatch | None = self.events.read(after, job, limit)
            if batch is None:
                self._readers[token] = (job, Cursor(after.epoch, self.events.seq), limit)
                continue
            del self._readers[token]
            self.replies.append((token, batch, None))
