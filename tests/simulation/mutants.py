"""Planted bugs: what the simulation has to find, so that its silence means something."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from signal import SIGKILL
from typing import Any

from apothic_backends.commands import RunJob, SubmitJob
from apothic_backends.model.errors import MemoryLimitExceeded, WorkerLost
from apothic_backends.model.events import Cursor, Event, EventBatch
from apothic_backends.model.jobs import ErrorInfo
from apothic_emulator.core import attempts, losses, streams
from apothic_emulator.core.admission import Admission
from apothic_emulator.core.attempts import Attempts
from apothic_emulator.core.batches import BatchExecutor, BatchPool
from apothic_emulator.core.costs import Costs
from apothic_emulator.core.effects import LATER
from apothic_emulator.core.eventlog import EventLog
from apothic_emulator.core.executors import Executor, ExecutorStatus
from apothic_emulator.core.facts import Ended, Reported
from apothic_emulator.core.jobs import NEVER, Job, Wait
from apothic_emulator.core.ledger import Ledger
from apothic_emulator.core.levels import Levels
from apothic_emulator.core.plane import Plane
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.scheduler import Scheduler
from apothic_emulator.core.schedules import Schedules, Timetable
from apothic_emulator.core.streams import Stream

Mutant = Callable[[], AbstractContextManager[None]]
MUTANTS: dict[str, Mutant] = {}


def mutant(
    owner: Any, name: str, among: dict[str, Mutant] = MUTANTS
) -> Callable[[Callable[..., Any]], None]:
    """A bug that stands in for `owner.name`; it gets what it replaces as its first argument."""

    def plant(bug: Callable[..., Any]) -> None:
        @contextmanager
        def planted() -> Generator[None]:
            right = getattr(owner, name)
            is_inherited = name not in vars(owner)
            wrong = (lambda *a, **k: bug(right, *a, **k)) if callable(right) else bug(right)
            setattr(owner, name, wrong)
            try:
                yield
            finally:
                setattr(owner, name, right)
                if is_inherited:  # else it would hide a bug that is planted in the parent later
                    delattr(owner, name)

        among[bug.__name__] = planted

    return plant


@mutant(Attempts, "_lost")
def a_lost_job_runs_again_without_retries(
    right: Any, self: Attempts, executor: Executor, job: Job, fact: Ended, now: float
) -> None:
    job.requeue("recall")
    self.pools[job.function.number].put(job)


@mutant(Attempts, "reported")
def a_report_of_an_old_attempt_is_accepted(
    right: Any, self: Attempts, executor: Executor, fact: Reported, now: float
) -> None:
    job = self.ledger.jobs.get(fact.job)
    right(self, executor, fact.replace(attempt=job.attempt) if job else fact, now)


@mutant(Executor, "may_work_on")
def a_report_of_another_executor_is_accepted(right: Any, self: Executor, job: Job) -> bool:
    return job.executor != 0


@mutant(Executor, "take_out")
def a_report_of_another_executor_frees_its_line(right: Any, self: Executor, job: Job) -> None:
    if job.number % 64:
        right(self, job)


@mutant(Attempts, "_put_back")
def a_cancelled_job_is_dispatched_again(right: Any, self: Attempts, job: Job, now: float) -> None:
    job.stop = None
    right(self, job, now)


@mutant(Admission, "_admit_waiting")
def room_is_never_given(right: Any, self: Admission, pool: Pool, now: float) -> None:
    pass


@mutant(Admission, "_take_room")
def a_run_that_got_room_is_forgotten(
    right: Any, self: Admission, command: SubmitJob | RunJob, *rest: Any
) -> object:
    return LATER if isinstance(command, RunJob) else right(self, command, *rest)


@mutant(Plane, "_keep")
def a_job_that_is_kept_goes_with_its_caller(right: Any, *_: Any) -> None:
    pass


@mutant(Pool, "has_room")
def room_has_no_end(right: Any) -> Any:
    return True


@mutant(Attempts, "_watch_over")
def a_timeout_never_fires(
    right: Any, self: Attempts, executor: Executor, job: Job, now: float
) -> float:
    return right(self, executor, job, now) if job.stop is not None else NEVER


@mutant(Attempts, "_watch_over")
def a_timeout_fires_early(
    right: Any, self: Attempts, executor: Executor, job: Job, now: float
) -> float:
    due: float = right(self, executor, job, now + 0.5)
    return due


@mutant(Executor, "let_go")
def a_clock_that_stood_is_not_put_back(right: Any, self: Executor, job: Job, now: float) -> None:
    self.holders.discard(job.number)


@mutant(Executor, "let_go")
def a_clock_stands_for_ever(right: Any, self: Executor, job: Job, now: float) -> None:
    if job.is_final:
        right(self, job, now)


@mutant(Executor, "hold")
def a_clock_goes_on_at_a_breakpoint(right: Any, self: Executor, job: Job, now: float) -> None:
    pass


@mutant(Attempts, "ended")
def an_unstarted_job_counts_as_started(
    right: Any, self: Attempts, executor: Executor, fact: Ended, now: float
) -> None:
    right(self, executor, fact.replace(unstarted=()), now)


@mutant(Attempts, "ended")
def a_started_job_counts_as_unstarted(
    right: Any, self: Attempts, executor: Executor, fact: Ended, now: float
) -> None:
    everything = tuple(job.number for job in executor.line)
    right(self, executor, fact.replace(unstarted=everything), now)


@mutant(losses, "code_of")
def every_kill_is_told_as_a_want_of_memory(right: Any, fact: Ended) -> str:
    return MemoryLimitExceeded.code if fact.signal == SIGKILL else right(fact)


@mutant(losses, "code_of")
def memory_is_never_the_reason(right: Any, fact: Ended) -> str:
    return WorkerLost.code


@mutant(attempts, "MOST_LOSSES")
def the_budget_for_losses_has_no_end(right: int) -> int:
    return 1_000_000


@mutant(Attempts, "_retry")
def retries_have_no_end(right: Any, self: Attempts, job: Job, *rest: Any) -> bool:
    if job.function.spec.retries.max_retries:
        job.failures = 0
    done: bool = right(self, job, *rest)
    return done


@mutant(Job, "end")
def the_second_waiter_is_forgotten(right: Any, self: Job, *rest: Any) -> list[Wait] | None:
    waiters: list[Wait] | None = right(self, *rest)
    return waiters[:1] if waiters else waiters


@mutant(EventLog, "read")
def an_event_is_skipped(
    right: Any, self: EventLog, after: Cursor, job: int | None, limit: int
) -> EventBatch | None:
    batch: EventBatch | None = right(self, after, job, limit)
    if batch is not None and len(batch.events) > 2:
        batch.events = (batch.events[0], *batch.events[2:])
    return batch


@mutant(EventLog, "lost")
def a_reset_is_kept_secret(right: Any, self: EventLog, after: Cursor) -> Event | None:
    reset: Event | None = right(self, after)
    return None if reset is not None and reset.data["reason"] == "compacted" else reset


@mutant(EventLog, "ending")
def what_has_ended_stands_after_its_end(
    right: Any, self: EventLog, job: int, moment: float
) -> list[Event]:
    return [event.replace(cursor=self.cursor) for event in right(self, job, moment)]


@mutant(Ledger, "tell_rest")
def the_last_line_is_told_after_the_end(right: Any, self: Ledger, job: Job, now: float) -> None:
    if job.is_final:
        right(self, job, now)


@mutant(Admission, "_keyed")
def a_key_stands_for_two_jobs(right: Any, self: Admission, *_: Any) -> None:
    return None


@mutant(Executor, "room")
def slots_are_exceeded(right: Any) -> Any:
    def room(self: Executor) -> int:
        found: int = right.fget(self)
        return found + 1

    return property(room)


@mutant(Pool, "may_start")
def containers_are_exceeded(right: Any, self: Pool, level: int, now: float) -> bool:
    return right(self, level, now) or (len(self.queue) > 2 and len(self.executors) < 9)


@mutant(Scheduler, "look_after")
def prefetched_jobs_are_not_recalled(
    right: Any, self: Scheduler, executor: Executor, now: float
) -> float:
    return NEVER if executor.line else right(self, executor, now)


@mutant(Scheduler, "look_after")
def an_idle_executor_never_ends(
    right: Any, self: Scheduler, executor: Executor, now: float
) -> float:
    return NEVER if not executor.line else right(self, executor, now)


@mutant(Executor, "unpark")
def a_parked_job_stays_parked(right: Any, self: Executor, wait: Wait) -> None:
    pass


@mutant(Levels, "sink")
def nested_jobs_wait_behind_their_callers(right: Any, *_: Any) -> list[Pool]:
    return []


@mutant(Scheduler, "wake_at")
def the_alarm_comes_late(right: Any, self: Scheduler, moment: float) -> None:
    right(self, moment + 100.0)


@mutant(Pool, "wake")
def a_delayed_retry_is_forgotten(right: Any, self: Pool, now: float) -> float:
    return NEVER


@mutant(Scheduler, "retire")
def a_used_up_executor_gets_another_job(
    right: Any, self: Scheduler, executor: Executor, now: float
) -> None:
    if executor.is_used_up and executor.status is ExecutorStatus.READY:
        self.advance(executor, now)
        executor.idle_since = now
    else:
        right(self, executor, now)


@mutant(Ledger, "wait")
def a_result_goes_with_its_first_reader(
    right: Any, self: Ledger, job: Job, token: object, *, last: bool, owned: bool
) -> Wait | None:
    wait: Wait | None = right(self, job, token, last=True, owned=owned)
    return wait


@mutant(Ledger, "give_up")
def waits_of_the_dead_are_answered(right: Any, self: Ledger, token: object) -> Wait | None:
    return None


@mutant(streams, "MOST_AHEAD")
def credit_has_no_end(right: int) -> int:
    return 1_000_000


@mutant(Job, "may_run_again")
def a_generator_is_repeated_after_its_first_item(right: Any) -> Any:
    return True


@mutant(Stream, "take")
def items_are_given_twice(right: Any, self: Stream, after: int) -> bool:
    done: bool = right(self, after)
    if self.chunks and after % 16 == 3:
        self.chunks.appendleft(self.chunks[0])
    return done


@mutant(Schedules, "_obstacle")
def runs_overlap_although_they_must_not(
    right: Any, self: Schedules, it: Timetable, at: float, wall: float
) -> str:
    reason: str = right(self, it, at, wall)
    return "" if reason == "overlap" else reason


@mutant(Schedules, "_after")
def every_other_run_is_forgotten(
    right: Any, self: Schedules, it: Timetable, moment: float
) -> float:
    following: float = right(self, it, right(self, it, moment))
    return following


@mutant(Schedules, "_skip")
def missed_runs_are_kept_secret(
    right: Any, self: Schedules, it: Timetable, at: float, reason: str, *rest: Any, **more: Any
) -> None:
    if reason != "missed":
        right(self, it, at, reason, *rest, **more)


@mutant(BatchPool, "next_batch")
def a_batch_that_is_not_full_waits_for_ever(right: Any, self: BatchPool, now: float) -> list[Job]:
    jobs: list[Job] = right(self, now)
    return jobs if len(jobs) == self.most or any(job.is_alone for job in jobs) else []


@mutant(BatchPool, "_due_at")
def a_batch_does_not_wait(right: Any, self: BatchPool, job: Job) -> float:
    return 0.0


@mutant(Attempts, "_lost")
def inputs_that_were_lost_together_run_together_again(
    right: Any, self: Attempts, executor: Executor, job: Job, fact: Ended, now: float
) -> None:
    right(self, executor, job, fact, now)
    job.is_alone = False


@mutant(Attempts, "_run_alone")
def a_batch_that_raised_fails_as_a_whole(right: Any, self: Attempts, job: Job, now: float) -> None:
    error = ErrorInfo("user_error", "raised")
    self.ledger.end(job, "fail", now, None, error)


@mutant(Costs, "charge")
def an_attempt_is_charged_twice(right: Any, self: Costs, *rest: Any) -> None:
    right(self, *rest)
    right(self, *rest)


@mutant(Costs, "_held_s")
def calls_that_share_an_executor_pay_it_each(
    right: Any, self: Costs, executor: Executor, begun: float, now: float, ran_s: float | None
) -> float:
    return now - begun


@mutant(Attempts, "_put_back")
def what_never_began_is_charged(right: Any, self: Attempts, job: Job, now: float) -> None:
    self.charge(self.ledger.executors.get(job.executor) or Executor(0, job.function, now), job, now)
    right(self, job, now)


@mutant(Scheduler, "fill")
def what_nobody_pays_begins(right: Any, self: Scheduler, pool: Pool, now: float) -> None:
    was, self.costs.is_exhausted = self.costs.is_exhausted, False
    right(self, pool, now)
    self.costs.is_exhausted = was


@mutant(BatchExecutor, "may_stop")
def a_cancelled_input_stops_its_mates(right: Any, self: BatchExecutor, job: Job) -> bool:
    return True


@mutant(Executor, "start_s")
def builds_get_no_longer_than_loads(right: Any) -> Any:
    return property(lambda executor: executor.load_s)
