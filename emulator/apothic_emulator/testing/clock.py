"""The clock of a runtime, as its users see it: dates and lengths of time."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import UTC, datetime

from apothic_backends.model.errors import UsageError
from apothic_backends.ticket import Ticket
from apothic_emulator.host.clocks import Clock
from apothic_emulator.host.virtual import VirtualClock
from apothic_emulator.testing.spans import Span, seconds_of
from apothic_emulator.testing.waits import waits


class RuntimeClock:
    """Reads and moves the time of one runtime.

    A virtual clock stands still unless it is moved, or somebody waits for a job that itself waits
    for nothing but time; then it jumps. While a worker starts or works it flows as real time does.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @property
    def is_virtual(self) -> bool:
        """Whether it can be moved."""
        return isinstance(self._clock, VirtualClock)

    def now(self) -> datetime:
        """What time it is, with a time zone (UTC)."""
        return datetime.fromtimestamp(self._clock.now() + self._clock.wall_offset(), UTC)

    @waits
    def advance(self, by: Span) -> Ticket[None]:
        """Move on by seconds, a `timedelta`, or a text such as "1d" or "1h30m".

        Stops at every schedule, retry and time limit on the way, and lets the work that starts
        there finish before it goes on. When it returns, no worker is busy.

        Raises:
            UsageError: that is no length of time, or the clock is the real one.
        """
        clock = self._virtual()
        return clock.send_to(clock.now() + seconds_of(by))

    @waits
    def advance_to(self, moment: datetime) -> Ticket[None]:
        """Move on to a date with a time zone; otherwise as `advance`.

        Raises:
            UsageError: it lies in the past or has no time zone, or the clock is the real one.
        """
        if moment.tzinfo is None:
            raise UsageError(f"{moment} has no time zone; write datetime(..., tzinfo=...)")
        clock = self._virtual()
        if moment.timestamp() < clock.now():
            raise UsageError(f"it is {self.now()} already: {moment} cannot come any more")
        return clock.send_to(moment.timestamp())

    def paused(self) -> AbstractContextManager[None]:
        """Within the block time does not jump because somebody waits; `advance` still moves it.

        Raises:
            UsageError: the clock is the real one.
        """
        return self._virtual().paused()

    def _virtual(self) -> VirtualClock:
        if not isinstance(self._clock, VirtualClock):
            raise UsageError(
                "this runtime goes by real time, which nobody can move; leave clock='real' away"
            )
        return self._clock

    def __repr__(self) -> str:
        """What time it is, and whose."""
        return f"<{'virtual' if self.is_virtual else 'real'} clock at {self.now().isoformat()}>"
