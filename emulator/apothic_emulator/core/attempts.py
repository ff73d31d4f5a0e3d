"""What happens to attempts: they begin, report, are stopped, or go down with their process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from apothic_backends.model.errors import JobCancelled, JobTimeout
from apothic_backends.model.jobs import ErrorInfo, JobStatus
from apothic_emulator.core import losses
from apothic_emulator.core.agents import Agents
from apothic_emulator.core.batches import BATCH_RAISED
from apothic_emulator.core.effects import Interrupt
from apothic_emulator.core.executors import PREFETCH_BELOW_S, Executor, ExecutorStatus
from apothic_emulator.core.facts import Ended, Loaded, LoadFailed, Recalled, Reported
from apothic_emulator.core.holds import Holds
from apothic_emulator.core.jobs import NEVER, Job
from apothic_emulator.core.ledger import Ledger
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.scheduler import Scheduler

MOST_LOSSES = 3
"""A job whose attempts took more processes down than this is not tried again."""

INTERRUPT_S = 1.0
"""What one of several jobs in an executor gets to stop by itself before all are stopped."""

REST_S = 5.0
"""The pause in starting executors after too many of them did not start, while others work."""

_RUNNING, _DRAINING = JobStatus.RUNNING, ExecutorStatus.DRAINING
_STARTING, _STOPPING = ExecutorStatus.STARTING, ExecutorStatus.STOPPING
_READY, _RETIRING = ExecutorStatus.READY, ExecutorStatus.RETIRING


class Attempts:
    """The rules for attempts, over the ledger and the pools."""

    on_service: Callable[[Executor, Ended | None, float], object]
    """Told when a process of a service goes adrift, is back, is to leave, or is lost."""
    on_instance: Callable[[Executor, Ended | None, float], object]
    """Told when a process of an instance has made it, and when it has ended."""

    def __init__(self, ledger: Ledger, pools: Mapping[int, Pool], agents: Agents) -> None:
        self.ledger, self.pools = ledger, pools
        self.charge, costs = ledger.costs.charge, ledger.costs
        self.scheduler = Scheduler(ledger.executors, self.begin, self.doom, agents, costs)
        self.holds = Holds(ledger, self.scheduler.look_by)

    # --- beginnings -----------------------------------------------------------------------------

    def begin(self, executor: Executor, job: Job, now: float) -> None:
        """The job has reached a slot: it runs from now on."""
        self._start(executor, job, now)
        if executor.accepted is not None:
            self.scheduler.go(executor, executor.accepted, job)
        if job.stop is not None:
            self.stop(executor, job, now)

    def _start(self, executor: Executor, job: Job, now: float) -> None:
        job.start(now)
        self.ledger.events.append("job.running", job.number, now, job.attempt)
        self.scheduler.look_by(executor, job.deadline)

    def works_on(self, executor: Executor, job: Job, now: float) -> bool:
        """Whether that executor can be at work on the job: then it has begun, if we hear of it."""
        if not executor.may_work_on(job):
            return False
        if job.started_at is None:
            if executor.accepted is not None:
                return False  # nobody has told it to begin
            for mate in executor.mates(job):
                self._start(executor, mate, now)
        return True

    def prepared(self, executor: Executor, now: float) -> None:
        """What it needs is there: it loads its function from now on."""
        if executor.status is _STARTING and not executor.is_prepared:
            executor.is_prepared, executor.idle_since = True, now
            executor.step_at = now + executor.load_s
            self.scheduler.look_by(executor, executor.step_at)

    def loaded(self, executor: Executor, fact: Loaded, now: float) -> None:
        """The executor takes jobs."""
        if executor.status is not _STARTING:
            return
        executor.has_loaded(fact.disk)
        if executor.function.spec.cls is not None:
            self.on_instance(executor, None, now)
        self.scheduler.settle(executor, now)

    def load_failed(self, executor: Executor, fact: LoadFailed, now: float) -> None:
        """Unless others have loaded the function, all that waits for it fails."""
        if executor.status is not _STARTING:
            return
        pool = self.pools[executor.function.number]
        executor.failure = fact.error
        self.scheduler.kill(executor, now)
        if pool.has_hope:
            self._rest(pool, now)
        else:
            self.doom(pool, fact.error, now, executor.take_all_out())

    # --- reports --------------------------------------------------------------------------------

    def reported(self, executor: Executor, fact: Reported, now: float) -> None:
        """A job has finished, if that is a job which this executor can have finished."""
        job = self.ledger.jobs.get(fact.job)
        error = fact.error
        is_possible = job is not None and job.attempt == fact.attempt
        is_whole = (error is None) is not (fact.result is None)
        if not (job and is_possible and is_whole and self.works_on(executor, job, now)):
            self.breach(executor, now)
            return
        if executor.holders:
            self.holds.let_go(executor, job, now)
        executor.take_out(job)
        self.charge(executor, job, now, fact.ran_s)
        executor.proved = True
        executor.is_used_up |= fact.retire
        pool = self.pools[executor.function.number]
        pool.failed_starts = 0
        took_s = now - (now if job.started_at is None else job.started_at)
        told_s = took_s if fact.ran_s is None else fact.ran_s  # without the way here and back
        pool.measure(min(took_s, max(told_s, 0.0)))
        if job.stop and (error is not None or job.stop == "time_out" or executor.takes_batches):
            self._end_stopped(executor, job, now)
        elif error is not None:
            self._failed(executor, job, error, now)
        else:
            self.ledger.end(job, "succeed", now, fact.result, None)
        self.scheduler.settle(executor, now)

    def breach(self, executor: Executor, now: float) -> None:
        """It says what cannot be: it is not to be trusted with anything else."""
        if executor.accepted is None:  # else its agent has looked, and says again what is known
            executor.breach = True
            self.scheduler.kill(executor, now)

    def _end_stopped(self, executor: Executor, job: Job, now: float) -> None:
        """End a job that was stopped, saying where its code was."""
        if job.stop == "cancel":
            self._end_cancelled(job, "while it ran", now)
            return
        limit_s = job.function.spec.timeout_s
        error = ErrorInfo(
            JobTimeout.code,
            f"{job.job_id} ran longer than timeout_s={limit_s:g} and was stopped",
            traceback=executor.stack,
            data={"timeout_s": limit_s, "stack": executor.stack},
        )
        job.is_alone = True  # perhaps it was not this input that took so long
        if not self._retry(job, error, now):
            self.ledger.end(job, "time_out", now, None, error)

    def _end_cancelled(self, job: Job, when: str, now: float) -> None:
        error = ErrorInfo(JobCancelled.code, f"{job.job_id} was cancelled {when}")
        self.ledger.end(job, "cancel", now, None, error)

    def _failed(self, executor: Executor, job: Job, error: ErrorInfo, now: float) -> None:
        """User code raised: try again while its retries last."""
        if executor.status is _STOPPING and executor.step > 1:
            # it was interrupted because of a neighbour, and what it raised may come of that
            self._lost(executor, job, Ended(executor.number, "signal", signal=15), now)
        elif error.code == BATCH_RAISED and not job.is_alone:
            self._run_alone(job, now)
        elif error.code != "user_error" or not self._retry(job, error, now):
            self.ledger.end(job, "fail", now, None, error)

    def _run_alone(self, job: Job, now: float) -> None:
        """The call for its batch raised: it costs no retry to find out whose fault that was."""
        job.is_alone = True
        job.requeue("retry")
        self.ledger.retried(job, now, 0.0, "user_error")
        self.pools[job.function.number].put(job)

    def _retry(self, job: Job, error: ErrorInfo, now: float) -> bool:
        """Spend one of the caller's retries, if there is one left."""
        policy = job.function.spec.retries
        is_over = job.failures >= policy.max_retries or error.is_final
        if is_over or not job.may_run_again:
            return False
        job.failures += 1
        job.requeue("retry")
        delay_s = policy.delay_s(job.failures, self.ledger.chance(job) if policy.jitter else 0.5)
        self.ledger.retried(job, now, delay_s, error.code)
        pool = self.pools[job.function.number]
        job.not_before = now + delay_s
        if delay_s <= 0:
            pool.put(job)
        else:
            pool.delayed.append(job)
            self.scheduler.wake_at(job.not_before)
        return True

    # --- what is taken back ---------------------------------------------------------------------

    def recalled(self, executor: Executor, fact: Recalled, now: float) -> None:
        """Unstarted jobs are back: they go to their old places in the queue."""
        executor.give_back()
        pool = self.pools[executor.function.number]
        line = executor.line
        if line and executor.relieve_at(now) <= now and pool.depth:
            pool.mean_s = PREFETCH_BELOW_S  # its call is slower than was believed
        back = set(fact.jobs)
        taken = [job for job in line if job.number in back]
        for job in taken:
            if executor.holders:
                self.holds.let_go(executor, job, now)
            executor.take_out(job)
            self._put_back(job, now)
        self.scheduler.settle(executor, now)

    def _put_back(self, job: Job, now: float) -> None:
        """Its code has not begun: it is as if it had not been dispatched."""
        if job.stop == "cancel":
            self._end_cancelled(job, "before it began", now)
            return
        if job.status is _RUNNING:
            told = job.function.told
            self.ledger.events.append("job.queued", job.number, now, job.attempt + 1, told)
        job.requeue("recall")
        self.pools[job.function.number].put(job)

    # --- losses ---------------------------------------------------------------------------------

    def ended(self, executor: Executor, fact: Ended, now: float) -> None:
        """The process is gone: what it had begun is stopped, retried or lost."""
        pool = self.pools[executor.function.number]
        self.scheduler.drop(pool, executor)
        never_ran = fact.reason == "start" and not executor.loaded
        unstarted = {*fact.unstarted, *self.scheduler.take_back_effects(executor)}
        had_begun = executor.proved
        for job in list(executor.line):
            executor.take_out(job)
            if never_ran or job.number in unstarted:
                self._put_back(job, now)
                continue
            had_begun = True
            self.charge(executor, job, now)
            if job.stop is not None:
                self._end_stopped(executor, job, now)
            else:
                self._lost(executor, job, fact, now)
        if not had_begun:
            self._never_worked(executor, fact, now)
        for token in list(executor.waits):
            self.orphaned(token, now)
        for job in list(executor.opened.values()):
            self.ledger.release(job)
            self.cancel(job, now)
        executor.leave(now)
        if executor.function.spec.cls is not None:
            self.on_instance(executor, fact, now)

    def orphaned(self, token: object, now: float) -> None:
        """Whoever waited died: its handle goes with it, and so do jobs that were its own."""
        wait = self.ledger.give_up(token)
        if wait is None or wait.awaited is None:
            return
        if wait.last or wait.owned:
            self.ledger.release(wait.awaited)
        if wait.owned:
            self.cancel(wait.awaited, now)

    def _lost(self, executor: Executor, job: Job, fact: Ended, now: float) -> None:
        """The process died under the job: run it again within the loss budget, or give it up."""
        job.is_alone = True
        if executor.breach or executor.status is not _STOPPING:
            job.losses += losses.charge(fact)  # the innocent neighbour of one we stopped pays none
        self._again_or_never(job, fact, "protocol" if executor.breach else fact.reason, now)

    def went_down(self, job: Job, fact: Ended, now: float) -> None:
        """The control plane ended while an executor had the job."""
        if job.stop == "cancel":
            self._end_cancelled(job, "before it could be stopped", now)
            return
        job.is_alone = True
        job.losses += 1
        self._again_or_never(job, fact, fact.reason, now)

    def _again_or_never(self, job: Job, fact: Ended, reason: str, now: float) -> None:
        allowed = job.function.spec.retries.max_retries >= 1 and job.may_run_again
        if allowed and job.losses <= MOST_LOSSES:
            job.requeue("recall")
            self.ledger.retried(job, now, 0.0, losses.code_of(fact))
            self.pools[job.function.number].put(job)
            return
        error = losses.error_of(job, fact, "poison" if allowed else reason, maybe_ran=True)
        self.ledger.end(job, "lose", now, None, error)

    def _never_worked(self, executor: Executor, fact: Ended, now: float) -> None:
        """It ended before it took any job, so that is no job's fault: but not too often in a row.

        Not where we ended it ourselves, unless because it would not load.
        """
        is_ours = executor.status is _RETIRING or executor.status is _STOPPING
        if is_ours and executor.failure is None and not executor.breach:
            return
        pool = self.pools[executor.function.number]
        pool.failed_starts += 1
        if executor.failure is None and pool.failed_starts <= MOST_LOSSES:
            return
        if pool.has_hope:
            self._rest(pool, now)
            return
        pool.failed_starts = 0
        if executor.failure is not None:
            error = executor.failure.replace(traceback=executor.failure.traceback or executor.stack)
            self.doom(pool, error, now)
            return
        for job in list(pool.queue):
            error = losses.error_of(job, fact, "start", maybe_ran=job.maybe_ran)
            self.ledger.end(job, "lose", now, None, error)
        pool.queue.clear()

    def _rest(self, pool: Pool, now: float) -> None:
        """Start no more executors for a while; others are at work, or may yet be."""
        pool.rest_until = now + REST_S
        self.scheduler.wake_at(pool.rest_until)

    def doom(self, pool: Pool, error: ErrorInfo, now: float, line: Iterable[Job] = ()) -> None:
        """Give up what waits for an executor of the pool, and a line of one."""
        doomed = [*line, *pool.queue]
        pool.queue.clear()
        for job in doomed:
            if job.stop == "cancel":
                self._end_cancelled(job, "before it began", now)
            else:
                self.ledger.end(job, "fail", now, None, error)

    # --- stops ----------------------------------------------------------------------------------

    def cancel(self, job: Job, now: float) -> None:
        """Stop a job: at once while it waits, else by stopping what it runs in."""
        if job.is_final or job.stop == "cancel":
            return
        if not job.executor:
            self.pools[job.function.number].remove(job)
            self._end_cancelled(job, "before it began", now)
            return
        is_stopped = job.stop is not None
        job.stop = "cancel"
        if job.kept is not None:
            job.kept.note()
        executor = self.ledger.executors[job.executor]
        if job.status is not _RUNNING:
            self.scheduler.recall(executor)
        elif not is_stopped:
            self.stop(executor, job, now)

    def stop(self, executor: Executor, job: Job, now: float) -> None:
        """Stop a running job, and if it is alone its executor; cancelled generators end first."""
        if not executor.may_stop(job):
            return
        is_asked = not executor.takes_one or (job.stream is not None and job.stop == "cancel")
        if not is_asked or executor.status is _STOPPING:
            self.scheduler.stop(executor, now)
            return
        self.scheduler.effects.append(Interrupt(executor.number, executor.call_of(job)))
        for mate in executor.mates(job):
            mate.deadline = now + INTERRUPT_S
        self.scheduler.look_by(executor, now + INTERRUPT_S)

    def tick(self, executor: Executor, now: float) -> float:
        """Stop what has run too long; when to look again."""
        if executor.status is _READY or executor.status is _DRAINING:
            due = NEVER
            for job in executor.running:
                due = min(due, self._watch_over(executor, job, now))
            if executor.status is _READY:
                due = min(due, self.scheduler.look_after(executor, now))
            return min(due, executor.step_at)
        if executor.step_at <= now:
            if executor.status is _STARTING and not executor.is_used_up:
                self._overdue(executor, now)
            else:
                self.scheduler.step(executor, now)
        return executor.step_at

    def _watch_over(self, executor: Executor, job: Job, now: float) -> float:
        if executor.holders and job.stop is None:
            return NEVER
        if job.deadline > now:
            return job.deadline
        if job.stop is not None:
            if executor.may_stop(job):
                self.scheduler.stop(executor, now)
            return NEVER
        job.stop = "time_out"
        self.stop(executor, job, now)
        return job.deadline if job.deadline > now else NEVER

    def _overdue(self, executor: Executor, now: float) -> None:
        """Loading takes too long: what waits for it fails as soon as the process is gone."""
        executor.failure = losses.overdue(executor, now)
        self.scheduler.stop(executor, now)
        pool = self.pools[executor.function.number]
        if pool.has_hope:
            self._rest(pool, now)
