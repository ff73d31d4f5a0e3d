"""Which job runs where; when executors start, are relieved of their line, and stop."""

from __future__ import annotations

from collections.abc import Callable

from apothic_emulator.core.effects import Dispatch, Effect, Recall, Retire, StartExecutor
from apothic_emulator.core.executors import IDLE_S, RETIRE_S, STEPS, Executor, ExecutorStatus
from apothic_emulator.core.jobs import Job
from apothic_emulator.core.pools import PREFETCH_BELOW_S, Pool

Begin = Callable[[Executor, Job, float], None]
NEVER = float("inf")


class Scheduler:
    """Gives jobs to executors. `effects` collects what is to be done; the plane empties it."""

    def __init__(self, begin: Begin) -> None:
        self.effects: list[Effect] = []
        self.alarm = NEVER
        """When to look at the deadlines; never later than the first of them, perhaps earlier."""
        self.executors: dict[int, Executor] = {}
        self._pools: dict[int, Pool] = {}
        self._begin = begin
        self._last_executor = 0

    def wake_at(self, moment: float) -> None:
        """See to it that deadlines are looked at by then."""
        if moment < self.alarm:
            self.alarm = moment

    def fill(self, pool: Pool, now: float) -> None:
        """Hand out waiting jobs for as long as some executor should have one."""
        queue = pool.queue
        while queue:
            executor = pool.pick()
            if executor is None:
                if not pool.may_start:
                    return
                executor = self._start(pool, now)
                if len(pool.executors) > 1 and self._has_ready(pool):
                    continue  # it gets its first job when it has loaded
            self._dispatch(executor, queue.popleft(), now)

    @staticmethod
    def _has_ready(pool: Pool) -> bool:
        return any(e.status is ExecutorStatus.READY for e in pool.executors.values())

    def _start(self, pool: Pool, now: float) -> Executor:
        self._last_executor += 1
        function = pool.function
        executor = Executor(self._last_executor, function, now)
        self.executors[executor.number] = pool.executors[executor.number] = executor
        self.effects.append(
            StartExecutor(executor.number, function.number, function.spec, function.code)
        )
        self.wake_at(now + function.spec.timeout_s)
        return executor

    def _dispatch(self, executor: Executor, job: Job, now: float) -> None:
        job.move("dispatch")
        job.attempt += 1
        job.executor = executor.number
        line = executor.line
        line.append(job)
        arguments = job.arguments
        assert arguments is not None, "arguments are kept until a job has ended"
        self.effects.append(Dispatch(executor.number, job.number, job.attempt, arguments))
        if executor.status is ExecutorStatus.READY:
            if len(line) <= executor.slots:
                self._begin(executor, job, now)
            else:
                self.wake_at((line[0].started_at or now) + PREFETCH_BELOW_S)

    def advance(self, executor: Executor, now: float) -> None:
        """Begin the jobs that have moved up to a slot."""
        for job in executor.running:
            if job.started_at is None:
                self._begin(executor, job, now)

    def recall(self, executor: Executor) -> None:
        """Ask for an executor's line back, once at a time."""
        if not executor.recalling and executor.line:
            executor.recalling = True
            self.effects.append(Recall(executor.number))

    def stop(self, executor: Executor, now: float) -> None:
        """Stop a busy executor: relieve it of its line, then step by step."""
        if executor.status is ExecutorStatus.STOPPING:
            return
        executor.status = ExecutorStatus.STOPPING
        executor.step = 0
        self.recall(executor)
        self._step(executor, now)

    def kill(self, executor: Executor, now: float) -> None:
        """Kill an executor now."""
        if executor.status is not ExecutorStatus.STOPPING:
            executor.status = ExecutorStatus.STOPPING
        executor.step = len(STEPS) - 1
        self._step(executor, now)

    def retire(self, executor: Executor, now: float) -> None:
        """Let an executor without work end by itself, within limits."""
        executor.status = ExecutorStatus.STOPPING
        executor.step = len(STEPS) - 1
        executor.step_at = now + RETIRE_S
        self.wake_at(executor.step_at)
        self.recall(executor)
        self.effects.append(Retire(executor.number))

    def _step(self, executor: Executor, now: float) -> None:
        self.effects.append(executor.next_step(now))
        assert executor.step_at is not None
        self.wake_at(executor.step_at)

    def idle(self, executor: Executor, now: float) -> None:
        """Note that an executor has nothing to do."""
        executor.idle_since = now
        self.wake_at(now + IDLE_S)

    def tick(self, executor: Executor, now: float) -> float:
        """Do what is due for one executor; when to look again."""
        due = NEVER
        if executor.step_at is not None:
            if executor.step_at <= now:
                if executor.status is ExecutorStatus.STARTING:
                    executor.status = ExecutorStatus.STOPPING
                self._step(executor, now)
            due = executor.step_at
        if executor.status is not ExecutorStatus.READY:
            return due
        line = executor.line
        if not line:
            if executor.idle_since + IDLE_S <= now:
                self.retire(executor, now)
                return executor.step_at or NEVER
            return min(due, executor.idle_since + IDLE_S)
        if len(line) > executor.slots:
            relieve_at = (line[0].started_at or now) + PREFETCH_BELOW_S
            if relieve_at > now:
                due = min(due, relieve_at)
            else:
                self.recall(executor)
        return due
