"""How jobs get in: at once where there is room, later for those who wait for it, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apothic_backends.commands import OpenItems, RunJob, SubmitJob
from apothic_backends.model.errors import (
    ApothicError,
    IdempotencyConflict,
    QueueFull,
    UsageError,
)
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.callers import Callers
from apothic_emulator.core.effects import LATER
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.functions import Function
from apothic_emulator.core.items import Items, check_kind
from apothic_emulator.core.jobs import NO_ARGUMENTS, Job
from apothic_emulator.core.levels import check_level
from apothic_emulator.core.pools import Pool, RoomWait

_Call = SubmitJob | RunJob | OpenItems

AskAgain = Callable[[Asked, float, Callable[[Any, Asked, float], object]], None]
"""Has a rule answer what was asked before."""


class Admission:
    """The rules for new jobs, over callers and pools."""

    def __init__(
        self,
        callers: Callers,
        items: Items,
        find: Callable[[str], Pool],
        ask_again: AskAgain,
    ) -> None:
        self.callers = callers
        self.ledger = callers.ledger
        self.costs = self.ledger.costs
        self.items = items
        self.find = find
        self._ask_again = ask_again
        self.keep: Callable[[Job], None] | None = None
        """Writes jobs down that outlive their callers."""
        self.crowded: list[Pool] = []
        """Pools for whose room somebody waits."""

    def submit(self, command: SubmitJob, asked: Asked, now: float) -> Any:
        """Queue a call, unless it was queued under its key before; the reply is its id."""
        pool = self.find(command.function_id)
        check_kind(_called(pool, command), is_generator=False)
        known = self._keyed(pool, command)
        if known is not None:
            return known.job_id
        if (pool.room or not self._fits(pool, command)) and not self._lets_in(pool, asked):
            return self._await_room(pool, command, asked, now)
        return self._admit(pool, command, now).job_id

    def _await_room(
        self, pool: Pool, command: SubmitJob | RunJob, asked: Asked, now: float
    ) -> object:
        """Hold the reply back until there is room, if the caller wants to wait for it."""
        is_stuck = asked.origin is not None and self._is_full(2)
        if not command.wait_for_room or self.costs.is_exhausted or is_stuck:
            raise self._refusal(pool)
        self.ledger.check_waits()
        caller = self.callers.job(asked, now)
        if caller is not None:
            check_level(caller, caller.level + 1)
        wait = self.ledger.waits[asked.token] = RoomWait(asked, pool)
        if pool not in self.crowded:
            self.crowded.append(pool)
        self.callers.park(wait, asked, caller, now)
        return LATER

    def _keyed(self, pool: Pool, command: SubmitJob) -> Job | None:
        """The job that was queued under the same key."""
        if command.key is None:
            return None
        spec = pool.function.spec
        job = self.ledger.keyed.get((spec.app_name, spec.name, command.key))
        if job is not None and job.arguments not in (command.arguments, NO_ARGUMENTS):
            raise IdempotencyConflict(
                f"the key {command.key!r} stands for {job.job_id}, a call of {spec.name!r} with "
                "other arguments; use another key, or the same arguments",
                job_id=job.job_id,
                key=command.key,
            )
        return job

    def run(self, command: RunJob, asked: Asked, now: float) -> Any:
        """Queue a call, and owe its end."""
        pool = self.find(command.function_id)
        spec = pool.function.spec
        if spec.is_generator or spec.cls is not None or command.method:
            check_kind(_called(pool, command), is_generator=False)
        if (pool.room or not self._fits(pool, command)) and not self._lets_in(pool, asked):
            return self._await_room(pool, command, asked, now)
        return self._begin(pool, command, asked, now)

    def _begin(self, pool: Pool, command: RunJob, asked: Asked, now: float) -> object:
        """Queue a job whose end is the reply."""
        job = self._admit(pool, command, now)
        try:
            self.callers.wait_for(job, asked, now, last=True, owned=True)
        except ApothicError:
            self.callers.attempts.cancel(job, now)
            self.ledger.release(job)
            raise
        wait = self.ledger.waits.get(asked.token)
        if wait is not None:  # else no machine can run it, and it has ended already
            wait.runs = True
        return LATER

    def open(self, command: OpenItems, asked: Asked, now: float) -> str:
        """Queue a call of a generator."""
        pool = self.find(command.function_id)
        check_kind(_called(pool, command), is_generator=True)
        if pool.room or not self._fits(pool, command):
            raise self._refusal(pool)
        opener = self.callers.executor(asked.origin.executor) if asked.origin is not None else None
        job = self._admit(pool, command, now)
        self.items.open(job, opener)
        return job.job_id

    def _fits(self, pool: Pool, command: _Call) -> bool:
        """Whether a job may be queued now, by number, by bytes and by what it may cost."""
        if not pool.has_room or self.costs.is_exhausted:
            return False
        ledger, quotas = self.ledger, self.ledger.quotas
        if len(ledger.jobs) >= quotas.jobs and self._is_full():
            return False
        held = ledger.payload_bytes
        return not held or held + command.arguments.nbytes <= quotas.bytes

    def _is_full(self, times: int = 1) -> bool:
        """Whether so many times as many jobs wait as the account may have."""
        return self.ledger.waiting >= self.ledger.quotas.jobs * times

    def _lets_in(self, pool: Pool, asked: Asked) -> bool:
        """Whether a job may call others though too many wait: it might never end otherwise."""
        is_inside = asked.origin is not None and pool.has_room and not self.costs.is_exhausted
        return is_inside and self._is_full() and not self._is_full(2)

    def _refusal(self, pool: Pool) -> ApothicError:
        """Why a job is not queued."""
        return self.costs.refusal() if self.costs.is_exhausted else self._queue_full(pool)

    def admit_scheduled(
        self, pool: Pool, arguments: Payload, told: dict[str, Any], now: float
    ) -> Job:
        """Queue a call that runs by itself, or say why not: `QueueFull`, `BalanceExhausted`."""
        call = SubmitJob(pool.function.function_id, arguments)
        if pool.room or not self._fits(pool, call):
            raise self._refusal(pool)
        return self._admit(pool, call, now, told)

    def _admit(
        self, pool: Pool, command: _Call, now: float, told: dict[str, Any] | None = None
    ) -> Job:
        function = _called(pool, command) if command.method else pool.function
        job = Job(self.ledger.next_number(), function, command.arguments, now)
        self.ledger.add(job, told)
        if type(command) is SubmitJob:
            if command.key is not None:
                spec = pool.function.spec
                job.key = (spec.app_name, spec.name, command.key)
                self.ledger.keyed[job.key] = job
            if self.keep is not None and not command.owned:
                self.keep(job)
        pool.put(job)
        self.callers.scheduler.fill(pool, now)
        return job

    def make_room(self, now: float) -> None:
        """Admit submissions that wait, for as long as there is room."""
        for pool in self.crowded:
            self._admit_waiting(pool, now)
            while self.callers.levels.lift(pool):
                self.callers.scheduler.fill(pool, now)
                self._admit_waiting(pool, now)
        self.crowded = [pool for pool in self.crowded if pool.room]

    def ask_again(self, pool: Pool, now: float) -> None:
        """Have those who wait for room ask again: what they call by its name may be another one."""
        for _ in range(len(pool.room)):
            wait = pool.room.popleft()
            self.ledger.go_on(wait)
            is_run = isinstance(wait.command, RunJob)
            self._ask_again(wait.asked, now, self.run if is_run else self.submit)

    def _admit_waiting(self, pool: Pool, now: float) -> None:
        while pool.room and self._fits(pool, pool.room[0].command):
            wait = pool.room.popleft()
            self.ledger.go_on(wait)
            self._ask_again(wait.asked, now, self._take_room)

    def _take_room(self, command: SubmitJob | RunJob, asked: Asked, now: float) -> object:
        """Queue what has waited for room."""
        pool = self.find(command.function_id)
        if isinstance(command, RunJob):
            return self._begin(pool, command, asked, now)
        return (self._keyed(pool, command) or self._admit(pool, command, now)).job_id

    def _queue_full(self, pool: Pool) -> QueueFull:
        spec, quotas = pool.function.spec, self.ledger.quotas
        if not pool.has_room or pool.room:
            text = f"max_pending_tasks={spec.max_pending_tasks} jobs of {spec.name!r} wait already"
        elif self.ledger.waiting >= quotas.jobs:
            text = f"{quotas.jobs} jobs of all functions wait already"
        else:
            text = f"{quotas.bytes >> 20} MiB of arguments wait already"
        return QueueFull(
            f"{text}. Wait for some, raise max_pending_tasks, or use map(), which waits for room",
            function=spec.name,
            max_pending_tasks=spec.max_pending_tasks,
        )


def _called(pool: Pool, command: _Call) -> Function:
    """What is called: a function, or a method of an instance.

    Raises:
        UsageError: that is no method, or one has to be named.
    """
    function = pool.function
    if command.method:
        return function.of_method(command.method)
    if function.spec.cls is not None:
        raise UsageError(f"{function.spec.name!r} is a class: say which method is called")
    return function
