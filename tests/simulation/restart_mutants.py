"""Planted bugs of what is written down of jobs, and of how it comes back."""

from __future__ import annotations

from functools import partial
from typing import Any

from apothic_backends.model.jobs import JobStatus
from apothic_emulator.core.attempts import Attempts
from apothic_emulator.core.costs import Costs, Row
from apothic_emulator.core.facts import Ended
from apothic_emulator.core.functions import Function
from apothic_emulator.core.jobs import NEVER, Job
from apothic_emulator.core.keeping import Keeping, KeptJob
from apothic_emulator.core.ledger import Ledger
from apothic_emulator.core.plane import Plane
from apothic_emulator.core.schedules import Schedules, Timetable
from tests.simulation.mutants import Mutant, mutant

RESTART_MUTANTS: dict[str, Mutant] = {}
plant = partial(mutant, among=RESTART_MUTANTS)


@plant(KeptJob, "note")
def every_third_job_is_written_down_once_only(right: Any, self: KeptJob) -> None:
    if self.job.number % 3:
        right(self)


@plant(Keeping, "keep_job")
def every_third_job_is_not_written_down(right: Any, self: Keeping, job: Job) -> None:
    if job.number % 3:
        right(self, job)


@plant(KeptJob, "forget")
def a_job_that_was_forgotten_comes_back(right: Any, self: KeptJob) -> None:
    pass


@plant(Keeping, "keep_function")
def a_function_is_not_written_down(right: Any, self: Keeping, function: Function) -> None:
    if function.number != 2:
        right(self, function)


@plant(Ledger, "number_after")
def numbers_begin_anew(right: Any, self: Ledger, number: int) -> None:
    pass


@plant(Ledger, "_reserve")
def numbers_that_were_given_are_not_written_down(right: Any, self: Ledger) -> None:
    self._reserved = NEVER


@plant(Keeping, "_how_far")
def attempts_are_counted_anew(right: Any, self: Keeping, job: Job, run: bytes) -> None:
    right(self, job, run)
    job.attempt = 0


@plant(Keeping, "_how_far")
def results_are_not_kept(right: Any, self: Keeping, job: Job, run: bytes) -> None:
    right(self, job, run)
    job.result = None


@plant(Attempts, "went_down")
def what_was_under_way_runs_again_without_retries(
    right: Any, self: Attempts, job: Job, fact: Ended, now: float
) -> None:
    job.requeue("recall")
    self.pools[job.function.number].put(job)


@plant(Attempts, "went_down")
def what_was_under_way_is_lost_in_spite_of_retries(
    right: Any, self: Attempts, job: Job, fact: Ended, now: float
) -> None:
    job.losses += 1000
    right(self, job, fact, now)


@plant(Keeping, "_go_on")
def a_retry_that_was_due_later_is_forgotten(
    right: Any, self: Keeping, job: Job, now: float
) -> None:
    if job.status is not JobStatus.QUEUED or job.not_before <= now:
        right(self, job, now)


@plant(Plane, "load")
def no_timer_is_set_again(right: Any, self: Plane, *rest: Any) -> None:
    right(self, *rest)
    self.scheduler.alarm = NEVER


@plant(Ledger, "restore")
def keys_are_forgotten(right: Any, self: Ledger, *rest: Any) -> None:
    right(self, *rest)
    self.keyed.clear()


@plant(Ledger, "release")
def a_result_that_was_let_go_can_be_had_again(right: Any, self: Ledger, job: Job) -> None:
    kept, job.kept = job.kept, None
    right(self, job)
    job.kept = kept


@plant(Attempts, "cancel")
def a_cancelled_job_comes_back(right: Any, self: Attempts, job: Job, now: float) -> None:
    kept, job.kept = job.kept, None
    right(self, job, now)
    job.kept = kept


@plant(Schedules, "_keep")
def only_the_first_run_of_a_schedule_is_written_down(
    right: Any, self: Schedules, it: Timetable
) -> None:
    if it.fired < 2:
        right(self, it)


@plant(Schedules, "load")
def schedules_are_forgotten(right: Any, self: Schedules, *rest: Any) -> None:
    pass


@plant(Costs, "load")
def what_was_charged_is_forgotten(right: Any, self: Costs, rows: Any, *rest: Any) -> None:
    right(self, {}, *rest)


@plant(Costs, "load")
def top_ups_are_forgotten(right: Any, self: Costs, rows: Any, top_ups: Any, now: float) -> None:
    right(self, rows, {}, now)


@plant(Row, "pack")
def a_row_is_written_down_without_what_it_counts(right: Any, self: Row) -> bytes:
    if self.attempts % 3:
        self.us, us = 0, self.us
        packed: bytes = right(self)
        self.us = us
        return packed
    return bytes(right(self))
