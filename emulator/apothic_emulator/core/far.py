"""What happens to attempts on agents: they begin when told to, go adrift, and are found again."""

from __future__ import annotations

from typing import Any

from apothic_emulator.core.attempts import Attempts
from apothic_emulator.core.batches import BatchExecutor
from apothic_emulator.core.effects import Interrupt, Kill
from apothic_emulator.core.executors import Executor, ExecutorStatus
from apothic_emulator.core.facts import (
    Accepted,
    Ended,
    Loaded,
    LoadFailed,
    Recalled,
    Refused,
    Reported,
)
from apothic_emulator.core.hellos import BACK, BEGUN, HeldExecutor
from apothic_emulator.core.jobs import NEVER, Job
from apothic_emulator.core.kinds import executor_of
from apothic_emulator.core.losses import PREEMPTED
from apothic_emulator.core.pools import Pool

DISCONNECT = "disconnect"
"""Why an attempt was lost whose machine is gone."""
GPU = "gpu"
"""Why one was lost whose GPU is in trouble."""

GONE = (DISCONNECT, PREEMPTED)
"""Why all that a machine had is lost."""

_ADRIFT, _STOPPING = ExecutorStatus.ADRIFT, ExecutorStatus.STOPPING
_READY, _STARTING = ExecutorStatus.READY, ExecutorStatus.STARTING
_OVER = (_STOPPING, ExecutorStatus.RETIRING, _ADRIFT)

Held = tuple[int, int, tuple[str, ...]]
"""Where an executor was that had no job: agent, executor, and the executor's GPUs."""

Place = tuple[int, int, int, tuple[str, ...]]
"""Where a job was when it was written down: agent, executor and call, and the executor's GPUs."""


