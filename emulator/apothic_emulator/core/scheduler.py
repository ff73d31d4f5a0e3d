"""Which job runs where; when executors start, are relieved of their line, and stop."""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import ceil

from apothic_backends.model.jobs import ErrorInfo
from apothic_emulator.core.agents import Agents, Place
from apothic_emulator.core.batches import BatchExecutor, BatchPool
from apothic_emulator.core.clearing import Clearing
from apothic_emulator.core.costs import Costs
from apothic_emulator.core.effects import (
    Dispatch,
    DispatchBatch,
    Effect,
    FindGpus,
    Go,
    Recall,
    Retire,
    StartExecutor,
    sent,
)
from apothic_emulator.core.executors import IDLE_S, RETIRE_S, STEPS, Executor, ExecutorStatus
from apothic_emulator.core.jobs import NEVER, Job
from apothic_emulator.core.kinds import executor_of
from apothic_emulator.core.leases import Leases
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.reasons import error_of, mismatch

Begin = Callable[[Executor, Job, float], None]
Doom = Callable[[Pool, ErrorInfo, float], None]
"""Ends what waits for executors that can be nowhere."""

_STARTING, _READY = ExecutorStatus.STARTING, ExecutorStatus.READY
_DRAINING, _RETIRING = ExecutorStatus.DRAINING, ExecutorStatus.RETIRING
_STOPPING = ExecutorStatus.STOPPING


