"""What jobs print: whose it is, and when less than a line is told as it is."""

from __future__ import annotations

from apothic_emulator.core.executors import Executor
from apothic_emulator.core.facts import Printed
from apothic_emulator.core.ledger import Ledger
from apothic_emulator.core.logs import HOLD_S
from apothic_emulator.core.scheduler import Scheduler


class Prints:
    """The rules for text, over the ledger."""

    def __init__(self, ledger: Ledger, scheduler: Scheduler) -> None:
        self.ledger = ledger
        self.scheduler = scheduler
        self._unfinished: dict[int, float] = {}
        """Jobs that have printed less than a line, and when that is told as it is."""

    def printed(self, executor: Executor, fact: Printed, now: float) -> None:
        """An executor has printed, for a job in its line or for none that is known."""
        job = self.ledger.jobs.get(fact.job) if fact.job else next(iter(executor.line), None)
        if job is None or job.executor != executor.number:
            return
        is_unfinished = self.ledger.printed(job, fact.stream, fact.text, now)
        if is_unfinished and job.number not in self._unfinished:
            self._unfinished[job.number] = now + HOLD_S
            self.scheduler.wake_at(now + HOLD_S)

    def tick(self, now: float) -> None:
        """Tell the lines whose ends do not come."""
        for number, due in list(self._unfinished.items()):
            if due > now:
                self.scheduler.wake_at(due)
                continue
            del self._unfinished[number]
            job = self.ledger.jobs.get(number)
            if job is not None:
                self.ledger.tell_rest(job, now)