class FarAttempts(Attempts):
    """The rules for attempts, where some executors are on agents."""

    def accepted(self, executor: Executor, fact: Accepted, now: float) -> None:
        """Its agent has the job: it begins, if it stands where the executor works."""
        job = self.ledger.jobs.get(fact.job)
        if job is None or job not in executor.line or job.attempt != fact.attempt:
            return  # it has come back meanwhile
        if executor.accepted is not None and job.started_at is None:
            executor.accepted.add(job.number)
            self.scheduler.advance(executor, now)

    def recalled(self, executor: Executor, fact: Recalled, now: float) -> None:
        """Unstarted jobs are back; what was accepted with them is so no more."""
        if executor.accepted:
            executor.accepted.difference_update(fact.jobs)
        super().recalled(executor, fact, now)

    def refused(self, executor: Executor, fact: Refused, now: float) -> None:
        """It is out of date: others get what was not sent to it, and it ends after its calls."""
        if executor.accepted:
            executor.accepted.difference_update(fact.jobs)
        for job in [job for job in executor.line if job.number in fact.jobs]:
            executor.take_out(job)
            self._put_back(job, now)
        self.use_up(executor, now)

    def use_up(self, executor: Executor, now: float) -> None:
        """It gets nothing more, and ends after its calls."""
        executor.is_used_up = True
        if executor.status is _STARTING:
            self.scheduler.kill(executor, now)
        else:
            self.scheduler.settle(executor, now)
        if executor.serves:
            self.on_service(executor, None, now)

    def lose(self, executor: Executor, now: float, reason: str = DISCONNECT) -> None:
        """Its machine is gone, or has stopped it."""
        end = Ended(executor.number, reason)
        self.ended(executor, end, now)
        if executor.serves:
            self.on_service(executor, end, now)

    def ended(self, executor: Executor, fact: Ended, now: float) -> None:
        """The process is gone, and others may have its place."""
        if executor.accepted is not None:
            unbegun = [job.number for job in executor.line if job.started_at is None]
            fact = fact.replace(unstarted=(*fact.unstarted, *unbegun))
        trouble = self.scheduler.agents.trouble_of(executor)
        if trouble and fact.reason not in GONE:
            fact = fact.replace(reason=GPU, detail=trouble)
        if executor.agent or executor.gpus:
            self.scheduler.agents.take(executor)
        super().ended(executor, fact, now)
        if self.scheduler.agents.starved:
            self.scheduler.feed(now)

    def _never_worked(self, executor: Executor, fact: Ended, now: float) -> None:
        """A machine that is gone says nothing of a function."""
        if fact.reason not in (*GONE, GPU):
            super()._never_worked(executor, fact, now)

    def look(self, now: float) -> None:
        """See to the executors that are due, and to who has waited long for a place for one."""
        due: Any = [*self.scheduler.dues.take(now)]
        for executor in due:
            self.scheduler.look_by(executor, self.tick(executor, now))
        if self.scheduler.clearing.tick(now):
            self.scheduler.feed(now)

    def tick(self, executor: Executor, now: float) -> float:
        """As for others, but not for those of which nobody hears."""
        return NEVER if executor.status is _ADRIFT else super().tick(executor, now)

    # --- cuts -----------------------------------------------------------------------------------

    def set_adrift(self, executor: Executor, now: float) -> None:
        """Nothing is heard of it for now."""
        if executor.status not in _OVER:
            executor.before = executor.status
            executor.become(_ADRIFT)
            executor.step_at = NEVER
            if executor.serves:
                self.on_service(executor, None, now)

    def take_unbegun(self, executor: Executor, now: float) -> None:
        """What an executor that is adrift was not told to begin goes elsewhere.

        It cannot begin any of that, and gives it back when it is heard of again.
        """
        if executor.status is _ADRIFT and any(job.started_at is None for job in executor.line):
            self.scheduler.recall(executor)
            self._put_unbegun_back(executor, now)

    def _put_unbegun_back(self, executor: Executor, now: float) -> None:
        for job in [job for job in executor.line if job.started_at is None]:
            executor.take_out(job)
            self._put_back(job, now)
            if executor.accepted:
                executor.accepted.discard(job.number)

    def find(self, executor: Executor, now: float) -> None:
        """It is heard of again; if it was given up, that is all."""
        if executor.status is _ADRIFT and not executor.is_given_up:
            executor.become(executor.before)
            if executor.before is _STARTING:
                executor.step_at = now + executor.start_s
            self.scheduler.settle(executor, now)
            for moment in (executor.step_at, *(job.deadline for job in executor.running)):
                self.scheduler.look_by(executor, moment)
            if executor.serves:
                self.on_service(executor, None, now)

    def prepared(self, executor: Executor, now: float) -> None:
        """It loads from now on; so it is not adrift."""
        self.find(executor, now)
        super().prepared(executor, now)

    def loaded(self, executor: Executor, fact: Loaded, now: float) -> None:
        """The executor takes jobs; so it is not adrift."""
        self.find(executor, now)
        super().loaded(executor, fact, now)

    def load_failed(self, executor: Executor, fact: LoadFailed, now: float) -> None:
        """As for others; and it is not adrift."""
        self.find(executor, now)
        super().load_failed(executor, fact, now)

    def give_up(self, executor: Executor, now: float) -> None:
        """Nothing was heard of it for so long that it has stopped all by itself.

        What may run again does so elsewhere. Of the rest, the agent may yet bring the outcome.
        """
        self.set_adrift(executor, now)
        executor.silent_at = now
        self._put_unbegun_back(executor, now)
        for job in list(executor.line):
            if job.stop is not None:
                executor.take_out(job)
                self.charge(executor, job, now)
                self._end_stopped(executor, job, now)
            elif job.function.spec.retries.max_retries and job.may_run_again:
                executor.take_out(job)
                self.charge(executor, job, now)
                self._lost(executor, job, Ended(executor.number, DISCONNECT), now)
        executor.before, executor.step_at = _STOPPING, NEVER
        if not executor.line:
            self.lose(executor, now)
        self.scheduler.effects.append(Kill(executor.number))

    def reported_late(self, fact: Reported, now: float) -> None:
        """An attempt that was given up has ended after all: that is told, and changes nothing."""
        job = self.ledger.jobs.get(fact.job)
        if job is not None and not job.is_final:
            told = {"status": "succeeded"}
            if fact.error is not None:
                told = {"status": "failed", "error": fact.error.code}
            self.ledger.events.append("job.late_report", job.number, now, fact.attempt, told)

    # --- a restart of the control plane ---------------------------------------------------------

    def take_up(self, job: Job, place: Place, now: float) -> Executor:
        """An agent had the job when the control plane ended: wait for what it says."""
        agent, number, call, gpus = place
        executor = self.ledger.executors.get(number)
        if executor is None:
            pool = self.pools[job.function.number]
            executor = self._await_executor(pool, (agent, number, gpus), now)
        job.executor = number
        if isinstance(executor, BatchExecutor):
            executor.join(job, call)
        else:
            executor.line.append(job)
            executor.census.in_lines += 1
            executor.line.sort(key=lambda job: (job.started_at is None, job.number))
        executor.loaded |= job.started_at is not None
        if job.started_at is not None:
            job.deadline = job.started_at + job.function.spec.timeout_s
        return executor

    def await_executor(self, pool: Pool, place: Held, now: float) -> bool:
        """An agent had an executor without a job: wait for what it says; False if it is none."""
        if place[0] not in self.scheduler.agents.far:
            return False
        self._await_executor(pool, place, now).loaded = True
        return True

    def _await_executor(self, pool: Pool, place: Held, now: float) -> Executor:
        agent, number, gpus = place
        executor = executor_of(pool.function)(number, pool.function, now)
        executor.status, executor.before, executor.step_at = _ADRIFT, _STARTING, NEVER
        self.ledger.executors[number] = executor
        pool.add(executor)
        self.scheduler.agents.put(executor, agent, gpus)
        return executor

    def match(self, executor: Executor, held: HeldExecutor, now: float) -> None:
        """An executor is as its agent says, and all that does not agree is put right."""
        phases = {(it.job, it.attempt): it.phase for it in held.jobs}
        cancelled: list[Job] = []
        for job in list(executor.line):
            phase = phases.pop((job.number, job.attempt), None)
            if job.started_at is None or phase == BACK:
                executor.take_out(job)
                self._put_back(job, now)
            elif phase is None:
                executor.take_out(job)
                self.charge(executor, job, now)
                self._lost(executor, job, Ended(executor.number, DISCONNECT), now)
            elif phase == BEGUN and job.stop == "cancel":
                cancelled.append(job)
        executor.loaded, executor.recalling = held.loaded, False
        executor.before = _READY if held.loaded else _STARTING
        strangers = [job for (job, _), phase in phases.items() if phase == BEGUN]
        executor.is_used_up |= bool(strangers)  # it ends after what it has of ours
        for job in strangers:
            self.scheduler.effects.append(Interrupt(executor.number, job))
        for job in cancelled:
            self.stop(executor, job, now)  # the word for that may have gone with who was to say it
