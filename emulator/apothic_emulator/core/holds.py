"""Jobs at a breakpoint: while a person looks at one, the clocks of its executor stand still.

All of them, because a job that runs out of time takes its neighbours' process along. A job that is
being stopped already is stopped all the same.
"""

from __future__ import annotations

from collections.abc import Callable

from apothic_backends.commands import HoldJob
from apothic_emulator.core.executors import Executor
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.jobs import Job
from apothic_emulator.core.ledger import Ledger


class Holds:
    """The rule for `HoldJob`."""

    def __init__(self, ledger: Ledger, look_by: Callable[[Executor, float], None]) -> None:
        self._ledger = ledger
        self._look_by = look_by

    def hold(self, command: HoldJob, asked: Asked, now: float) -> bool:
        """Stop a job's clock, or let it go on; whether it stands."""
        job = self._ledger.find(command.job_id)
        executor = self._ledger.executors.get(job.executor)
        if executor is None or job.started_at is None:
            return False
        if asked.origin is not None and asked.origin.executor != executor.number:
            return False  # its job runs elsewhere by now, where nobody would let it go
        if command.held:
            executor.hold(job, now)
        else:
            self.let_go(executor, job, now)
        return command.held

    def let_go(self, executor: Executor, job: Job, now: float) -> None:
        """Nobody looks at that job any more."""
        executor.let_go(job, now)
        for running in executor.running:
            self._look_by(executor, running.deadline)
