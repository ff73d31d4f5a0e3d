"""How fast a body is to come."""

from __future__ import annotations

from typing import Final

PATIENCE_S: Final = 10.0
"""How long a body may take to come, whatever its size; what a piece may take, too."""

LEAST_RATE: Final = 1 << 10
"""Bytes of it that are to come in a second on the average from then on."""

TOO_SLOW: Final = f"a body comes within {PATIENCE_S:g} s, or with {LEAST_RATE} bytes a second"


class Pace:
    """How long a body may still take. The time in which nobody takes it does not count."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._held: float | None = None

    def hold(self, now: float) -> None:
        """It is not taken for the time being."""
        if self._held is None:
            self._held = now

    def go_on(self, now: float) -> None:
        """It is taken again."""
        if self._held is not None:
            self._since += now - self._held
            self._held = None

    def due(self, size: int) -> float:
        """By when more of it is to come than this, at the latest; never while it is held."""
        if self._held is not None:
            return float("inf")
        return self._since + PATIENCE_S + size / LEAST_RATE
