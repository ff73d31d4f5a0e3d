"""The engine that keeps nothing beyond the process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from apothic_emulator.stores.base import Change, Found


class MemoryEngine:
    """Records in a dictionary: what the other engines are compared to."""

    durability = "process"
    place = "memory"

    def __init__(self) -> None:
        self._records: dict[str, bytes] = {}
        self._fence = 0

    def open(self) -> int:
        """Nobody else can have it."""
        self._fence += 1
        return self._fence

    def load(self) -> Iterable[Found]:
        """What was committed to this very object."""
        return list(self._records.items())

    def commit(self, changes: Sequence[Change]) -> None:
        """Keep the changes."""
        for key, value in changes:
            if value is None:
                self._records.pop(key, None)
            else:
                self._records[key] = value

    def close(self) -> None:
        """Nothing to give back."""
