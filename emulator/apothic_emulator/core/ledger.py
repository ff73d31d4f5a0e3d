"""All jobs by number, who waits for what, and what happened: the records of the control plane."""

from __future__ import annotations

from collections import deque

from apothic_backends.model.errors import JobGone, NotFound
from apothic_backends.model.events import Cursor
from apothic_backends.model.ids import number_of
from apothic_backends.model.jobs import ErrorInfo, JobStatus
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.eventlog import EventLog
from apothic_emulator.core.executors import Executor
from apothic_emulator.core.jobs import Job, Wait

KEPT_JOBS = 10_000
"""Ended jobs that nobody holds any more and that can still be looked at."""

KEPT_CHARS = 64 << 20
"""What such jobs have printed, taken together."""

KEPT_S = 3600.0
"""How long such a job can be looked at."""

Reply = tuple[object, object, BaseException | None]

_SUCCEEDED = {"status": JobStatus.SUCCEEDED.value}


class EventWait(Wait):
    """A reader that has seen everything up to now."""

    __slots__ = ("limit", "topic")

    def __init__(self, token: object, job: Job | None, limit: int, readers: Readers) -> None:
        self.topic = job.number if job is not None else 0
        """The number of the job whose events are read, 0 for those of every job."""
        self.limit = limit
        super().__init__(token, readers.setdefault(self.topic, []), job)


Readers = dict[int, list[EventWait]]


class Ledger:
    """Jobs, executors, waits and the event log. `replies` collects answers for the plane."""

    def __init__(self, epoch: str) -> None:
        self.jobs: dict[int, Job] = {}
        self.executors: dict[int, Executor] = {}
        self.waits: dict[object, Wait] = {}
        """Everybody to whom a reply is owed, by token."""
        self.events = EventLog(epoch)
        self.replies: list[Reply] = []
        self.payload_bytes = 0
        """Arguments of jobs that have not ended."""
        self.readers: Readers = {}
        """Who waits for events, by topic."""
        self._published = 0
        self.let_go: deque[Job] = deque()
        self.let_go_chars = 0
        self._last_job = 0

    def next_number(self) -> int:
        """The number of the next job."""
        self._last_job += 1
        return self._last_job

    def add(self, job: Job) -> None:
        """Take a new job in."""
        self.jobs[job.number] = job
        self.payload_bytes += job.nbytes
        self.events.append("job.queued", job.number, job.submitted_at, 1)

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

    # --- waits ----------------------------------------------------------------------------------

    def answer(self, wait: Wait, value: object, error: BaseException | None = None) -> None:
        """Give a reply that was owed."""
        del self.waits[wait.token]
        self.replies.append((wait.token, value, error))
        if wait.executor:
            self._detach(wait)

    def give_up(self, token: object) -> Wait | None:
        """Owe a reply no more; what was waited for."""
        wait = self.waits.pop(token, None)
        if wait is not None:
            wait.among.remove(wait)
            if isinstance(wait, EventWait) and not wait.among:
                del self.readers[wait.topic]
            if wait.executor:
                self._detach(wait)
        return wait

    def _detach(self, wait: Wait) -> None:
        executor = self.executors.get(wait.executor)
        if executor is not None:
            del executor.waits[wait.token]
            executor.unpark(wait)

    def wait(self, job: Job, token: object, *, last: bool, owned: bool) -> Wait | None:
        """Answer with the job's outcome, at once or when it has ended: then gives the wait.

        Raises:
            JobGone: its result was dropped with its last handle.
        """
        if not job.is_final:
            if job.waiters is None:
                job.waiters = []
            wait = self.waits[token] = Wait(token, job.waiters, job, last=last, owned=owned)
            return wait
        if not job.held:
            raise JobGone(
                f"the result of {job.job_id} was dropped with its last handle",
                job_id=job.job_id,
            )
        self.replies.append((token, job.outcome(), None))
        if last:
            self.release(job)
        return None

    # --- ends -----------------------------------------------------------------------------------

    def end(
        self, job: Job, move: str, now: float, result: Payload | None, error: ErrorInfo | None
    ) -> None:
        """End a job for good and answer everybody who waited for it."""
        waiters = job.end(move, now, result, error)
        self.payload_bytes -= job.nbytes
        told = _SUCCEEDED
        if error is not None:
            told = {"status": job.status.value, "error": error.code}
        append = self.events.append
        append("job.result", job.number, now, job.attempt, told)
        append("job.end", job.number, now, job.attempt, told)
        if waiters:
            outcome = job.outcome()
            for wait in waiters:
                self.answer(wait, outcome)
                if wait.last:
                    job.held = False
            waiters.clear()  # each of them knows this list: a circle would keep the result alive
        if not job.held:
            self._forget_later(job, now)

    def release(self, job: Job) -> None:
        """Nobody will ask for the job's result again."""
        if job.held:
            job.held = False
            if job.ended_at is not None:
                self._forget_later(job, job.ended_at)

    def _forget_later(self, job: Job, now: float) -> None:
        """Drop the result now, and the record once there are enough newer ones."""
        job.result = None
        if job.log is not None:
            self.let_go_chars += job.log.size
        let_go = self.let_go
        let_go.append(job)
        while let_go and (
            len(let_go) > KEPT_JOBS
            or self.let_go_chars > KEPT_CHARS
            or (let_go[0].ended_at or now) + KEPT_S < now
        ):
            gone = let_go.popleft()
            del self.jobs[gone.number]
            if gone.log is not None:
                self.let_go_chars -= gone.log.size

    # --- events ---------------------------------------------------------------------------------

    def await_events(self, token: object, job: Job | None, limit: int) -> Wait:
        """Answer with the next events of a job, or of all."""
        self.publish()  # so that whoever waits has seen the same events
        self._published = self.events.seq
        wait = self.waits[token] = EventWait(token, job, limit, self.readers)
        return wait

    def publish(self) -> None:
        """Answer the readers for whom something has happened."""
        seq = self.events.seq
        if not self.readers or seq == self._published:
            return
        after, self._published = Cursor(self.events.epoch, self._published), seq
        touched = self.events.jobs_since(after.seq)
        for number in [*self.readers] if touched is None else (0, *touched):
            for wait in self.readers.pop(number, ()):
                batch = self.events.read(after, number or None, wait.limit)
                self.answer(wait, batch)
