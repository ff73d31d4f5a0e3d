"""How often each source has failed to show a key: ten times in a second is enough."""

from __future__ import annotations

from collections import OrderedDict

MOST = 10
"""Failures of one source within a second that are answered as such."""

_MOST_SOURCES = 10_000


class Failures:
    """Failures within the second, by source; sources that failed long ago are forgotten."""

    def __init__(self) -> None:
        self._since: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def note(self, source: str, now: float) -> bool:
        """Note a failure; whether it is one too many."""
        began, count = self._since.pop(source, (now, 0))
        if now - began >= 1.0:
            began, count = now, 0
        self._since[source] = (began, count + 1)
        if len(self._since) > _MOST_SOURCES:
            self._since.popitem(last=False)
        return count >= MOST
