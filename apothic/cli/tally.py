"""How far the calls of a function have come."""

from __future__ import annotations

FEW = 4
"""So many calls may wait for their turn without a word."""

PATIENCE_S = 1.0
"""How long calls run one at a time before it is worth a word."""


class Tally:
    """Counts the calls of one function. Times are those of the events."""

    def __init__(self, name: str, paint: str) -> None:
        self.name = name
        self.paint = paint
        self.known = 0
        """Calls since there last were none."""
        self.open = 0
        self.running = 0
        self.failed = 0
        self.most_open = 0
        self.most_running = 0
        self.began_at: float | None = None
        self.is_hinted = False
        self.is_shown = False
        """Whether somebody has seen it as a row."""

    @property
    def done(self) -> int:
        """Calls that have ended, in whatever way."""
        return self.known - self.open

    @property
    def is_map(self) -> bool:
        """Whether several calls were open at once."""
        return self.most_open > 1

    def queued(self) -> None:
        """There is one more."""
        if not self.open:
            self.known = self.failed = self.most_open = self.most_running = 0
            self.began_at = None
            self.is_shown = False
        self.known += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)

    def found(self) -> None:
        """One is open that was counted already, perhaps."""
        self.open += 1
        self.known = max(self.known, self.open)
        self.most_open = max(self.most_open, self.open)

    def began(self, at: float) -> None:
        """One runs."""
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        if self.began_at is None:
            self.began_at = at

    def stopped(self) -> None:
        """One runs no more."""
        self.running -= 1

    def ended(self, *, is_success: bool) -> None:
        """One has ended."""
        self.open -= 1
        self.failed += not is_success

    def lost_sight(self) -> None:
        """What is open is unknown."""
        self.open = self.running = 0

    def seconds(self, now: float) -> float:
        """How long they have been at it."""
        return max(0.0, now - self.began_at) if self.began_at is not None else 0.0

    def rate(self, now: float) -> float | None:
        """Calls that end in a second, on average; None before there is one."""
        seconds = self.seconds(now)
        return self.done / seconds if self.done and seconds else None

    def is_starved(self, now: float) -> bool:
        """Whether many wait, and one at a time runs."""
        waiting = self.open - self.running
        is_slow = self.seconds(now) >= PATIENCE_S
        return self.most_running == 1 and waiting >= FEW and self.done > 1 and is_slow
