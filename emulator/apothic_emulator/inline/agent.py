"""Carries out in this process what the core wants of executors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apothic_backends.ticket import Ticket
from apothic_emulator.core.doors import Listen, Listening
from apothic_emulator.core.effects import (
    Credit,
    Dispatch,
    DispatchBatch,
    DumpStack,
    Effect,
    Interrupt,
    Kill,
    Recall,
    Retire,
    StartExecutor,
    Terminate,
    sent,
)
from apothic_emulator.core.facts import Asked, Ended, Input, Recalled, Refused, Reported
from apothic_emulator.inline.executor import Executor, Work

Make = Callable[[StartExecutor], Executor]

NO_DOORS = "the inline backend serves nothing; services need APOTHIC_BACKEND=local, or a server"


class Agent:
    """The inline executors. Everything here happens under the host's lock."""

    def __init__(self, post: Callable[[Input], None], make: Make) -> None:
        self.executors: dict[int, Executor] = {}
        self.ended: list[Executor] = []
        """Those that are to be closed."""
        self._post = post
        self._make = make
        self._effects: dict[type, Callable[[Executor, Any], None]] = {
            Dispatch: lambda executor, effect: executor.dispatch(effect),
            DispatchBatch: lambda executor, effect: executor.dispatch(*effect.jobs),
            Recall: self._recall,
            Interrupt: self._interrupt,
            Credit: lambda executor, effect: executor.credit(effect),
            DumpStack: self._stop,
            Terminate: lambda executor, _: executor.cancel(),
            Kill: lambda executor, _: self._end(executor, Ended(executor.number, "signal", (), 9)),
            Retire: lambda executor, _: self._end(
                executor, Ended(executor.number, "exit", exit_code=0)
            ),
        }

    def carry_out(self, effect: Effect) -> None:
        """Do one thing, as far as it can be done without a process."""
        if type(effect) is StartExecutor:
            self.executors[effect.executor] = self._make(effect)
            return
        if type(effect) is Listen:
            nobody: Ticket[None] = Ticket()
            answer: Any = Listening(effect.service, 0, NO_DOORS)
            self._post(Asked(answer, nobody))
            return
        executor = self.executors.get(effect.executor)
        if executor is None:
            return
        if executor.purse is not None and sent(effect) and executor.purse.is_stale:
            self._post(Refused(executor.number, sent(effect)))
        else:
            self._effects[type(effect)](executor, effect)

    def _recall(self, executor: Executor, effect: Recall) -> None:
        """Give back what stands behind the slots; of one that has not loaded, everything."""
        keep = executor.slots if executor.function is not None else 0
        self._post(Recalled(executor.number, executor.take_back(keep)))

    def _interrupt(self, executor: Executor, effect: Interrupt) -> None:
        if executor.has_begun(effect.job):
            executor.cancel(effect.job)
        else:
            self._post(Recalled(executor.number, executor.drop(effect.job)))

    def _stop(self, executor: Executor, effect: DumpStack) -> None:
        """It is to be stopped: what no thread has begun need not run at all."""
        back = executor.stop()
        if back:
            self._post(Recalled(executor.number, back))

    def _end(self, executor: Executor, end: Ended) -> None:
        """It is gone as far as the core knows; a thread in it goes on to the end of its call."""
        end.unstarted = executor.take_back()
        del self.executors[executor.number]
        executor.end()
        self.ended.append(executor)
        self._post(end)

    def reported(self, fact: Reported) -> None:
        """A job is over: its place is free, before the core gives it to another."""
        executor = self.executors.get(fact.executor)
        if executor is not None:
            executor.forget(fact.job)

    # --- work -----------------------------------------------------------------------------------

    def claim(self, job: int, others: set[int]) -> Work | None:
        """Something to do for that job, or with 0 for any that is none of `others`."""
        executors = self.executors.values()
        for executor in sorted(executors, key=lambda each: (each.function is None, each.oldest)):
            work = executor.claim(job, others)
            if work is not None:
                return work
        return None
