"""What services should have cost, counted by somebody else: from ready to gone, whoever knocks.

P1  so much is charged; of what was up when the control plane was killed, all but the last while
P2  nothing starts that cannot be paid
"""

from __future__ import annotations

from typing import Any

from apothic_emulator.core import effects as e, facts as f
from apothic_emulator.core.costs import Costs
from tests.simulation.history import sure

CHARGE_S = 2.0
"""How often is charged here."""
COMMIT_S = 0.5
"""Longer than any commit takes."""


class Upkeep:
    """Processes, from when they were ready."""

    def __init__(self) -> None:
        self.held_s = self.lost_s = 0.0
        """How long all were up; and how much of that may not be charged."""
        self._up: dict[int, float] = {}
        self._ended: list[tuple[float, float]] = []

    def hears(self, item: Any, now: float, *, is_ready: bool) -> None:
        """A process says something."""
        if isinstance(item, f.Loaded) and is_ready:
            self._up.setdefault(item.executor, now)
        elif isinstance(item, f.Ended) and item.executor in self._up:
            self._over(self._up.pop(item.executor), now)

    def _over(self, begun: float, now: float) -> None:
        self.held_s += now - begun
        self._ended.append((begun, now))

    def decides(self, effect: Any, costs: Costs, was_exhausted: bool) -> None:
        """The core wants something done."""
        if isinstance(effect, e.StartExecutor):
            is_free = not (was_exhausted and costs.is_exhausted)
            sure(is_free, "P2", "%d starts for nothing", effect.executor)

    def restarted(self, now: float) -> None:
        """All are gone with their control plane, and what it did last may be undone."""
        for begun in self._up.values():
            self._over(begun, now)
        self._up.clear()
        late = [(begun, end) for begun, end in self._ended if end >= now - COMMIT_S]
        self.lost_s += sum(min(end - begun, CHARGE_S + COMMIT_S) for begun, end in late)
        self._ended = [span for span in self._ended if span not in late]

    def compare(self, costs: Costs, now: float) -> None:
        """See to it that so much was charged."""
        costs.settle(now)
        held_s = self.held_s + sum(now - begun for begun in self._up.values())
        charged_s = sum(row.us for row in costs.rows.values()) / 1e6
        slack_s = 1e-3
        is_right = held_s - self.lost_s - slack_s <= charged_s <= held_s + slack_s
        sure(is_right, "P1", "%.3f s, and %.3f are charged", held_s, charged_s)
