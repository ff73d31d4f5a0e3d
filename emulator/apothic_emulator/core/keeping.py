"""Functions, jobs and schedules as records, and how they come back.

| key          | what it holds                                  | written                        |
|--------------|------------------------------------------------|--------------------------------|
| `function/N` | spec and code                                  | when it is registered          |
| `job/N`      | what is called, with what, and when            | when it is queued              |
| `run/N`      | how far it is, its attempts, and how it ended  | before a dispatch, at its end  |
| `schedule/N` | when function N runs by itself                 | with each run                  |
| `last/1`     | a number that no job has been given            | once in a while                |
| `operation/N`| what an operation has led to, and for whom     | with what it has changed       |

A job is kept if its caller may be gone before it ends. A call whose caller waits for it (`RunJob`,
an `owned` `SubmitJob`, and what a generator yields) is its caller's alone: nobody could ask for its
end after a crash.

What was in an executor's hands when the control plane ended counts as lost with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from apothic_backends import codec
from apothic_backends.model.jobs import ErrorInfo, JobStatus
from apothic_emulator.core.attempts import Attempts
from apothic_emulator.core.facts import Ended
from apothic_emulator.core.functions import Function
from apothic_emulator.core.jobs import NO_ARGUMENTS, Job
from apothic_emulator.core.journal import Journal, Kept
from apothic_emulator.core.records import pack, payload_of, payload_parts, unpack
from apothic_emulator.core.schedules import Schedules

KINDS = ("function", "job", "run", "schedule", "last", "operation")

RESTARTED = "restart"
"""Why an attempt was lost that was under way when the control plane ended."""

KEPT_AFTER_S = 24 * 3600.0
"""How long the result of a job is kept that nobody has asked for since a restart."""

_UNDER_WAY = (JobStatus.DISPATCHED, JobStatus.RUNNING)

Records = Mapping[str, Mapping[int, bytes]]


class KeptFunction(Kept):
    """A function as a record."""

    def __init__(self, function: Function) -> None:
        self.function = function

    def pack(self) -> bytes:
        """Its spec and its code."""
        tag, code = payload_parts(self.function.code)
        return pack((codec.to_json(self.function.spec, []), tag), *code)


class KeptJob(Kept):
    """A job as two records: what it is, and how far."""

    __slots__ = ("job", "journal", "offset", "run")

    def __init__(self, job: Job, journal: Journal, offset: float) -> None:
        self.job = job
        self.journal = journal
        self.offset = offset
        """What Unix time is ahead of the times in it."""
        self.run = _Run(job, offset)

    def begin(self) -> None:
        """What it is, is new, or has changed."""
        self.journal.keep(f"job/{self.job.number}", self)

    def note(self) -> None:
        """Something has happened to it."""
        self.journal.keep(f"run/{self.job.number}", self.run)

    def forget(self) -> None:
        """It is not known any more."""
        self.journal.drop(f"job/{self.job.number}")
        self.journal.drop(f"run/{self.job.number}")

    def pack(self) -> bytes:
        """What is called, with what, and when."""
        job = self.job
        kept = None if job.arguments is NO_ARGUMENTS else job.arguments
        tag, arguments = payload_parts(kept)
        submitted_at = job.submitted_at + self.offset
        head = (job.function.number, tag, job.nbytes, submitted_at, job.key)
        return pack(head, *arguments)


class _Run(Kept):
    """How far a job is."""

    __slots__ = ("job", "offset")

    def __init__(self, job: Job, offset: float) -> None:
        self.job = job
        self.offset = offset

    def pack(self) -> bytes:
        job, offset, error = self.job, self.offset, self.job.error
        tag, blobs = payload_parts(job.result if error is None else error.exception)
        told = error and (
            error.code,
            error.message,
            error.type_name,
            error.traceback,
            error.data,
            error.is_final,
        )
        counts = (job.attempt, job.failures, job.losses, job.is_alone)
        times = (
            job.not_before and job.not_before + offset,
            None if job.started_at is None else job.started_at + offset,
            None if job.ended_at is None else job.ended_at + offset,
        )
        head = (job.status.value, *counts, *times, job.held, job.stop, told, tag)
        return pack(head, *blobs)


class Keeping:
    """What is written down of functions and jobs, and what becomes of it after a restart."""

    def __init__(
        self,
        journal: Journal,
        attempts: Attempts,
        schedules: Schedules,
        add: Callable[[Function], None],
        enforced: Mapping[str, str],
    ) -> None:
        self.journal = journal
        self.attempts = attempts
        self.ledger = attempts.ledger
        self.schedules = schedules
        self._add = add
        self._enforced = enforced

    @property
    def _offset(self) -> float:
        return self.ledger.events.wall_offset

    def keep_function(self, function: Function) -> None:
        """Write a function down."""
        self.journal.keep(f"function/{function.number}", KeptFunction(function))

    def keep_job(self, job: Job) -> None:
        """Write a job down, and all that happens to it from now on."""
        if job.kept is None:
            job.kept = KeptJob(job, self.journal, self._offset)
            job.kept.begin()
            if job.attempt:
                job.kept.note()

    def close(self) -> None:
        """Drop functions that are not needed without the program that registered them."""
        ledger = self.ledger
        needed = {job.function.number for job in ledger.jobs.values() if job.kept is not None}
        needed |= self.schedules.timetables.keys()
        for number in self.attempts.pools.keys() - needed:
            self.journal.drop(f"function/{number}")
        ledger.give_numbers_back()

    # --- what comes back ------------------------------------------------------------------------

    def load(self, records: Records, now: float) -> None:
        """Take everything back that was kept."""
        for number, record in sorted(records["function"].items()):
            (spec, tag), code = unpack(record)
            payload = payload_of(tag, code)
            assert payload is not None
            self._add(Function(number, codec.from_json(spec, ()), payload, self._enforced))
        for record in records["last"].values():
            self.ledger.number_after(int(record))
        jobs = [
            self._job(number, record, records["run"].get(number))
            for number, record in sorted(records["job"].items())
        ]
        self.ledger.restore(jobs, now)
        for job in jobs:
            self._go_on(job, now)
            if job.ended_at is not None and job.ended_at + KEPT_AFTER_S < now:
                self.ledger.release(job)
        for number, record in records["schedule"].items():
            self.schedules.load(number, record, now)

    def _job(self, number: int, record: bytes, run: bytes | None) -> Job:
        (function, tag, nbytes, submitted_at, key), blobs = unpack(record)
        arguments = payload_of(tag, blobs) or NO_ARGUMENTS
        pool = self.attempts.pools[function]
        job = Job(number, pool.function, arguments, submitted_at - self._offset)
        job.nbytes = nbytes
        job.key = None if key is None else (key[0], key[1], key[2])
        job.kept = KeptJob(job, self.journal, self._offset)
        if run is not None:
            self._how_far(job, run)
        return job

    def _how_far(self, job: Job, run: bytes) -> None:
        head, blobs = unpack(run)
        status, *counts, not_before, started_at, ended_at, job.held, job.stop, told, tag = head
        job.attempt, job.failures, job.losses, job.is_alone = counts
        offset = self._offset
        job.status = JobStatus(status)
        job.not_before = not_before and not_before - offset
        job.started_at = None if started_at is None else started_at - offset
        job.ended_at = None if ended_at is None else ended_at - offset
        payload = payload_of(tag, blobs)
        if told is None:
            job.result = payload
        else:
            code, message, type_name, traceback, data, is_final = told
            job.error = ErrorInfo(code, message, type_name, traceback, payload, data, is_final)

    def _go_on(self, job: Job, now: float) -> None:
        """Put a job back where it was; what was under way went down with its executor."""
        pool = self.attempts.pools[job.function.number]
        if job.status in _UNDER_WAY:
            self.attempts.went_down(job, Ended(0, RESTARTED), now)
        elif job.status is JobStatus.QUEUED and job.not_before > now:
            pool.delayed.append(job)
        elif job.status is JobStatus.QUEUED:
            pool.put(job)


def sort_out(records: Iterable[tuple[str, bytes]]) -> tuple[Records, list[tuple[str, bytes]]]:
    """Records by kind and number, and those that belong to shared state."""
    mine: dict[str, dict[int, bytes]] = {kind: {} for kind in KINDS}
    others: list[tuple[str, bytes]] = []
    for key, record in records:
        kind, _, rest = key.partition("/")
        if kind in mine:
            mine[kind][int(rest)] = record
        else:
            others.append((key, record))
    return mine, others
