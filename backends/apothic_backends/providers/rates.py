"""How often a provider may be asked, counted here so that it need not say so. Pure.

Each kind of call has a limit of its own, and that for each thing it is about: one call of a kind
every `interval_s`, and `burst` of them at once after a rest. A minimum time between two calls is a
burst of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from apothic_backends.model.record import Record

_MOST_KEPT: Final = 1000


class Limit(Record):
    """One call every `interval_s` seconds in the long run, at most `burst` at once."""

    interval_s: float
    burst: int = 1


class Rates:
    """When the next call may be made. What a limit is for is said by an action and a key."""

    def __init__(self, limits: Mapping[str, Limit]) -> None:
        self._limits = limits
        self._due: dict[tuple[str, str], float] = {}
        """When all that was let through would be used up, at one call each interval."""
        self._closed: dict[tuple[str, str], float] = {}
        """Until when nothing is let through, because the provider has said so."""

    def wait_s(self, action: str, key: str, now: float) -> float:
        """How long a call has to wait; 0 for one whose action has no limit. Nothing is counted."""
        at = action, key
        limit = self._limits.get(action)
        soonest = self._closed.get(at, now)
        if limit is not None:
            ahead = (limit.burst - 1) * limit.interval_s
            soonest = max(soonest, self._due.get(at, now) - ahead)
        return max(0.0, soonest - now)

    def count(self, action: str, key: str, now: float) -> None:
        """A call is made when its wait from `now` on is over."""
        limit = self._limits.get(action)
        if limit is None:
            return
        at = action, key
        starts = now + self.wait_s(action, key, now)
        self._due[at] = max(starts, self._due.get(at, starts)) + limit.interval_s
        if len(self._due) > _MOST_KEPT:
            self._due = {at: due for at, due in self._due.items() if due > now}

    def close(self, action: str, key: str, now: float, until: float) -> None:
        """The provider lets nothing through before then."""
        at = action, key
        self._closed[at] = max(until, self._closed.get(at, until))
        if len(self._closed) > _MOST_KEPT:
            self._closed = {at: end for at, end in self._closed.items() if end > now}
