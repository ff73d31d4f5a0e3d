"""What is found again by listings alone: a machine, or a volume, that somebody else keeps."""

from __future__ import annotations

from typing import Final

from apothic_emulator.core.jobs import NEVER

SETTLE_S: Final = 120.0
"""A listing may be as old as this: of what was made later, and not seen yet, it proves nothing."""

ENOUGH: Final = 2
"""So many listings have to agree that something is not there."""


class Listed:
    """Something that listings show, or not."""

    def __init__(self, now: float) -> None:
        self.is_asked = False
        """Whether its provider has not answered yet."""
        self.sure_from = now
        """Since when nobody makes it any more."""
        self.was_seen, self.ended_at = False, NEVER
        """Whether a listing has shown it, or somebody has joined from it; and when its provider
        has said, since a listing showed it last, that it is destroyed."""
        self.misses = 0
        """Listings in a row that should have shown it, and have not."""

    def is_shown(self, now: float) -> None:
        """A listing shows it."""
        self.misses, self.was_seen, self.ended_at = 0, True, NEVER
        if self.is_asked:
            self.sure_from = now

    def is_missed(self, asked_at: float) -> bool:
        """A whole listing that was asked for then does not show it: whether that is enough."""
        is_ended = self.was_seen and asked_at > self.ended_at
        if self.is_asked or not (is_ended or asked_at >= self.sure_from + SETTLE_S):
            return False
        self.misses += 1
        return self.misses >= ENOUGH
