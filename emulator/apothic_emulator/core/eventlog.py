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

_Entry = tuple[str, int, float, int, dict[str, Any] | None]


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

    def append(
        self, name: str, job: int, at: float, attempt: int, more: dict[str, Any] | None = None
    ) -> None:
        """Write down that something happened to a job. `more` may be shared: it is not changed."""
        entries = self.entries
        entries.append((name, job, at, attempt, more))
        if len(entries) >= 2 * RETAINED:
            del entries[:RETAINED]
            self.first += RETAINED

    def jobs_since(self, seq: int) -> set[int] | None:
        """The jobs to which something has happened after a position; None if that is forgotten."""
        start = seq + 1 - self.first
        if start < 0:
            return None
        return {self.entries[i][1] for i in range(start, len(self.entries))}

    def read(self, after: Cursor, job: int | None, limit: int) -> EventBatch | None:
        """Events after a position, of one job or of all; None when there is nothing to tell."""
        reason = self._lost(after)
        if reason is not None:
            return self._reset(after, reason)
        entries, first = self.entries, self.first
        found: list[Event] = []
        seq = after.seq
        for i in range(seq + 1 - first, len(entries)):
            seq = first + i
            name, number, at, attempt, more = entries[i]
            if job is None or job == number:
                told = {"job_id": f"jobs:{number}", "at": at, "attempt": attempt, **(more or {})}
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
        start = Cursor(self.epoch, self.first - 1)
        dropped = start.seq - after.seq if reason == "compacted" else None
        data = {"reason": reason, "epoch": self.epoch, "seq": start.seq, "dropped": dropped}
        return EventBatch((Event("stream.reset", data, start),), start)
