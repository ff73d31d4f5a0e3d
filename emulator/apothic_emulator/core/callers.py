"""Jobs whose code asks for something: who they are, and how they lend their place meanwhile."""

from __future__ import annotations

from collections.abc import Mapping

from apothic_backends.model.errors import BackendClosed
from apothic_emulator.core.executors import Executor
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.far import FarAttempts
from apothic_emulator.core.jobs import Job, Wait
from apothic_emulator.core.ledger import Ledger
from apothic_emulator.core.levels import Levels
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.standstill import Standstill


class Callers:
    """The rules for commands that come from executors, over the ledger and the pools."""

    def __init__(self, ledger: Ledger, pools: Mapping[int, Pool], attempts: FarAttempts) -> None:
        self.ledger = ledger
        self.pools = pools
        self.attempts = attempts
        self.scheduler = attempts.scheduler
        self.levels = Levels(ledger, pools)
        self.standstill = Standstill(ledger, pools, self.scheduler.agents)

    def executor(self, number: int) -> Executor:
        """The executor whose code asks.

        Raises:
            BackendClosed: it was stopped, so what it still asks does not count.
        """
        executor = self.ledger.executors.get(number)
        if executor is None or executor.deaf:
            raise BackendClosed("the process that asks was stopped")
        return executor

    def job(self, asked: Asked, now: float) -> Job | None:
        """The job whose code asks, if it is one that its executor can be at work on."""
        if asked.origin is None:
            return None
        job = self.ledger.jobs.get(asked.origin.job)
        executor = self.executor(asked.origin.executor)
        return job if job is not None and self.attempts.works_on(executor, job, now) else None

    def sink(self, job: Job | None, caller: Job | None) -> list[Pool]:
        """Put a job below the one that is to wait for it; the pools whose queue has changed."""
        if job is None or caller is None or job.is_final:
            return []
        self.standstill.check(job, caller)
        return self.levels.sink(job, caller)

    def park(self, wait: Wait, asked: Asked, caller: Job | None, now: float) -> None:
        """A job's code blocks in the SDK: it lends its place meanwhile."""
        if asked.origin is None:
            return
        executor = self.executor(asked.origin.executor)
        wait.executor = executor.number
        executor.waits[wait.token] = wait
        if caller is not None:
            executor.park(wait, caller)
            if len(executor.line) > executor.slots:
                self.scheduler.recall(executor)
            self.scheduler.fill(self.pools[executor.function.number], now)
            if self.scheduler.agents.starved:
                self.scheduler.feed(now)

    def wait_for(self, job: Job, asked: Asked, now: float, *, last: bool, owned: bool) -> None:
        """Answer with the job's outcome, now or when it has ended."""
        if asked.origin is None:
            self.ledger.wait(job, asked.token, last=last, owned=owned)
            return
        caller = self.job(asked, now)
        sunk = self.sink(job, caller)
        wait = self.ledger.wait(job, asked.token, last=last, owned=owned)
        if wait is not None:
            self.park(wait, asked, caller, now)
            for pool in sunk:
                self.scheduler.fill(pool, now)
