"""What a host knows of time: the moment of a step, and how long its thread may sleep.

Every deadline of a control plane goes by one clock. The real one is the kernel's; `virtual.py` has
one that stands still unless it is moved.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol

from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.plane import Plane
from apothic_emulator.host.reader import poll_timeout


class Timers:
    """Calls to be made at moments of a clock, by the host's thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0

    @property
    def alarm(self) -> float:
        """When the next call is due."""
        due = self._due
        return due[0][0] if due else NEVER

    def add(self, moment: float, what: Callable[[], object]) -> None:
        """Have something called."""
        with self._lock:
            self._count += 1
            heappush(self._due, (moment, self._count, what))

    def run(self, now: float) -> None:
        """Make the calls that are due."""
        while self.alarm <= now:
            with self._lock:
                _, _, what = heappop(self._due)
            what()


class Clock(Protocol):
    """The one clock of a control plane."""

    wants_steps: bool
    """Whether to be told of every step."""

    def now(self) -> float:
        """Seconds that only grow."""
        ...

    def wall_offset(self) -> float:
        """What Unix time is ahead of it."""
        ...

    def attach(self, plane: Plane, lock: threading.Lock, wake: Callable[[], object]) -> None:
        """Serve this control plane: its lock, and what makes its thread look again."""
        ...

    def patience_s(self, alarm: float) -> float:
        """Real seconds that the host's thread may sleep, if nothing happens meanwhile."""
        ...

    def is_due(self) -> bool:
        """Whether the core wants a tick; asked by the host's thread, which then pumps."""
        ...

    def call_at(self, moment: float, what: Callable[[], object]) -> None:
        """Have something called by the host's thread, when that moment has come."""
        ...

    def stepped(self, plane: Plane) -> None:
        """The core has been stepped; told under its lock."""
        ...

    def give_up(self, error: BaseException) -> None:
        """The control plane is gone: whoever waits for a moment hears of it."""
        ...


class RealClock:
    """The kernel's monotonic clock."""

    now = staticmethod(time.monotonic)
    wants_steps = False

    def __init__(self) -> None:
        self._plane: Plane | None = None
        self._wake: Callable[[], object] = bool
        self._timers = Timers()

    def wall_offset(self) -> float:
        """What Unix time is ahead of it."""
        return time.time() - time.monotonic()

    def attach(self, plane: Plane, lock: threading.Lock, wake: Callable[[], object]) -> None:
        """Serve a control plane."""
        del lock
        self._plane, self._wake = plane, wake

    def patience_s(self, alarm: float) -> float:
        """Until the alarm."""
        return poll_timeout(min(alarm, self._timers.alarm))

    def is_due(self) -> bool:
        """Whether the alarm has come."""
        now = time.monotonic()
        self._timers.run(now)
        return self._plane is not None and self._plane.alarm <= now

    def call_at(self, moment: float, what: Callable[[], object]) -> None:
        """Have something called."""
        self._timers.add(moment, what)
        self._wake()

    def stepped(self, plane: Plane) -> None:
        """Nothing to do: time passes by itself."""

    def give_up(self, error: BaseException) -> None:
        """Nobody waits for it."""
