"""Functions, jobs and schedules as records, and how they come back.

| key          | what it holds                                  | written                        |
|--------------|------------------------------------------------|--------------------------------|
| `function/N` | spec and code                                  | when it is registered          |
| `job/N`      | what is called, with what, and when            | when it is queued              |
| `run/N`      | how far it is, its attempts, and how it ended  | before a dispatch, at its end  |
| `schedule/N` | when function N runs by itself                 | with each run                  |
| `agent/N`    | who an agent is                                | when it joins for the first time |
| `last/1`     | a number that no job has been given            | once in a while                |
| `last/2`     | the last number of an executor on an agent     | when it is started             |
| `last/3`-`5` | see `floors.py`                                | after a copy was put back      |
| `operation/N`| what an operation has led to, and for whom     | with what it has changed       |
| `cost/N`     | what calls of a function took on a day         | when a call has ended          |
| `credit/N`   | a top-up                                       | when it is made                |

A job is kept if its caller may be gone before it ends. A call whose caller waits for it (`RunJob`,
an `owned` `SubmitJob`, and what a generator yields) is its caller's alone: nobody could ask for its
end after a crash.

What was in the hands of an executor of its own when the control plane ended counts as lost with
it. What an agent had is awaited from that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from apothic_backends import codec
from apothic_backends.model.jobs import ErrorInfo, JobStatus
from apothic_emulator.core.executors import Executor
from apothic_emulator.core.facts import Ended
from apothic_emulator.core.far import Place
from apothic_emulator.core.fleet import Fleet
from apothic_emulator.core.functions import Function
from apothic_emulator.core.jobs import NO_ARGUMENTS, Job
from apothic_emulator.core.journal import Journal, Kept
from apothic_emulator.core.records import pack, payload_of, payload_parts, unpack
from apothic_emulator.core.registry import Registry
from apothic_emulator.core.schedules import Schedules

KINDS = ("function", "agent", "job", "run", "schedule", "last", "operation", "cost", "credit")

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

    def __init__(
        self, job: Job, journal: Journal, offset: float, executors: Mapping[int, Executor]
    ) -> None:
        self.job = job
        self.journal = journal
        self.offset = offset
        """What Unix time is ahead of the times in it."""
        self.run = _Run(job, offset, executors)

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
        function = job.function
        head = (function.number, tag, job.nbytes, submitted_at, job.key, function.method)
        return pack(head, *arguments)


class _Run(Kept):
    """How far a job is."""

    __slots__ = ("executors", "job", "offset")

    def __init__(self, job: Job, offset: float, executors: Mapping[int, Executor]) -> None:
        self.job = job
        self.offset = offset
        self.executors = executors

    def _place(self) -> Place | None:
        """Where it is, if that is on an agent."""
        job = self.job
        executor = self.executors.get(job.executor) if job.executor else None
        if executor is None or not executor.agent:
            return None
        return executor.agent, executor.number, executor.call_of(job), executor.gpus

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
        head = (job.status.value, *counts, *times, job.held, job.stop, told, tag, self._place())
        return pack(head, *blobs)


class Keeping:
    """What is written down of functions and jobs, and what becomes of it after a restart."""

    def __init__(
        self,
        journal: Journal,
        fleet: Fleet,
        schedules: Schedules,
        registry: Registry,
    ) -> None:
        self.journal = journal
        self.fleet = fleet
        self.attempts = fleet.attempts
        self.ledger = self.attempts.ledger
        self.schedules = schedules
        self.registry = registry

    @property
    def _offset(self) -> float:
        return self.ledger.events.wall_offset

    def keep_function(self, function: Function) -> None:
        """Write a function down."""
        self.journal.keep(f"function/{function.number}", KeptFunction(function))

    def drop_function(self, function: Function) -> None:
        """There is no such function any more."""
        self.journal.drop(f"function/{function.number}")

    def keep_job(self, job: Job) -> None:
        """Write a job down, and all that happens to it from now on."""
        if job.kept is None:
            job.kept = KeptJob(job, self.journal, self._offset, self.ledger.executors)
            job.kept.begin()
            if job.attempt:
                job.kept.note()

    def close(self) -> None:
        """Drop functions that are not needed without the program that registered them."""
        ledger = self.ledger
        needed = {job.function.number for job in ledger.jobs.values() if job.kept is not None}
        needed |= self.schedules.timetables.keys() | self.registry.deployed.keys()
        for number in self.attempts.pools.keys() - needed:
            self.journal.drop(f"function/{number}")
        ledger.give_numbers_back()

    # --- what comes back ------------------------------------------------------------------------

    def load(self, records: Records, now: float, *, was_put_back: bool = False) -> None:
        """Take everything back that was kept.

        If that `was_put_back` from a copy, nothing which runs now is what ran then.
        """
        for number, record in sorted(records["function"].items()):
            (spec, tag), code = unpack(record)
            payload = payload_of(tag, code)
            assert payload is not None
            registry = self.registry
            registry.add(registry.restored(number, codec.from_json(spec, ()), payload))
        self.ledger.number_after(int(records["last"].get(1, b"0")))
        self.attempts.scheduler.number_after(int(records["last"].get(2, b"0")))
        self.fleet.load(records["agent"], now)
        places: dict[int, Place] = {}
        jobs = [
            self._job(number, record, records["run"].get(number), places)
            for number, record in sorted(records["job"].items())
        ]
        if was_put_back:
            places.clear()
        self.ledger.restore(jobs, now)
        for job in jobs:
            self._go_on(job, places.get(job.number), now)
            if job.ended_at is not None and job.ended_at + KEPT_AFTER_S < now:
                self.ledger.release(job)
        for number, record in records["schedule"].items():
            self.schedules.load(number, record, now)

    def _job(self, number: int, record: bytes, run: bytes | None, places: dict[int, Place]) -> Job:
        (called, tag, nbytes, submitted_at, key, *method), blobs = unpack(record)
        arguments = payload_of(tag, blobs) or NO_ARGUMENTS
        function = self.attempts.pools[called].function
        if method and method[0]:
            function = function.of_method(method[0])
        job = Job(number, function, arguments, submitted_at - self._offset)
        job.nbytes = nbytes
        job.key = None if key is None else (key[0], key[1], key[2])
        job.kept = KeptJob(job, self.journal, self._offset, self.ledger.executors)
        if run is not None:
            place = self._how_far(job, run)
            if place is not None:
                places[number] = place
        return job

    def _how_far(self, job: Job, run: bytes) -> Place | None:
        """Take up what is known of it; gives where it was, if that was on an agent."""
        (*head, place), blobs = unpack(run)
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
        return place and (place[0], place[1], place[2], tuple(place[3]))

    def _go_on(self, job: Job, place: Place | None, now: float) -> None:
        """Put a job back where it was; what was under way here went down with its executor."""
        pool = self.attempts.pools[job.function.number]
        if job.status in _UNDER_WAY and place and place[0] in self.fleet.agents.far:
            self.attempts.take_up(job, place, now)
        elif job.status in _UNDER_WAY:
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
