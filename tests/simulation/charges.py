"""What attempts should have cost, counted from what is told of them and of what never began.

For an executor that is the time in which any attempt of it was under way; of several at once, each
moment counts once. What went down with its control plane is free, but for what had been charged of
it already, because another one in the same executor had ended.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from apothic_backends.model.costs import NANO, PICO
from apothic_backends.model.functions import FunctionSpec
from apothic_emulator.core.bills import TopUp
from apothic_emulator.core.costs import ATTO_IN_NANO, Costs
from apothic_emulator.core.effects import Dispatch, DispatchBatch, Effect
from apothic_emulator.core.eventlog import Subject
from apothic_emulator.core.facts import Ended, Input, Recalled, Refused
from apothic_emulator.core.plane import Plane
from tests.simulation.clients import ignore
from tests.simulation.history import sure
from tests.simulation.plan import CHAOS_S, EPOCH_S, Plan
from tests.simulation.surroundings import Reply

_OVER = ("job.result", "job.retry", "job.queued")

Span = tuple[int, float, float]
"""An executor, and from when to when it was held."""


def a_dollar(spec: FunctionSpec, gpu: str) -> int:
    """What a second costs here."""
    return PICO


class Around(Protocol):
    """What is needed of the world."""

    plan: Plan
    plane: Plane

    def at(self, when: float, what: Any, *rest: Any) -> None: ...
    def ask(self, command: Any, reply: Reply, origin: None) -> int: ...


class Charges:
    """Attempts, as the outside sees them."""

    def __init__(self) -> None:
        self._begun: dict[int, tuple[int, float]] = {}
        self._step: list[Span] = []
        """What has ended in a step that is not committed yet."""
        self._ended: list[Span] = []
        self._free: set[tuple[int, int]] = set()
        self._may_begin = True
        self.given = 0
        """What was added to the balance, in nano-USD."""

    # --- steps ----------------------------------------------------------------------------------

    def next_step(self, plane: Plane, inputs: Iterable[Input]) -> None:
        """What executors say that they had never begun."""
        self._may_begin = not plane.costs.is_exhausted
        self._free.clear()
        for item in inputs:
            if isinstance(item, Recalled | Refused):
                self._free.update((item.executor, job) for job in item.jobs)
            elif isinstance(item, Ended):
                self._free.update((item.executor, job) for job in item.unstarted)

    def event(self, plane: Plane, name: str, job: Subject, at: float) -> None:
        """Something is told of an attempt."""
        if isinstance(job, str):
            return
        if name == "job.running":
            self._begun[job] = plane.ledger.jobs[job].executor, at
        elif name in _OVER and job in self._begun:
            executor, begun = self._begun.pop(job)
            if (executor, job) not in self._free:
                self._step.append((executor, begun, at))

    def stepped(self, plane: Plane, effects: Iterable[Effect]) -> None:
        """Nothing may have begun that nobody can pay for, but for what running code waits for."""
        if self._may_begin or not plane.costs.is_exhausted:
            return
        for effect in effects:
            if isinstance(effect, Dispatch | DispatchBatch):
                one = effect.jobs[0] if isinstance(effect, DispatchBatch) else effect
                job = plane.ledger.jobs.get(one.job)
                sure(job is None or job.level > 0, "P2", "jobs:%d begins for nothing", one.job)

    def committed(self) -> None:
        """What was told up to here stands."""
        self._ended += self._step
        self._step.clear()

    def restarted(self) -> None:
        """The control plane was killed with its executors."""
        under_way = [(executor, begun) for executor, begun in self._begun.values()]
        under_way += [(executor, begun) for executor, begun, _ in self._step]
        self._begun.clear()
        self._step.clear()
        for executor, begun in under_way:
            last = max((end for its, _, end in self._ended if its == executor), default=begun)
            if begun < last:
                self._ended.append((executor, begun, last))

    # --- the sum --------------------------------------------------------------------------------

    def compare(self, costs: Costs) -> None:
        """See to it that so much was charged."""
        charged = sum(row.us for row in costs.rows.values())
        held = sum(self._held_us(executor) for executor in {its for its, _, _ in self._ended})
        slack = len(self._ended) + 1  # each charge is rounded down
        sure(held - slack <= charged <= held + 1, "P1", "%d us, and %d are charged", held, charged)
        if costs.balance is not None:
            left = self.given - -(-charged * PICO // ATTO_IN_NANO)
            sure(costs.balance == left, "P3", "%d are left, and not %d", costs.balance, left)

    def _held_us(self, executor: int) -> float:
        spans = sorted((begun, end) for its, begun, end in self._ended if its == executor)
        total, until = 0.0, spans[0][0]
        for begun, end in spans:
            total += max(0.0, end - max(begun, until))
            until = max(until, end)
        return total * 1e6

    # --- balances -------------------------------------------------------------------------------

    def pay(self, world: Around) -> None:
        """Have an operator add a little again and again, each time twice, and much in the end."""
        if "prepaid" not in world.plan.features:
            return
        for i in range(12):
            self._pay(world, EPOCH_S + i * CHAOS_S / 12, 4, f"t{i}")
        self._pay(world, EPOCH_S + CHAOS_S, 1_000_000, "all")

    def _pay(self, world: Around, when: float, usd: int, operation: str) -> None:
        command = TopUp(usd * NANO, operation)
        self.given += usd * NANO
        for later_s in (0.0, 1.0, CHAOS_S + 1.0):  # a crash may have it forgotten, and not twice
            world.at(when + later_s, world.ask, command, ignore, None)
