"""All jobs by number, who waits for what, and what happened: the records of the control plane."""

from __future__ import annotations

from binascii import crc32
from collections import deque
from collections.abc import Sequence
from typing import Any

from apothic_backends.model.errors import JobGone, NotFound, OverLimit
from apothic_backends.model.ids import number_of
from apothic_backends.model.jobs import ErrorInfo, ItemBatch, JobSnapshot, JobStatus
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.costs import Costs
from apothic_emulator.core.eventlog import EventLog
from apothic_emulator.core.executors import Executor
from apothic_emulator.core.feeds import Feed
from apothic_emulator.core.jobs import NEVER, NO_ARGUMENTS, Job, Wait
from apothic_emulator.core.journal import Journal, Kept
from apothic_emulator.core.logs import JobLog
from apothic_emulator.core.quotas import DEFAULT, Quotas
from apothic_emulator.core.streams import Stream

KEPT_JOBS = 10_000
"""Ended jobs that nobody holds any more and that can still be looked at."""

KEPT_CHARS = 64 << 20
"""What such jobs have printed and were given, taken together."""

KEPT_INPUT = 64 << 10
"""The most bytes of a job's arguments that are kept after its end."""

KEPT_RESULTS = 4 << 30
"""Bytes of results that somebody may still ask for; beyond, the oldest go."""

KEPT_HELD = 1_000_000
"""Ended jobs that somebody may still ask for; beyond, the oldest go."""

KEPT_S = 3600.0
"""How long such a job can be looked at."""

RESERVED_NUMBERS = 1000
"""Numbers of jobs that may be given before it is written down; a crash leaves as many out."""

_LAST = "last/1"

Reply = tuple[object, object, BaseException | None]

_SUCCEEDED = {"status": JobStatus.SUCCEEDED.value}


