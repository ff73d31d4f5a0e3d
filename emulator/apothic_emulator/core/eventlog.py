"""What happened, in one numbered log that watchers read by position.

Nobody is subscribed: a reader asks for what comes after its position, and waits there if there is
nothing yet. The log keeps the latest `RETAINED` events; a reader that fell behind that is told so
by `stream.reset` and goes on from what is left.
"""

from __future__ import annotations

from typing import Any

from apothic_backends.model.events import Cursor, Event, EventBatch

RETAINED = 100_000
"""Events kept; twice as many may stand before the older half goes."""

_Entry = tuple[str, int, float, dict[str, Any]]


class EventLog:
    """The retained events; entry i has the number `first + i`."""

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self.first = 1
        self.entries: list[_Entry] = []

    @property
    def seq(self) -> int:
        """The number of the latest event, 0 before the first."""
        return self.first + len(self.entries) - 1

    def append(self, name: str, job: int, at: float, data: dict[str, Any]) -> None:
        """Write down that something happened to a job."""
        self.entries.append((name, job, at, data))
        if len(self.entries) >= 2 * RETAINED:
            del self.entries[:RETAINED]
            self.first += RETAINED

    def read(self, after: Cursor, job: int | None, limit: int) -> EventBatch | None:
        """Events after a position, of one job or of all; None when there is nothing to tell."""
        reason = self._lost(after)
        if reason is not None:
            return self._reset(after, reason)
        found: list[Event] = []
        seq = after.seq
        start = after.seq + 1 - self.first
        for name, number, at, data in self.entries[start : start + limit if job is None else None]:
            seq += 1
            if job is None or job == number:
                told = {"job_id": f"jobs:{number}", "at": at, **data}
                found.append(Event(name, told, Cursor(self.epoch, seq)))
                if len(found) >= limit:
                    break
        return EventBatch(tuple(found), Cursor(self.epoch, seq)) if found else None

    def _lost(self, after: Cursor) -> str | None:
        """Why a position cannot be read on from, if it cannot."""
        if after.epoch != self.epoch:
            return "epoch_changed"
        if after.seq > self.seq:
            return "future_position"
        return "compacted" if after.seq + 1 < self.first else None

    def _reset(self, after: Cursor, reason: str) -> EventBatch:
        here = Cursor(self.epoch, self.first - 1)
        dropped = self.first - 1 - after.seq if reason == "compacted" else None
        data = {"reason": reason, "epoch": self.epoch, "seq": here.seq, "dropped": dropped}
        return EventBatch((Event("stream.reset", data, here),), here)
