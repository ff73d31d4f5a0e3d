"""A store that is simulated, and what waits for its commits, as `host/commits.py` has it."""

from __future__ import annotations

from collections.abc import Iterable

from apothic_emulator.core.effects import Outcome
from apothic_emulator.core.records import Change


class Disk:
    """What is kept, and the steps that nobody may hear of yet."""

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}
        self.held: list[Outcome] = []
        """Decided, and not committed: a crash undoes them."""
        self.committed: list[Outcome] = []
        """Committed, and nobody has heard of them: a crash leaves it so."""

    def holds_back(self, outcome: Outcome) -> bool:
        """Whether nobody may hear of a step yet; what has changed nothing may have read that."""
        if not (outcome.changes or self.held or self.committed):
            return False
        self.held.append(outcome)
        return True

    def commit(self) -> None:
        """One batch of all that is held."""
        for outcome in self.held:
            self.keep(outcome.changes)
        self.committed += self.held
        self.held.clear()

    def release(self) -> list[Outcome]:
        """What may be heard of now."""
        released, self.committed = self.committed, []
        return released

    def crash(self) -> list[Outcome]:
        """Whoever would have told of it is gone; gives what is kept, and was never told."""
        self.held.clear()
        return self.release()

    def keep(self, changes: Iterable[Change]) -> None:
        """Write one batch."""
        for key, record in changes:
            if record is None:
                self.records.pop(key, None)
            else:
                self.records[key] = record
