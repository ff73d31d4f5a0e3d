"""Machines that are cleared for functions whose jobs have waited long.

What needs much of a machine finds no place for as long as others, which need little, have work:
each that ends is followed by the next. So when the first job of a function has waited for a while,
the machine is sought that will be free the soonest. What runs there ends after its calls, and
nobody else gets a place there before this function has its own. That is the only case in which
somebody has to wait though there is room; and it ends, at the latest, after a while.
"""

from __future__ import annotations

from collections.abc import Callable

from apothic_backends.model.functions import FunctionSpec
from apothic_emulator.core.agent import Agent
from apothic_emulator.core.agents import Agents
from apothic_emulator.core.executors import PREFETCH_BELOW_S, Executor, ExecutorStatus
from apothic_emulator.core.pools import Pool

PATIENCE_S = 30.0
"""How long the first job of a function waits before a machine is cleared for it."""

LONGEST_S = 300.0
"""How long a machine is kept clear: then another one is sought."""

LOOK_S = 5.0
"""How often it is looked whether one still has to be."""

_READY = ExecutorStatus.READY


class Clearing:
    """Which machines are cleared, for which functions: one for each that has waited."""

    def __init__(
        self,
        agents: Agents,
        retire: Callable[[Executor, float], None],
        wake_at: Callable[[float], None],
    ) -> None:
        self._agents, self._retire, self._wake_at = agents, retire, wake_at
        self._cleared: dict[int, tuple[Agent, float]] = {}
        """By number of a function: what is cleared for it, and until when."""
        self._again_at: dict[int, float] = {}
        """When to try again for functions for which none could be."""

    def starves(self, pool: Pool) -> None:
        """A function has found no place."""
        if pool.function.number not in self._cleared:
            self._wake_at(self._due(pool))

    def _due(self, pool: Pool) -> float:
        job = pool.queue[0]
        patient_until = max(job.submitted_at, job.not_before) + PATIENCE_S
        return max(patient_until, self._again_at.get(pool.function.number, 0.0))

    def found(self, pool: Pool) -> bool:
        """A function has found a place; whether others have to look again."""
        number = pool.function.number
        self._again_at.pop(number, None)
        return self._open(number)

    def _open(self, number: int) -> bool:
        """Let others in again, where they were not."""
        agent, _ = self._cleared.pop(number, (None, 0.0))
        if agent is not None:
            agent.cleared_for = None
            self._agents.room.look(agent)
        return agent is not None

    def tick(self, now: float) -> bool:
        """Clear machines for who has waited; whether some are open again."""
        starved = {n: pool for n, pool in self._agents.starved.items() if pool.queue}
        over = [n for n, it in self._cleared.items() if n not in starved or self._is_over(*it, now)]
        for number in over:
            self._again_at[number] = now + PATIENCE_S
            self._open(number)
        for pool in starved.values():
            if pool.function.number not in self._cleared:
                self._see_to(pool, now)
        if self._cleared:
            self._wake_at(now + LOOK_S)
        self._again_at = {n: at for n, at in self._again_at.items() if at > now}
        return bool(over)

    def _is_over(self, agent: Agent, until: float, now: float) -> bool:
        spec = agent.cleared_for
        return until <= now or spec is None or not agent.takes(spec)

    def _see_to(self, pool: Pool, now: float) -> None:
        number, due = pool.function.number, self._due(pool)
        if due <= now:
            agent = None if pool.queue[0].level else self._soonest(pool, now)
            if agent is not None:
                self._clear(agent, pool, now)
                return
            due = self._again_at[number] = now + PATIENCE_S
        self._wake_at(due)

    def _soonest(self, pool: Pool, now: float) -> Agent | None:
        """The machine that will have room for an executor the soonest, if it is cleared now."""
        agents, spec = self._agents, pool.function.spec
        if agents.market is not None and agents.market.is_coming(pool.function.number):
            return None
        able = [
            agent
            for agent in agents.machines(spec)
            if agent.takes(spec) and agent.cleared_for is None and self._would_do(agent, spec)
        ]
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
        self._cleared[pool.function.number] = agent, now + LONGEST_S
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
