"""For how long processes of services are up: charged while they are, so that little gets lost.

A process is charged for from when it is ready until it has ended, whether it has requests or not.
One that nobody wanted any more before it was ready is free: it ends at once, and serves nobody.
That is written down once in a while, at the end of each day, and when somebody looks; what a
control plane that is killed had not written down is free.
"""

from __future__ import annotations

from collections.abc import Callable

from apothic_emulator.core.costs import Costs
from apothic_emulator.core.executors import Executor
from apothic_emulator.core.jobs import NEVER

CHARGE_S = 60.0
"""How often what costs something is charged; what is free is counted once a day."""


class Meters:
    """Processes that are up."""

    def __init__(self, costs: Costs, wake_at: Callable[[float], None]) -> None:
        self.costs = costs
        self._wake_at = wake_at
        self._up: dict[int, Executor] = {}
        self._due = NEVER
        costs.settle = self.settle

    def begin(self, executor: Executor, now: float) -> None:
        """A process is up."""
        if executor.number not in self._up:
            self._up[executor.number] = executor
            self.costs.begin_holding(executor, now)
            self._look_by(executor, now)

    def end(self, executor: Executor, now: float) -> None:
        """A process has ended, if it was up at all."""
        if self._up.pop(executor.number, None) is not None:
            self.costs.charge_holding(executor, now)

    def settle(self, now: float) -> None:
        """Charge for all that was not charged yet."""
        self._due = NEVER
        for executor in self._up.values():
            self.costs.charge_holding(executor, now)
            self._look_by(executor, now)

    def tick(self, now: float) -> None:
        """Charge when it is time to."""
        if self._due <= now:
            self.settle(now)
        elif self._up:
            self._wake_at(self._due)

    def _look_by(self, executor: Executor, now: float) -> None:
        row = executor.row
        self._due = min(self._due, row.until, NEVER if row.is_plain else now + CHARGE_S)
        self._wake_at(self._due)
