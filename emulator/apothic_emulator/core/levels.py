"""Callers above callers: how deep jobs wait for jobs, and that none waits for itself.

A job that is waited for stands at least one level below whoever waits for it. Deeper jobs run
first, and in places that are lent by the levels above; `MOST_LEVELS` bounds the processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from apothic_backends.model.errors import SlotDeadlock
from apothic_emulator.core.jobs import Job
from apothic_emulator.core.ledger import Ledger
from apothic_emulator.core.pools import Pool, RoomWait

MOST_LEVELS = 32
"""How many callers may wait above one another, each holding a process."""


class Levels:
    """The levels of jobs, over the ledger and the pools."""

    def __init__(self, ledger: Ledger, pools: Mapping[int, Pool]) -> None:
        self.ledger = ledger
        self.pools = pools

    def sink(self, job: Job, caller: Job) -> list[Pool]:
        """Put a job, and what it waits for, below its caller; the pools whose queue has changed.

        Raises:
            SlotDeadlock: that is too deep, or the caller is among those below; nothing changed.
        """
        sunk: list[tuple[Job, int]] = []
        above = self._mates(caller)
        todo = [(job, caller.level + 1)]
        while todo:
            below, level = todo.pop()
            if below in above:
                raise SlotDeadlock(
                    f"{caller.job_id} would wait for itself, by way of {job.job_id}", level=level
                )
            if level > below.level:
                check_level(caller, level)
                sunk += [(mate, level) for mate in self._mates(below)]
                todo += [(awaited, level + 1) for awaited in self._awaited_by(below)]
        return [pool for below, level in sunk if (pool := self._put(below, level)) is not None]

    def _mates(self, job: Job) -> Sequence[Job]:
        """The jobs in one call with this one: whoever waits for it waits for all of them."""
        executor = self.ledger.executors.get(job.executor)
        return (job,) if executor is None else executor.mates(job)

    def _awaited_by(self, job: Job) -> list[Job]:
        executor = self.ledger.executors.get(job.executor)
        if executor is None or not executor.parked:
            return []
        mates = executor.mates(job)
        waits = [wait for wait in executor.waits.values() if wait.caller in mates]
        return [wait.awaited for wait in waits if wait.awaited is not None]

    def _put(self, job: Job, level: int) -> Pool | None:
        """Change a job's level, and its place in the queue if it stands in one."""
        pool = self.pools[job.function.number]
        if level <= job.level or job.executor or job not in pool.queue:
            job.level = max(job.level, level)
            return None
        pool.queue.remove(job)
        job.level = level
        pool.put(job)
        return pool

    def lift(self, pool: Pool) -> bool:
        """Put the next job of a full queue below the callers who wait for its room, if it is not.

        Whoever waits for room waits for that job to leave; so its place is lent to that job.
        """
        callers = [
            wait.caller.level
            for executor in self.ledger.executors.values()
            if executor.parked
            for wait in executor.waits.values()
            if isinstance(wait, RoomWait) and wait.pool is pool and wait.caller is not None
        ]
        if not callers or not pool.queue or pool.queue[0].level > max(callers):
            return False
        pool.queue[0].level = max(callers) + 1
        return True


def check_level(caller: Job, level: int) -> None:
    """See to it that a caller may wait for something at that level.

    Raises:
        SlotDeadlock: it is too deep.
    """
    if level > MOST_LEVELS:
        raise SlotDeadlock(
            f"{caller.job_id} waits with {caller.level} callers waiting above it, each in a "
            f"process of its own; at most {MOST_LEVELS} may. Use spawn() and return the job, "
            "or a loop",
            level=level,
        )
