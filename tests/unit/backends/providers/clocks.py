"""Time that passes only where somebody sleeps."""

from __future__ import annotations

from apothic_backends.providers.http import Clock

NOW = 1_700_000_000.0


class Time:
    """A clock that tests turn; `slept` is each pause that was made."""

    def __init__(self, step_s: float = 0.0) -> None:
        self.passed_s, self.step_s = 0.0, step_s
        self.slept: list[float] = []

    def monotonic(self) -> float:
        self.passed_s += self.step_s
        return self.passed_s

    def sleep(self, pause_s: float) -> None:
        self.slept.append(pause_s)
        self.passed_s += pause_s

    @property
    def clock(self) -> Clock:
        return Clock(self.monotonic, lambda: NOW + self.passed_s, self.sleep, lambda: 1.0)
