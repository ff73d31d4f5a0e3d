"""Machines that are cleared for functions whose jobs have waited long.

What needs much of a machine finds no place for as long as others, which need little, have work:
each that ends is followed by the next. So when the first job of a function has waited for a while,
the machine is sought that will be free the soonest. What runs there ends after its calls, and
nobody else gets a place there before this function has its own. That is the only case in which
somebody has to wait though there is room; and it ends, at the latest, after a while.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import islice

from apothic_backends.model.functions import FunctionSpec
from apothic_emulator.core.agent import Agent
from apothic_emulator.core.agents import Agents
from apothic_emulator.core.executors import PREFETCH_BELOW_S, Executor, ExecutorStatus
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.pools import Pool

PATIENCE_S = 30.0
"""How long the first job of a function waits before a machine is cleared for it."""

LONGEST_S = 300.0
"""How long a machine is kept clear: then another one is sought."""

LOOK_S = 5.0
"""How often it is looked whether one still has to be."""

MOST_AT_ONCE = 8
"""So many machines are cleared for one function at a time, if so many of its jobs have waited."""

AMONG = 16
"""Of so many machines that will do it is found out which would be free the soonest."""

_READY = ExecutorStatus.READY


class Clearing:
    """Which machines are cleared, for which functions: one for each job that has waited."""

    def __init__(
        self,
        agents: Agents,
        retire: Callable[[Executor, float], None],
        wake_at: Callable[[float], None],
    ) -> None:
        self._agents, self._retire, self._wake_at = agents, retire, wake_at
        self._cleared: dict[tuple[int, int], tuple[Agent, float]] = {}
        """By numbers of function and machine: what is cleared for it, and until when."""
        self._turn = 0
        """With which machine to begin."""
        self._again_at: dict[int, float] = {}
        """When to try again for functions for which none could be."""

    def starves(self, pool: Pool) -> None:
        """A function has found no place."""
        count = sum(1 for number, _ in self._cleared if number == pool.function.number)
        self._wake_at(self._due(pool, count) if count < MOST_AT_ONCE else NEVER)

    def _due(self, pool: Pool, count: int) -> float:
        """When to clear another machine, beside those."""
        job = next(islice(pool.queue, count, None), None)
        if job is None:
            return NEVER
        patient_until = max(job.submitted_at, job.not_before) + PATIENCE_S
        return max(patient_until, self._again_at.get(pool.function.number, 0.0))

    def found(self, pool: Pool, agent: int) -> bool:
        """A function has found a place there; whether others have to look again."""
        number = pool.function.number
        self._again_at.pop(number, None)
        return self._open(number, agent)

    def _open(self, function: int, number: int) -> bool:
        """Let others in again, where they were not."""
        agent, _ = self._cleared.pop((function, number), (None, 0.0))
        if agent is not None:
            agent.cleared_for = None
            self._agents.room.look(agent)
        return agent is not None

    def tick(self, now: float) -> bool:
        """Clear machines for who has waited; whether some are open again."""
        starved = {n: pool for n, pool in self._agents.starved.items() if pool.queue}
        over = [
            which
            for which, it in self._cleared.items()
            if which[0] not in starved or self._is_over(*it, now)
        ]
        for which in over:
            self._again_at[which[0]] = now + PATIENCE_S
            self._open(*which)
        counts = Counter(function for function, _ in self._cleared)
        for number, pool in starved.items():
            self._see_to(pool, counts[number], now)
        if self._cleared:
            self._wake_at(now + LOOK_S)
        self._again_at = {n: at for n, at in self._again_at.items() if at > now}
        return bool(over)

    def _is_over(self, agent: Agent, until: float, now: float) -> bool:
        spec = agent.cleared_for
        return until <= now or spec is None or not agent.takes(spec)

    def _see_to(self, pool: Pool, count: int, now: float) -> None:
        """Clear as many as may be, beside those."""
        number = pool.function.number
        while count < MOST_AT_ONCE and (due := self._due(pool, count)) < NEVER:
            agent = None if due > now or pool.queue[0].level else self._soonest(pool, now)
            if agent is None:
                if due <= now:
                    due = self._again_at[number] = now + PATIENCE_S
                self._wake_at(due)
                return
            self._clear(agent, pool, now)
            count += 1

    def _soonest(self, pool: Pool, now: float) -> Agent | None:
        """The machine that will have room for an executor the soonest, if it is cleared now."""
        agents, spec = self._agents, pool.function.spec
        if agents.market is not None and agents.market.is_coming(pool.function.number):
            return None
        those = agents.machines(spec)
        self._turn = (self._turn + AMONG) % max(len(those), 1)
        in_turn = (
            agent
            for agent in [*those[self._turn :], *those[: self._turn]]
            if agent.takes(spec) and agent.cleared_for is None and self._would_do(agent, spec)
        )
        able = [*islice(in_turn, AMONG)]
        if any(self._comes_by_itself(agent, spec) for agent in able):
            return None
        return min(able, key=lambda agent: (self._left_s(agent, now), agent.number), default=None)

    def _would_do(self, agent: Agent, spec: FunctionSpec) -> bool:
        return self._agents.offer(agent, spec, 0, _in_the_way(agent, spec)) is not None

    def _comes_by_itself(self, agent: Agent, spec: FunctionSpec) -> bool:
        """Whether the end of one that has one call at a time is enough: it makes room by itself."""
        those = _in_the_way(agent, spec)
        gone = [it for it in those if it.status is not _READY]
        return any(
            it.slots == 1
            and self._agents.mean_s(it.function) >= PREFETCH_BELOW_S
            and self._agents.offer(agent, spec, 0, {*gone, it}) is not None
            for it in those
        )

    def _left_s(self, agent: Agent, now: float) -> float:
        """How long what runs there will go on, about: what runs for long goes on for long."""
        return max((self._goes_on_s(it, now) for it in agent.executors.values()), default=0.0)

    def _goes_on_s(self, executor: Executor, now: float) -> float:
        mean_s = self._agents.mean_s(executor.function)
        ran = [now - job.started_at for job in executor.running if job.started_at is not None]
        return max((max(mean_s - ran_s, ran_s) for ran_s in ran), default=0.0)

    def _clear(self, agent: Agent, pool: Pool, now: float) -> None:
        spec = agent.cleared_for = pool.function.spec
        self._cleared[pool.function.number, agent.number] = agent, now + LONGEST_S
        for executor in _in_the_way(agent, spec):
            if executor.status is _READY:
                self._retire(executor, now)


def _in_the_way(agent: Agent, spec: FunctionSpec) -> list[Executor]:
    """Those of other functions that may be gone soon: nobody needs just these."""
    return [
        it
        for it in agent.executors.values()
        if it.function.spec is not spec
        and it.status is not ExecutorStatus.STARTING
        and not (it.serves or it.is_spared)
    ]
