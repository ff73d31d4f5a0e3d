"""The rules for generators: who opens one, takes its items, and when it may go on."""

from __future__ import annotations

from typing import Any

from apothic_backends.commands import ReadItems
from apothic_backends.model.errors import JobGone, UsageError
from apothic_backends.model.jobs import ItemBatch
from apothic_emulator.core.callers import Callers
from apothic_emulator.core.effects import LATER, Credit
from apothic_emulator.core.executors import Executor
from apothic_emulator.core.facts import Asked, Produced
from apothic_emulator.core.functions import Function
from apothic_emulator.core.jobs import Job, Wait
from apothic_emulator.core.ledger import Ledger
from apothic_emulator.core.streams import Stream


class Items:
    """The rules, over the ledger and the callers."""

    def __init__(self, ledger: Ledger, callers: Callers) -> None:
        self.ledger = ledger
        self.callers = callers
        self.attempts = callers.attempts

    def open(self, job: Job, opener: Executor | None) -> None:
        """A generator is called, by the code of an executor or by somebody else."""
        job.stream = Stream(opener.number if opener is not None else 0)
        if opener is not None:
            opener.opened[job.number] = job

    def produced(self, executor: Executor, fact: Produced, now: float) -> None:
        """Items have come, if the executor can have sent them."""
        job = self.ledger.jobs.get(fact.job)
        stream = job.stream if job is not None else None
        if job is None or stream is None or job.attempt != fact.attempt:
            self.attempts.breach(executor, now)
            return
        is_next = self.attempts.works_on(executor, job, now) and stream.produced == fact.after
        if not is_next or not stream.add(fact.count, fact.items):
            self.attempts.breach(executor, now)
        elif stream.readers:
            [reader] = stream.readers
            stream.readers.clear()
            self.ledger.answer(reader, self._next(job, stream))

    def read(self, command: ReadItems, asked: Asked, now: float) -> Any:
        """Answer with what comes after a position, now or when it has come."""
        job = self.ledger.find(command.job_id)
        stream = self._taken(job, command.after)
        if stream.chunks or job.is_final:
            return self._next(job, stream)
        callers = self.callers
        caller = callers.job(asked, now)
        sunk = callers.sink(job, caller)
        wait = self.ledger.waits[asked.token] = Wait(asked.token, stream.readers, job)
        callers.park(wait, asked, caller, now)
        for pool in sunk:
            callers.scheduler.fill(pool, now)
        return LATER

    def _taken(self, job: Job, after: int) -> Stream:
        """The stream of a job, once its reader is done with what comes before a position.

        Raises:
            UsageError: it is no generator, somebody reads it already, or that is no position.
            JobGone: its items were dropped.
        """
        stream = job.stream
        if stream is None:
            raise UsageError(f"{job.job_id} gives a result and no items: wait for it")
        if stream.readers:
            raise UsageError(f"somebody waits for the next item of {job.job_id} already")
        if not job.held:
            raise JobGone(f"the items of {job.job_id} were dropped", job_id=job.job_id)
        before = stream.taken
        if not stream.take(after):
            raise UsageError(
                f"{after} is no position in {job.job_id}: read on from where a batch has ended; "
                f"{before} items are dropped, {stream.produced} have come",
                taken=before,
                produced=stream.produced,
            )
        if after > before and job.started_at is not None and not job.is_final:
            credit = Credit(job.executor, job.number, job.attempt, after)
            self.attempts.scheduler.effects.append(credit)
        return stream

    def _next(self, job: Job, stream: Stream) -> ItemBatch:
        """The next chunk, with how the job ended if it is the last."""
        chunk = stream.give()
        is_last = job.is_final and len(stream.chunks) < 2  # noqa: PLR2004 - none beyond this one
        outcome = job.outcome() if is_last else None
        if is_last:
            self.ledger.release(job)
        if chunk is None:
            return ItemBatch(None, 0, outcome)
        return ItemBatch(chunk.items, chunk.length, outcome)


def check_kind(function: Function, *, is_generator: bool) -> None:
    """See to it that a function is called as what it is.

    Raises:
        UsageError: a generator is asked for a result, or a plain function for items.
    """
    if function.spec.is_generator is is_generator:
        return
    name = function.spec.name
    if is_generator:
        raise UsageError(f"{name!r} gives a result and no items: it is not a generator function")
    raise UsageError(f"{name!r} is a generator function: read its items, it has no result")
