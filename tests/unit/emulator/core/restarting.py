"""A control plane that is killed, and one that goes on from what it has written down."""

from __future__ import annotations

from typing import Any

from apothic_backends.calendars import Calendar
from apothic_emulator.core.effects import Effect
from apothic_emulator.core.facts import Tick
from apothic_emulator.core.journal import Journal
from apothic_emulator.core.plane import Plane
from apothic_emulator.core.records import Change
from tests.unit.emulator.core.driving import Driver

NOON = 1_772_366_400.0
"""2026-03-01 12:00 UTC."""


class Restarting(Driver):
    """A driver whose plane keeps records, and may be followed by another one."""

    calendar = Calendar()

    def __init__(self, retries: int = 0, **how: Any) -> None:
        self.records: dict[str, bytes] = {}
        super().__init__(retries, wall_offset=NOON - 100.0, **how)

    def new_plane(self, wall_offset: float) -> Plane:
        more: dict[str, Any] = {"journal": Journal(), "price_of": self.price_of}
        return Plane("here", wall_offset, calendar=self.calendar, **more)

    def keep(self, changes: list[Change]) -> None:
        for key, record in changes:
            if record is None:
                del self.records[key]  # what is dropped was there
            else:
                self.records[key] = record

    def end(self) -> None:
        """The program ends in order."""
        self.keep(self.plane.last_changes())

    def restart(self, after_s: float = 0.0) -> list[Effect]:
        """Another plane takes over, on a machine whose clock began anew."""
        wall = self.now + self.plane.ledger.events.wall_offset + after_s
        self.now = 5.0
        self.plane = self.new_plane(wall - self.now)
        self.plane.load(list(self.records.items())[::-1], self.now)
        return self.step(Tick())
