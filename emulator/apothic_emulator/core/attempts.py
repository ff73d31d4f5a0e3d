"""What happens to attempts: they begin, report, are stopped, or go down with their process."""

from __future__ import annotations

from collections.abc import Mapping

from apothic_backends.model.errors import JobCancelled, JobTimeout, WorkerLost
from apothic_backends.model.jobs import ErrorInfo, JobStatus
from apothic_emulator.core.effects import Interrupt
from apothic_emulator.core.executors import Executor, ExecutorStatus
from apothic_emulator.core.facts import Ended, LoadFailed, Recalled, Reported
from apothic_emulator.core.jobs import Job
from apothic_emulator.core.ledger import Ledger
from apothic_emulator.core.pools import PREFETCH_BELOW_S, Pool
from apothic_emulator.core.scheduler import NEVER, Scheduler

MOST_LOSSES = 3
"""A job whose attempts took more processes down than this is not tried again."""

INTERRUPT_S = 1.0
"""What one of several jobs in an executor gets to stop by itself before all are stopped."""


class Attempts:
    """The rules for attempts, over the ledger and the pools."""

    def __init__(self, ledger: Ledger, pools: Mapping[int, Pool]) -> None:
        self.ledger = ledger
        self.pools = pools
        self.scheduler = Scheduler(self.begin)

    def begin(self, executor: Executor, job: Job, now: float) -> None:
        """The job has reached a slot: it runs from now on."""
        job.move("start")
        job.started_at = now
        self.ledger.events.append("job.running", job.number, now, {"attempt": job.attempt})
        self.scheduler.wake_at(now + job.function.spec.timeout_s)
        if job.stop is not None:
            self.stop(executor, job, now)

    def loaded(self, executor: Executor, now: float) -> None:
        """The executor takes jobs."""
        if executor.status is not ExecutorStatus.STARTING:
            return
        executor.status = ExecutorStatus.READY
        executor.step_at = None
        self.scheduler.advance(executor, now)
        if not executor.line:
            self.scheduler.idle(executor, now)
        self.scheduler.fill(self.pools[executor.function.number], now)

    def load_failed(self, executor: Executor, fact: LoadFailed, now: float) -> None:
        """No executor of this function will do better: everything that waits for it fails."""
        if executor.status is not ExecutorStatus.STARTING:
            return
        pool = self.pools[executor.function.number]
        self.scheduler.kill(executor, now)
        doomed, executor.line = executor.line, []
        for job in [*doomed, *pool.queue, *pool.delayed]:
            self.ledger.end(job, "fail", now, None, fact.error)
        pool.queue.clear()
        pool.delayed.clear()

    def reported(self, executor: Executor, fact: Reported, now: float) -> None:
        """A job has finished, if that is a job which this executor can have finished."""
        job = self.ledger.jobs.get(fact.job)
        if job is None or job not in executor.running or job.attempt != fact.attempt:
            self.scheduler.kill(executor, now)
            return
        pool = self.pools[executor.function.number]
        executor.line.remove(job)
        pool.measure(now - (job.started_at if job.started_at is not None else now))
        if fact.error is None and job.stop != "time_out":
            self.ledger.end(job, "succeed", now, fact.result, None)
        elif job.stop is not None:
            self._end_stopped(executor, job, now)
        else:
            assert fact.error is not None, "only a stopped job has neither"
            self._failed(job, fact.error, now)
        if executor.status is ExecutorStatus.STOPPING:
            if not executor.running:
                self.scheduler.kill(executor, now)
        elif fact.retire:
            self.scheduler.retire(executor, now)
        elif executor.line:
            self.scheduler.advance(executor, now)
        else:
            self.scheduler.idle(executor, now)
        self.scheduler.fill(pool, now)

    def _end_stopped(self, executor: Executor, job: Job, now: float) -> None:
        """End a job that was stopped, saying where its code was."""
        if job.stop == "cancel":
            error = ErrorInfo(JobCancelled.code, f"{job.job_id} was cancelled while it ran")
            self.ledger.end(job, "cancel", now, None, error)
            return
        limit_s = job.function.spec.timeout_s
        error = ErrorInfo(
            JobTimeout.code,
            f"{job.job_id} ran longer than timeout_s={limit_s:g} and was stopped",
            traceback=executor.stack,
            data={"timeout_s": limit_s, "stack": executor.stack},
        )
        if not self._retry(job, error, now):
            self.ledger.end(job, "time_out", now, None, error)

    def _failed(self, job: Job, error: ErrorInfo, now: float) -> None:
        """User code raised: try again while its retries last."""
        if error.code != "user_error" or not self._retry(job, error, now):
            self.ledger.end(job, "fail", now, None, error)

    def _retry(self, job: Job, error: ErrorInfo, now: float) -> bool:
        """Spend one of the caller's retries, if there is one left."""
        policy = job.function.spec.retries
        if job.failures >= policy.max_retries:
            return False
        job.failures += 1
        self._requeue(job, "retry")
        job.stop = None
        delay_s = policy.delay_s(job.failures)
        told = {"attempt": job.attempt, "delay_s": delay_s, "error": error.code}
        self.ledger.events.append("job.retry", job.number, now, told)
        pool = self.pools[job.function.number]
        if delay_s <= 0:
            pool.queue.append(job)
        else:
            job.not_before = now + delay_s
            pool.delayed.append(job)
            self.scheduler.wake_at(job.not_before)
        return True

    def _requeue(self, job: Job, move: str) -> None:
        job.move(move)
        job.executor = None
        job.started_at = None
        job.parked = 0

    def recalled(self, executor: Executor, fact: Recalled, now: float) -> None:
        """Unstarted jobs are back: they go to the front of the queue, in their old order."""
        executor.recalling = False
        pool = self.pools[executor.function.number]
        running = executor.running
        if executor.line and executor.line[0].started_at is not None:
            self._learn_slow(pool, now - executor.line[0].started_at)
        taken = [job for job in executor.line if job.number in fact.jobs]
        executor.line = [job for job in executor.line if job.number not in fact.jobs]
        self._put_back(pool, taken, now)
        if executor.status is ExecutorStatus.READY:
            self.scheduler.advance(executor, now)
            if not executor.line:
                self.scheduler.idle(executor, now)
        elif not executor.running and running:
            self.scheduler.kill(executor, now)
        self.scheduler.fill(pool, now)

    @staticmethod
    def _learn_slow(pool: Pool, seconds: float) -> None:
        """A call that still runs is slower than the mean believes: send nothing behind it."""
        if seconds >= PREFETCH_BELOW_S and pool.depth:
            pool.mean_s = PREFETCH_BELOW_S

    def _put_back(self, pool: Pool, jobs: list[Job], now: float) -> None:
        for job in reversed(jobs):
            self._requeue(job, "recall")
            if job.stop == "cancel":
                error = ErrorInfo(JobCancelled.code, f"{job.job_id} was cancelled before it began")
                self.ledger.end(job, "cancel", now, None, error)
            else:
                job.stop = None
                pool.queue.appendleft(job)

    def ended(self, executor: Executor, fact: Ended, now: float) -> None:
        """The process is gone: what it had begun is stopped, retried or lost."""
        pool = self.pools[executor.function.number]
        del self.scheduler.executors[executor.number], pool.executors[executor.number]
        for awaited in executor.waits.values():
            if awaited is not None:
                self.cancel(awaited, now)
        line, executor.line = executor.line, []
        begun = [job for job in line if job.number not in fact.unstarted]
        unstarted = [job for job in line if job.number in fact.unstarted]
        self._put_back(pool, unstarted, now)
        for job in reversed(begun):
            if job.stop is not None and job.status is JobStatus.RUNNING:
                self._end_stopped(executor, job, now)
            else:
                self._lost(executor, job, fact, now)
        self.scheduler.fill(pool, now)

    def _lost(self, executor: Executor, job: Job, fact: Ended, now: float) -> None:
        """The process died under the job: run it again within the loss budget, or give it up."""
        pool = self.pools[executor.function.number]
        maybe_ran = job.started_at is not None
        if executor.status is not ExecutorStatus.STOPPING:
            job.losses += 1  # the innocent neighbour of a job that we stopped pays nothing
        allowed = not maybe_ran or job.function.spec.retries.max_retries >= 1
        if allowed and job.losses <= MOST_LOSSES:
            self._requeue(job, "recall")
            job.stop = None
            told = {"attempt": job.attempt, "delay_s": 0.0, "error": WorkerLost.code}
            self.ledger.events.append("job.retry", job.number, now, told)
            pool.queue.appendleft(job)
            return
        reason = "poison" if allowed else fact.reason
        error = ErrorInfo(
            WorkerLost.code,
            _how_lost(job, fact),
            data={
                "maybe_ran": maybe_ran,
                "reason": reason,
                "signal": fact.signal,
                "exit_code": fact.exit_code,
                "losses": job.losses,
            },
        )
        self.ledger.end(job, "lose", now, None, error)

    def cancel(self, job: Job, now: float) -> None:
        """Stop a job: at once while it waits, else by stopping what it runs in."""
        if job.is_final or job.stop is not None:
            return
        pool = self.pools[job.function.number]
        if job.status is JobStatus.QUEUED:
            (pool.queue if job in pool.queue else pool.delayed).remove(job)
            error = ErrorInfo(JobCancelled.code, f"{job.job_id} was cancelled before it began")
            self.ledger.end(job, "cancel", now, None, error)
            return
        job.stop = "cancel"
        assert job.executor is not None, "a dispatched job has an executor"
        executor = self.scheduler.executors[job.executor]
        if job.status is JobStatus.RUNNING:
            self.stop(executor, job, now)
        else:
            self.scheduler.recall(executor)

    def stop(self, executor: Executor, job: Job, now: float) -> None:
        """Stop a running job; alone in its executor, it takes the executor with it."""
        if executor.slots == 1 or executor.status is ExecutorStatus.STOPPING:
            self.scheduler.stop(executor, now)
            return
        self.scheduler.effects.append(Interrupt(executor.number, job.number))
        job.not_before = now + INTERRUPT_S
        self.scheduler.wake_at(job.not_before)

    def tick(self, executor: Executor, now: float) -> float:
        """Stop what has run too long; when to look again."""
        due = NEVER
        if executor.status is ExecutorStatus.READY:
            for job in executor.running:
                due = min(due, self._watch_over(executor, job, now))
        return min(due, self.scheduler.tick(executor, now))

    def _watch_over(self, executor: Executor, job: Job, now: float) -> float:
        assert job.started_at is not None, "a running job has begun"
        if job.stop is not None:
            if job.not_before > now:
                return job.not_before
            self.scheduler.stop(executor, now)
            return NEVER
        deadline = job.started_at + job.function.spec.timeout_s
        if deadline > now:
            return deadline
        job.stop = "time_out"
        self.stop(executor, job, now)
        return job.not_before if job.not_before > now else NEVER


def _how_lost(job: Job, fact: Ended) -> str:
    """Say what took the process, and what to do about it."""
    what = {
        "signal": f"was killed by signal {fact.signal}",
        "exit": f"exited with code {fact.exit_code}",
        "protocol": "broke its channel to the control plane",
        "start": "could not be started",
    }.get(fact.reason, fact.reason)
    again = "" if job.function.spec.retries.max_retries else "; retries=1 would run it again"
    detail = f": {fact.detail}" if fact.detail else ""
    return f"the process that ran {job.job_id} {what}{detail}{again}"