class Scheduler:
    """Gives jobs to executors. `effects` collects what is to be done; the plane takes it."""

    def __init__(
        self,
        executors: dict[int, Executor],
        begin: Begin,
        doom: Doom,
        agents: Agents,
        costs: Costs,
    ) -> None:
        self.idle_s = IDLE_S
        """An executor without work ends after this long."""
        self.effects: list[Effect] = []
        self.alarm = NEVER
        """When to look at the deadlines; never later than the first of them, perhaps earlier."""
        self.dues = Leases(self.wake_at)
        """Executors by when to look at them: perhaps early, never late."""
        self.executors = executors
        self.agents = agents
        self.clearing = Clearing(agents, self.retire, self.wake_at)
        self.costs = costs
        self._begin = begin
        self._doom = doom
        self._last_executor = 0

    def wake_at(self, moment: float) -> None:
        """See to it that deadlines are looked at by then."""
        if moment >= self.alarm:
            return
        self.alarm = moment

    def look_by(self, executor: Executor, moment: float) -> None:
        """See to it that somebody looks at an executor by then."""
        if moment < executor.due:
            self.dues.set(executor, moment)

    @property
    def last_executor(self) -> int:
        """The highest number that an executor has got."""
        return self._last_executor

    def number_after(self, number: int) -> None:
        """Give executors higher numbers than that."""
        self._last_executor = max(self._last_executor, number)

    # --- jobs to executors ----------------------------------------------------------------------

    def fill(self, pool: Pool, now: float) -> None:
        """Hand out waiting jobs for as long as some executor should have one."""
        if type(pool) is BatchPool:
            self._fill_with_batches(pool, now)
            return
        queue = pool.queue
        while queue:
            level = queue[0].level
            if self.costs.is_exhausted and not level:
                return  # but what running code waits for goes on, as that does
            executor = pool.pick(level, now) or self._another(pool, level, now)
            if executor is None:
                return
            self._dispatch(executor, queue.popleft(), now)

    def _another(self, pool: Pool, level: int, now: float) -> Executor | None:
        """The executor for a job that has found none, once as many as it may have are started."""
        executor: Executor | None = None
        while executor is None and pool.may_start(level, now):
            executor = self._start(pool, level, now)
            if executor is None:
                break
            if len(pool.executors) > 1 and _has_ready(pool):
                executor = pool.pick(level, now)  # the new one gets its first job when it is loaded
        return executor

    def _fill_with_batches(self, pool: BatchPool, now: float) -> None:
        """The same with batches. The first input has an executor started, which loads meanwhile."""
        while pool.queue and pool.has_place(pool.queue[0].level, now):
            if self.costs.is_exhausted and not pool.queue[0].level:
                return
            jobs = pool.next_batch(now)
            if not jobs:
                if not pool.executors:
                    self._start(pool, pool.queue[0].level, now)
                self.wake_at(pool.due_at)
                return
            level = jobs[0].level
            executor = pool.pick(level, now) or self._another(pool, level, now)
            if not isinstance(executor, BatchExecutor):
                return
            pool.take(jobs)
            self._dispatch_batch(executor, jobs, now)

    def start(self, pool: Pool, now: float, near: Collection[int] = ()) -> Executor | None:
        """Start a process of a service, best on these agents; None if there is no place now."""
        place = self.agents.place_service(pool.function, near)
        if place is not None:
            if self.agents.market is not None:
                self.agents.market.placed(pool)
            return self._make(pool, place, now)
        self._find_gpus(pool)
        if self.agents.market is not None:
            self.agents.market.wanted(pool, now)
        for executor in self.agents.to_free(pool.function, 0):
            self.retire(executor, now)
        return None

    def why_not(self, pool: Pool) -> ErrorInfo | None:
        """Why there can never be a place for an executor; None if there may be one later."""
        agents, spec = self.agents, pool.function.spec
        if agents.may_come(spec):
            return None
        strangers = agents.strangers(spec) if spec.python else ()
        if strangers:
            return mismatch(strangers, spec)
        return error_of(agents, spec) if agents.has_home and not agents.could_ever(spec) else None

    def _start(self, pool: Pool, level: int, now: float) -> Executor | None:
        place = self.agents.place(pool.function, level)
        if place is None:
            self._starve(pool, level, now)
            return None
        return self._make(pool, place, now)

    def _make(self, pool: Pool, place: Place, now: float) -> Executor:
        function = pool.function
        self._last_executor += 1
        executor = executor_of(function)(self._last_executor, function, now)
        self.executors[executor.number] = executor
        pool.add(executor)
        self.agents.start(executor, place)
        executor.step_at = now + executor.start_s  # which depends on the place
        self.effects.append(
            StartExecutor(executor.number, function.number, function.spec, function.code, *place)
        )
        self.look_by(executor, executor.step_at)
        if self.clearing.found(pool, executor.agent):
            self.feed(now)
        for other in list(self.agents.starved.values()):  # it may have the place they waited for
            self._make_room(other, now)
        return executor

    def drop(self, pool: Pool, executor: Executor) -> None:
        """It is gone."""
        del self.executors[executor.number]
        pool.drop(executor)
        self.dues.drop(executor)

    def _starve(self, pool: Pool, level: int, now: float) -> None:
        """There is no place for an executor: those without work make room, for it or for later."""
        agents = self.agents
        never = self.why_not(pool)
        if never is not None:
            self._doom(pool, never, now)
            return
        agents.starved[pool.function.number] = pool
        self.clearing.starves(pool)
        self._find_gpus(pool)
        if agents.market is not None:
            agents.market.wanted(pool, now)
        self._make_room(pool, now)

    def _make_room(self, pool: Pool, now: float) -> None:
        """Have those without work end that stand in the way of a pool's next job."""
        if pool.queue and pool.may_start(pool.queue[0].level, now):
            for executor in self.agents.to_free(pool.function, pool.queue[0].level):
                self.retire(executor, now)

    def _find_gpus(self, pool: Pool) -> None:
        """Have somebody look which GPUs this machine has, once, if a function wants any."""
        agents, wants_gpus = self.agents, pool.function.spec.gpu_count > 0
        if wants_gpus and not agents.has_looked and not agents.is_looking:
            agents.is_looking = True
            self.effects.append(FindGpus())

    def feed(self, now: float) -> None:
        """Somewhere is more room: it is for the pools that have found none, the oldest first."""
        starved, self.agents.starved = self.agents.starved, {}
        hungry = [pool for pool in starved.values() if pool.queue]
        for pool in sorted(hungry, key=lambda pool: pool.queue[0].number):
            self.fill(pool, now)

    def _dispatch(self, executor: Executor, job: Job, now: float) -> None:
        job.move("dispatch")
        job.attempt += 1
        job.executor = executor.number
        line = executor.line
        line.append(job)
        executor.census.in_lines += 1
        if job.kept is not None:
            job.kept.note()
        self.effects.append(Dispatch(executor.number, job.number, job.attempt, job.arguments))
        if executor.status is _READY:
            if len(line) <= executor.slots:
                if executor.accepted is None:
                    self._begin(executor, job, now)
            else:
                self.look_by(executor, executor.relieve_at(now))

    def _dispatch_batch(self, executor: BatchExecutor, jobs: list[Job], now: float) -> None:
        """They run together, so whoever waits for one of them waits for all: at one level."""
        for job in jobs:
            job.move("dispatch")
            job.attempt += 1
            job.executor = executor.number
            job.level = jobs[0].level
            if job.kept is not None:
                job.kept.note()
        executor.take_in(jobs)
        number = executor.number
        each = tuple(Dispatch(number, job.number, job.attempt, job.arguments) for job in jobs)
        self.effects.append(DispatchBatch(number, each))
        if executor.status is _READY and executor.accepted is None:
            for job in jobs:
                self._begin(executor, job, now)

    def advance(self, executor: Executor, now: float) -> None:
        """Begin the jobs that have moved up to a slot.

        Not while some are being taken back: what is left after that has moved up.
        """
        if not executor.recalling and executor.status in (_READY, _STOPPING):
            for job in executor.unbegun:
                if job.started_at is None:
                    self._begin(executor, job, now)

    def go(self, executor: Executor, accepted: set[int], job: Job) -> None:
        """Have an agent begin a job, once it is written down that it has begun."""
        if job.kept is not None:
            job.kept.note()
        if job.number in accepted:
            accepted.remove(job.number)
            self.effects.append(Go(executor.number, job.number))

    def recall(self, executor: Executor) -> None:
        """Ask for an executor's line back, once at a time."""
        if not executor.recalling and executor.line:
            executor.recalling = True
            self.effects.append(Recall(executor.number))

    def take_back_effects(self, executor: Executor) -> set[int]:
        """Forget what was to be done in this very step; gives the jobs that were not sent."""
        mine = [effect for effect in self.effects if effect.executor == executor.number]
        self.effects = [effect for effect in self.effects if effect.executor != executor.number]
        return {job for effect in mine for job in sent(effect)}

    # --- ends of executors ----------------------------------------------------------------------

    def stop(self, executor: Executor, now: float) -> None:
        """Stop an executor: relieve it of its line, then step by step."""
        if executor.status is _STOPPING:
            return
        executor.become(_STOPPING)
        executor.step = 0
        if executor.loaded:
            self.recall(executor)
        self.step(executor, now)

    def step(self, executor: Executor, now: float) -> None:
        """Go on with stopping."""
        executor.become(_STOPPING)
        self.agents.room.rests(executor)
        self.effects.append(executor.next_step(now))
        self.look_by(executor, executor.step_at)

    def kill(self, executor: Executor, now: float) -> None:
        """Kill an executor now."""
        executor.step = len(STEPS) - 1
        self.step(executor, now)

    def retire(self, executor: Executor, now: float) -> None:
        """Let an executor end by itself, once it has done what it works on, and within limits."""
        if executor.status is not _DRAINING:
            executor.become(_DRAINING)
            self.recall(executor)
        if executor.recalling or not executor.is_resting:
            return
        executor.become(_RETIRING)
        executor.step = len(STEPS) - 1
        executor.step_at = now + executor.retire_s
        self.look_by(executor, executor.step_at)
        self.effects.append(Retire(executor.number))

    def discard(self, executor: Executor, now: float) -> None:
        """Have one end that is starting, and not wanted any more.

        It may be ready already, and have something to save, though it is not known yet: if that is
        told soon, it ends by itself.
        """
        executor.is_used_up = True
        executor.step_at = min(executor.step_at, now + RETIRE_S)
        self.look_by(executor, executor.step_at)

    def settle(self, executor: Executor, now: float) -> None:
        """Go on with an executor whose line has become shorter."""
        if executor.deaf:
            return
        if executor.status is _STOPPING:
            self._settle_stopping(executor, now)
        if executor.status is _DRAINING or (executor.is_used_up and executor.status is _READY):
            self.retire(executor, now)
        elif executor.line:
            self.advance(executor, now)
        elif executor.status is _READY and not executor.serves:
            executor.idle_since = now
            self.look_by(executor, self._idle_until(executor))
        if not executor.line:
            self._rest(executor, now)

    def _rest(self, executor: Executor, now: float) -> None:
        """It has no work: it may have to make room for who waits for a place."""
        self.agents.room.rests(executor)
        if self.agents.starved:
            for idle in self.agents.due(executor):
                self.retire(idle, now)

    def _settle_stopping(self, executor: Executor, now: float) -> None:
        if executor.can_be_reprieved:
            executor.make_ready()
        elif not executor.line:
            self.kill(executor, now)

    def _idle_until(self, executor: Executor) -> float:
        """When one without work ends. On agents it is with others in the same second.

        There may be thousands of those, and whenever one is due all are looked at.
        """
        patience_s = self.idle_s if executor.keep_s is None else executor.keep_s
        until = executor.idle_since + patience_s
        return ceil(until) if executor.agent and until < NEVER else until

    def look_after(self, executor: Executor, now: float) -> float:
        """See to a ready executor that may be idle, or slower than believed; when to look again."""
        line = executor.line
        if executor.serves:
            return NEVER  # it says itself when it has had nothing to do
        if not line:
            until = self._idle_until(executor)
            if until <= now:
                self.retire(executor, now)
                return executor.step_at
            return until
        if len(line) > executor.slots:
            moment = executor.relieve_at(now)
            if moment > now:
                return moment
            self.recall(executor)
        return NEVER


def _has_ready(pool: Pool) -> bool:
    return any(e.status is _READY and not e.parked for e in pool.executors.values())
