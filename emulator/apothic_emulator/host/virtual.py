"""A clock that stands still unless there is nothing left to wait for but time.

    an executor starts, works or ends      real work pins time: it flows at the real rate
    else somebody advances the clock       it jumps to the next alarm, and from there on, up to
                                           where it was sent
    else somebody waits, and no `paused()` it jumps to the next alarm
    else                                   it stands still

So what takes hours of waiting takes milliseconds, and a function that hangs still meets its
`timeout_s`. A caller's own patience (`remote(timeout_s=...)`) is not the control plane's: it goes
by real time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from enum import Enum
from heapq import heappop, heappush
from typing import Any, NamedTuple

from apothic_backends.ticket import Ticket
from apothic_emulator.core.executors import Executor, ExecutorStatus
from apothic_emulator.core.feeds import EventWait
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.plane import Plane
from apothic_emulator.host.clocks import Timers
from apothic_emulator.host.reader import LONGEST_POLL_S

QUIET_S = 0.002
"""Nothing must have happened for this long, in real time, before the clock jumps by itself.

Between the reply to one of a program's tasks and what that task does next, the others may all be
waiting; the clock must not run away meanwhile.
"""


class Move(Enum):
    """What a virtual clock does next."""

    FLOW = "flow"
    JUMP = "jump"
    ARRIVE = "arrive"
    STAND = "stand"


class Situation(NamedTuple):
    """All that the next move depends on."""

    now: float
    alarm: float
    """When the core wants to be asked next, `NEVER` if not at all."""
    is_working: bool = False
    is_waited_for: bool = False
    is_paused: bool = False
    goal: float | None = None
    """Where somebody sends the clock."""


def next_move(it: Situation) -> tuple[Move, float]:
    """What to do, and which moment it is afterwards."""
    if it.is_working:
        return Move.FLOW, it.now
    if it.goal is not None:
        if it.alarm <= max(it.goal, it.now):
            return Move.JUMP, max(it.alarm, it.now)
        return Move.ARRIVE, max(it.goal, it.now)
    if it.is_waited_for and not it.is_paused and it.alarm < NEVER:
        return Move.JUMP, max(it.alarm, it.now)
    return Move.STAND, it.now


def is_at_work(executor: Executor) -> bool:
    """Whether something may still come of an executor by itself, without any time-out.

    A job that is blocked in the SDK waits for others, so it does not count.
    """
    is_in_transit = executor.status is not ExecutorStatus.READY or executor.recalling
    return is_in_transit or executor.is_working


class VirtualClock:
    """One control plane's time. Its seconds are Unix time, so its first moment is a date."""

    wants_steps = True

    def __init__(self, start: float) -> None:
        self._at = start, NEVER
        """The moment, and the real one from which on it flows; `NEVER` while it stands."""
        self._plane: Plane | None = None
        self._lock = threading.Lock()
        """The core's: it holds while the clock jumps, so that nothing begins before that."""
        self._own = threading.Lock()
        self._wake: Callable[[], object] = bool
        self._goals: list[tuple[float, int, Ticket[None]]] = []
        self._sent = 0
        self._waiting: set[Ticket[object]] = set()
        self._paused = 0
        self._quiet_since = 0.0
        self._is_exact = False
        self._timers = Timers()
        self._hastened: list[Ticket[Any]] = []
        self.held_up: set[int] = set()
        """Executors whose report is held back: nothing comes of them before a timer."""

    def attach(self, plane: Plane, lock: threading.Lock, wake: Callable[[], object]) -> None:
        """Serve a control plane."""
        self._plane, self._lock, self._wake = plane, lock, wake

    def now(self) -> float:
        """The moment, in Unix seconds."""
        moment, since = self._at
        return moment if since == NEVER else moment + time.monotonic() - since

    def wall_offset(self) -> float:
        """It is Unix time."""
        return 0.0

    # --- what the host asks ---------------------------------------------------------------------

    def patience_s(self, alarm: float) -> float:
        """How long the host's thread may sleep."""
        if self._at[1] != NEVER:
            return min(LONGEST_POLL_S, max(0.0, self._alarm(alarm) - self.now()))
        if self._goals:
            return 0.0
        if self._is_waited_for() and not self._paused and self._alarm(alarm) < NEVER:
            return max(0.0, self._quiet_since + QUIET_S - time.monotonic())
        return LONGEST_POLL_S

    def is_due(self) -> bool:
        """Make the next move; whether the core wants a tick after it."""
        plane, arrived = self._plane, list[Ticket[None]]()
        if plane is None:
            return False
        with self._lock:
            is_due = self._move(plane, arrived)
        for ticket in arrived:
            ticket.complete(None)
        self._timers.run(self.now())
        with self._own:
            self._hastened = [ticket for ticket in self._hastened if not ticket.done]
        return is_due

    def stepped(self, plane: Plane) -> None:
        """Flow while there is work; look for the next move when there is none."""
        is_working = self._is_working(plane)
        self._flow(is_working=is_working)
        self._quiet_since = time.monotonic()
        if not is_working:
            self._wake()

    # --- moves, under the lock ------------------------------------------------------------------

    def _move(self, plane: Plane, arrived: list[Ticket[None]]) -> bool:
        is_working = self._is_working(plane)
        self._flow(is_working=is_working)
        now, alarm = self.now(), self._alarm(plane.alarm)
        move, moment = next_move(self._situation(now, alarm, is_working=is_working))
        if move is Move.FLOW or move is Move.STAND:
            return alarm <= now
        if move is Move.JUMP and not self._goals and not self._is_quiet():
            return False
        if not self._is_exact:  # the alarm may be of something that is over
            self._is_exact = True
            plane.scheduler.wake_at(now)
            return True
        self._at = moment, NEVER
        self._is_exact = False
        if move is Move.ARRIVE:
            with self._own:
                arrived.append(heappop(self._goals)[2])
        return move is Move.JUMP

    def _situation(self, now: float, alarm: float, *, is_working: bool) -> Situation:
        return Situation(
            now,
            alarm,
            is_working=is_working,
            is_waited_for=self._is_waited_for(),
            is_paused=self._paused > 0,
            goal=self._goals[0][0] if self._goals else None,
        )

    def _is_working(self, plane: Plane) -> bool:
        executors: Iterable[Executor] = plane.ledger.executors.values()
        return any(is_at_work(e) for e in executors if e.number not in self.held_up)

    def _is_waited_for(self) -> bool:
        """Whether somebody waits for something of a job; an observer of everything does not."""
        known = self._plane.ledger.waits if self._plane is not None else {}
        waits = [known.get(ticket) for ticket in tuple(self._waiting)]
        return bool(self._hastened) or any(
            wait is not None and not (isinstance(wait, EventWait) and wait.awaited is None)
            for wait in waits
        )

    def _is_quiet(self) -> bool:
        return time.monotonic() >= self._quiet_since + QUIET_S

    def _flow(self, *, is_working: bool) -> None:
        if is_working is (self._at[1] == NEVER):
            self._at = self.now(), time.monotonic() if is_working else NEVER

    def _alarm(self, alarm: float) -> float:
        return min(alarm, self._timers.alarm)

    # --- what its users ask ---------------------------------------------------------------------

    def send_to(self, moment: float) -> Ticket[None]:
        """Move through every alarm up to a moment; done when all that this starts is done."""
        ticket: Ticket[None] = Ticket()
        with self._own:
            self._sent += 1
            heappush(self._goals, (moment, self._sent, ticket))
        self._wake()
        return ticket

    def call_at(self, moment: float, what: Callable[[], object]) -> None:
        """Have something called by the host's thread, when that moment has come."""
        self._timers.add(moment, what)
        self._wake()

    def hasten(self, ticket: Ticket[Any]) -> None:
        """Jump, as for somebody who waits, until this ticket is done."""
        with self._own:
            self._hastened = [*self._hastened, ticket]
        self._wake()

    @contextmanager
    def waited(self, ticket: Ticket[object]) -> Generator[None]:
        """Somebody is blocked in waiting for a ticket."""
        self._waiting.add(ticket)
        self._quiet_since = time.monotonic()
        if self._at[1] == NEVER:
            self._wake()
        try:
            yield
        finally:
            self._waiting.discard(ticket)

    @contextmanager
    def paused(self) -> Generator[None]:
        """Do not jump because somebody waits."""
        self._paused += 1
        try:
            yield
        finally:
            self._paused -= 1
            self._wake()

    def is_stuck(self, plane: Plane) -> bool:
        """Whether nothing can happen by itself any more: no work, and no alarm; under the lock."""
        return self._alarm(plane.alarm) == NEVER and not self._goals and not self._is_working(plane)

    def give_up(self, error: BaseException) -> None:
        """The control plane is gone: whoever sent the clock somewhere hears of it."""
        with self._own:
            goals, self._goals = self._goals, []
        for _, _, ticket in goals:
            ticket.fail(error)