class Ledger:
    """Jobs, executors, waits and the event log. `replies` collects answers for the plane."""

    def __init__(
        self, epoch: str, wall_offset: float, costs: Costs, quotas: Quotas = DEFAULT
    ) -> None:
        self.quotas = quotas
        self.jobs: dict[int, Job] = {}
        self.executors: dict[int, Executor] = {}
        self.waits: dict[object, Wait] = {}
        """Everybody to whom a reply is owed, by token."""
        self.events = EventLog(epoch, wall_offset)
        self.feed = Feed(self.events, self.answer)
        self.replies: list[Reply] = []
        self.costs = costs
        self.payload_bytes = 0
        """Arguments of jobs that have not ended."""
        self.kept: dict[int, int] = {}
        """Ended jobs that are held, oldest first, and the bytes of their results."""
        self.kept_bytes = 0
        self.let_go: deque[Job] = deque()
        self.let_go_chars = 0
        self.keyed: dict[tuple[str, str, str], Job] = {}
        """Jobs by app, function and the key that they were queued under."""
        self._last_job = 0
        self.journal: Journal | None = None
        self._reserved: float = NEVER
        """The last number that may be given before it is written down which ones were."""

    def next_number(self) -> int:
        """The number of the next job."""
        self._last_job += 1
        if self._last_job > self._reserved:
            self._reserve()
        return self._last_job

    def keep_numbers(self, journal: Journal) -> None:
        """See to it that no number is given again after a restart."""
        self.journal, self._reserved = journal, 0

    def _reserve(self) -> None:
        self._reserved = self._last_job + RESERVED_NUMBERS
        assert self.journal is not None
        self.journal.keep(_LAST, _Number(int(self._reserved)))

    def give_numbers_back(self) -> None:
        """The program ends in order: say which number was given last."""
        assert self.journal is not None
        self._reserved = self._last_job
        self.journal.keep(_LAST, _Number(self._last_job))

    def number_after(self, number: int) -> None:
        """Give jobs higher numbers than that."""
        self._last_job = max(self._last_job, number)
        self._reserved = self._last_job

    def restore(self, jobs: Sequence[Job], now: float) -> None:
        """Take jobs back in the state that they were in; those that have ended, oldest first."""
        for job in jobs:
            self.jobs[job.number] = job
            self.number_after(job.number)
            if job.key is not None:
                self.keyed[job.key] = job
            if job.ended_at is None:
                self.payload_bytes += job.nbytes
        for job in sorted((job for job in jobs if job.is_final), key=_ended_at):
            if job.held:
                self._keep(job)
            else:
                self.let_go_chars += _size(job)
                self.let_go.append(job)
        if jobs:
            self.events.begin_at(now)

    def add(self, job: Job, told: dict[str, Any] | None = None) -> None:
        """Take a new job in; `told` is what watchers shall know of it beside that."""
        self.jobs[job.number] = job
        self.payload_bytes += job.nbytes
        known = job.function.told
        told = {**known, **told} if told else known
        self.events.append("job.queued", job.number, job.submitted_at, 1, told)

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

    @property
    def waiting(self) -> int:
        """How many jobs wait to run."""
        in_line = sum(len(executor.line) for executor in self.executors.values())
        return len(self.jobs) - len(self.kept) - len(self.let_go) - in_line

    # --- waits ----------------------------------------------------------------------------------

    def check_waits(self) -> None:
        """See to it that one more reply may be owed.

        Raises:
            OverLimit: too many are.
        """
        most = self.quotas.waits
        if len(self.waits) >= most:
            raise OverLimit(f"{most} requests wait already; end some of them", limit="waits")

    def answer(self, wait: Wait, value: object, error: BaseException | None = None) -> None:
        """Give a reply that was owed."""
        del self.waits[wait.token]
        self.replies.append((wait.token, value, error))
        if wait.executor:
            self._detach(wait)

    def go_on(self, wait: Wait) -> None:
        """What was waited for is here, and the same reply is owed for what comes next."""
        del self.waits[wait.token]
        if wait.executor:
            self._detach(wait)

    def give_up(self, token: object) -> Wait | None:
        """Owe a reply no more; what was waited for."""
        wait = self.waits.pop(token, None)
        if wait is not None:
            wait.among.remove(wait)
            wait.left()
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
        if job.log is not None:
            self.tell_rest(job, now)
        waiters = job.end(move, now, result, error)
        self.payload_bytes -= job.nbytes
        told = _SUCCEEDED
        if error is not None:
            told = {"status": job.status.value, "error": error.code}
        append = self.events.append
        append("job.result", job.number, now, job.attempt, told)
        append("job.end", job.number, now, job.attempt, told)
        if job.nbytes > KEPT_INPUT or job.arguments.buffers:
            job.arguments = NO_ARGUMENTS
            if job.kept is not None:
                job.kept.begin()
        if job.kept is not None:
            job.kept.note()
        if waiters or job.stream is not None:
            self._tell_end(job, waiters)
        if job.held:
            self._keep(job)
        else:
            self._forget_later(job, now)

    def _tell_end(self, job: Job, waiters: list[Wait] | None) -> None:
        """Answer everybody who waited for the end, or for one more item."""
        outcome = job.outcome()
        if waiters:
            for wait in waiters:
                self.answer(wait, outcome)
                if wait.last:
                    job.held = False
            waiters.clear()  # each of them knows this list: a circle would keep the result alive
        if job.stream is not None and job.stream.readers:
            for reader in job.stream.readers:
                self.answer(reader, ItemBatch(None, 0, outcome))
            job.stream.readers.clear()
            job.held = False

    def _keep(self, job: Job) -> None:
        """Somebody may ask for the result; but not for too many, and not for too much."""
        self.kept[job.number] = nbytes = job.result.nbytes if job.result is not None else 0
        self.kept_bytes += nbytes
        while len(self.kept) > KEPT_HELD or (self.kept_bytes > KEPT_RESULTS and len(self.kept) > 1):
            self.release(self.jobs[next(iter(self.kept))])

    def release(self, job: Job) -> None:
        """Nobody will ask for the job's result again."""
        if job.held:
            job.held = False
            if job.kept is not None:
                job.kept.note()
            if job.ended_at is not None:
                self.kept_bytes -= self.kept.pop(job.number)
                self._forget_later(job, job.ended_at)

    def _forget_later(self, job: Job, now: float) -> None:
        """Drop the result now, and the record once there are enough newer ones."""
        job.result = None
        if job.stream is not None:
            self._let_items_go(job, job.stream)
        self.let_go_chars += _size(job)
        let_go = self.let_go
        let_go.append(job)
        while let_go and (
            len(let_go) > KEPT_JOBS
            or self.let_go_chars > KEPT_CHARS
            or (let_go[0].ended_at or now) + KEPT_S < now
        ):
            gone = let_go.popleft()
            del self.jobs[gone.number]
            self.let_go_chars -= _size(gone)
            if gone.key is not None:
                del self.keyed[gone.key]
            if gone.kept is not None:
                gone.kept.forget()

    def _let_items_go(self, job: Job, stream: Stream) -> None:
        stream.clear()
        opener = self.executors.get(stream.opener)
        if opener is not None:
            del opener.opened[job.number]

    # --- what is told ---------------------------------------------------------------------------

    def printed(self, job: Job, stream: str, text: str, now: float) -> bool:
        """Keep what a job has printed, and tell its whole lines; whether one is unfinished."""
        if job.log is None:
            job.log = JobLog()
        job.log.add(job.attempt, stream, text)
        if job.started_at is None:
            job.log.hold(stream, text)
            return True
        for told in job.log.lines(job.attempt, stream, text):
            self.events.append_text(job.number, now, job.attempt, told)
        return bool(job.log.open)

    def tell_rest(self, job: Job, now: float) -> None:
        """Tell the lines of a job that are not finished, as they are."""
        if job.log is not None and job.log.open:
            for told in job.log.rest(job.attempt):
                self.events.append_text(job.number, now, job.attempt, told)

    def chance(self, job: Job) -> float:
        """A number from 0 to 1 that differs from job to job and is the same in every replay."""
        drawn = f"{self.events.epoch} {job.number} {job.failures}"
        return (crc32(drawn.encode()) * 0x9E3779B1 & 0xFFFFFFFF) / 0xFFFFFFFF

    def retried(self, job: Job, now: float, delay_s: float, error: str) -> None:
        """An attempt has failed, and there will be another."""
        self.tell_rest(job, now)
        told = {"delay_s": delay_s, "error": error}
        self.events.append("job.retry", job.number, now, job.attempt, told)

    def look(self, job: Job) -> JobSnapshot:
        """A job as its callers see it now."""
        return job.snapshot(self.events.wall_offset)


class _Number(Kept):
    """A number as a record."""

    def __init__(self, number: int) -> None:
        self.number = number

    def pack(self) -> bytes:
        return b"%d" % self.number


def _ended_at(job: Job) -> float:
    return job.ended_at or 0.0


def _size(job: Job) -> int:
    """What a job keeps of its output and its input: characters and bytes."""
    return len(job.arguments.data) + (job.log.size if job.log is not None else 0)
