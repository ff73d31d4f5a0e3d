"""How many connections come from where."""

from __future__ import annotations

from collections import Counter


class Sources:
    """Connections that are open, by address."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Count one more; False if it is one too many, which is counted, too."""
        self._open[address] += 1
        return self._open[address] <= self._most

    def is_crowd(self, address: str) -> bool:
        """Whether as many again are there that were too many: the next need not hear why."""
        return self._open[address] >= 2 * self._most

    def leave(self, address: str) -> None:
        """It is open no more."""
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]
