"""Ends an agent on a machine that is paid for, where nobody else would end it.

    it began ─────── max_lifetime_s ───► takes nothing new; what runs has its grace; leaves
    last heard of ──── no_contact_s ───► stops all work, and leaves
                                              │ HANGS_S
                                              └─► is ended, whatever holds it up

A thread watches, so that a station that hangs does not keep the machine. How long a machine lives
does not depend on anything that its control plane does, nor on its clock being right, but for an
agent that is started again: how old its machine is by then, the clock says.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol, Self

from apothic_backends.model.record import Record

NO_CONTACT_S = 900.0
"""For how long an agent goes on dialling a control plane that does not answer."""

HANGS_S = 60.0
"""What a station gets to leave, beyond the grace of what it runs."""

LONGEST_LOOK_S = 60.0
"""Between two looks at the most."""

NEVER = float("inf")


class Terms(Record):
    """For how long a machine may live, and how much of that without a word from anybody."""

    max_lifetime_s: float = NEVER
    no_contact_s: float = NO_CONTACT_S


class Station(Protocol):
    """The agent, as whoever watches it knows it."""

    @property
    def heard_at(self) -> float:
        """When something was said that its control plane has acknowledged; the latest."""
        ...

    def stop(self) -> None:
        """Take nothing new, and end when all has ended that runs; at once if asked again."""
        ...


class DeadMan:
    """Watches one agent, from when it is made."""

    def __init__(
        self,
        terms: Terms,
        station: Station,
        give_up: Callable[[], object],
        *,
        now: Callable[[], float],
        grace_s: float,
        age_s: float = 0.0,
        tell: Callable[[str], object] = bool,
    ) -> None:
        """`give_up` ends a station that hangs; `grace_s` is what its calls get to end.

        The machine has lived for `age_s` already.
        """
        self._terms, self._station, self._give_up = terms, station, give_up
        self._now, self._grace_s, self._tell = now, grace_s, tell
        self._begun_at = now()
        self._old_at = self._begun_at - age_s + terms.max_lifetime_s
        self._stops = 0
        """How often the station was asked to stop."""
        self._hangs_at = NEVER
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="apothic-dead-man", daemon=True)

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """The station has left."""
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(self.look(self._now())):
            pass

    def look(self, now: float) -> float:
        """Do what is due; in how many seconds something may be again."""
        silent_at = max(self._begun_at, self._station.heard_at) + self._terms.no_contact_s
        if now >= silent_at:
            self._stop(2, now, f"nothing was heard for {self._terms.no_contact_s:g} s")
        elif now >= self._old_at:
            self._stop(1, now, f"this machine was to live for {self._terms.max_lifetime_s:g} s")
        if now >= self._hangs_at:
            self._give_up()
        due = (at for at in (silent_at, self._old_at, self._hangs_at) if at > now)
        return min(LONGEST_LOOK_S, min(due, default=NEVER) - now)

    def _stop(self, times: int, now: float, why: str) -> None:
        if self._stops >= times:
            return
        self._tell(f"{why}: this agent ends, and its machine with it")
        self._hangs_at = now + HANGS_S + (self._grace_s if times == 1 else 0.0)
        while self._stops < times:
            self._station.stop()
            self._stops += 1
