"""What happened, in one numbered log that watchers read by position.

Nobody is subscribed: a reader asks for what comes after its position, and waits there if there is
nothing yet. The log keeps the latest `RETAINED` events; a reader that fell behind that is told so
by `stream.reset`. Of what jobs print it keeps `RETAINED_CHARS`; older text becomes `log.gap`.
Of the values that events carry it keeps `RETAINED_VALUES`: the events before those go, too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from apothic_backends.model.events import Cursor, Event, EventBatch
from apothic_backends.model.payloads import Payload

RETAINED = 100_000
"""Events kept; twice as many may stand before the older half goes."""

RETAINED_CHARS = 32 << 20
"""Text of `job.log` events kept; twice as much may stand before the older half goes."""

RETAINED_VALUES = 64 << 20
"""Bytes of values kept; twice as many may stand before the older half goes."""

NEVER = float("inf")

Subject = int | str
"""Whose event it is: the number of a job, or a topic such as `apps:demo`."""

_Entry = tuple[str, Subject, float, int, dict[str, Any] | None]


class EventLog:
    """The retained events; entry i has the number `first + i`. Times become Unix time on reading.

    `wall_offset` is what that is ahead of the control plane's own clock.
    """

    def __init__(self, epoch: str, wall_offset: float = 0.0) -> None:
        self.epoch = epoch
        self.wall_offset = wall_offset
        self.first = 1
        self.entries: list[_Entry] = []
        self.chars = 0
        """Text that is kept."""
        self._whole_from = NEVER
        """After when everything is here although something before is not, if that is known."""
        self._text_from = 1
        """Events before this one have no text left."""
        self._values: deque[tuple[int, int]] = deque()
        """The events that carry values, and how many bytes each."""
        self.value_bytes = 0

    @property
    def seq(self) -> int:
        """The number of the latest event, 0 before the first."""
        return self.first + len(self.entries) - 1

    @property
    def cursor(self) -> Cursor:
        """The position after the latest event."""
        return Cursor(self.epoch, self.seq)

    def begin_at(self, moment: float) -> None:
        """Things happened before this log began: whoever asks for them is told of a reset."""
        self.first += 1
        self._text_from += 1
        self._whole_from = moment

    def append(
        self,
        name: str,
        subject: Subject,
        at: float,
        attempt: int,
        more: dict[str, Any] | None = None,
    ) -> None:
        """Write down that something happened. `more` may be shared: it is not changed."""
        entries = self.entries
        entries.append((name, subject, at, attempt, more))
        if len(entries) >= 2 * RETAINED:
            for i in range(max(0, self._text_from - self.first), RETAINED):
                self.chars -= _chars(entries[i])
            del entries[:RETAINED]
            self.first += RETAINED
            self._whole_from = NEVER

    def append_text(self, job: int, at: float, attempt: int, told: dict[str, Any]) -> None:
        """Write down what a job has printed."""
        self.append("job.log", job, at, attempt, told)
        self.chars += len(told["text"])
        if self.chars >= 2 * RETAINED_CHARS:
            self._drop_text()

    def append_value(
        self, name: str, subject: Subject, at: float, told: dict[str, Any], value: Payload
    ) -> None:
        """Write down what has become of a value."""
        self.append(name, subject, at, 0, {**told, "value": value})
        self._values.append((self.seq, value.nbytes))
        self.value_bytes += value.nbytes
        if self.value_bytes >= 2 * RETAINED_VALUES:
            self._drop_values(RETAINED_VALUES)

    def _drop_values(self, most: int) -> None:
        """Forget the oldest events, until the values of the others are no more than that."""
        values, first = self._values, self.first
        while self.value_bytes > most or values[0][0] < self.first:
            seq, nbytes = values.popleft()
            self.value_bytes -= nbytes
            first = max(first, seq + 1)
        del self.entries[: first - self.first]
        self.first = first

    def _drop_text(self) -> None:
        """Forget the older half of all text: each piece leaves the number of its characters."""
        entries = self.entries
        i = max(0, self._text_from - self.first)
        while self.chars > RETAINED_CHARS:
            name, subject, at, attempt, more = entries[i]
            if name == "job.log":
                assert more is not None
                dropped = len(more["text"])
                self.chars -= dropped
                told = {"stream": more["stream"], "dropped": dropped}
                entries[i] = ("log.gap", subject, at, attempt, told)
            i += 1
        self._text_from = self.first + i

    def read(
        self,
        after: Cursor,
        subject: Subject | None,
        limit: int,
        wants: Callable[[Event], bool] | None = None,
    ) -> EventBatch | None:
        """Events after a position, of one subject or of all jobs; None if there are none yet.

        `wants` chooses among them. The position must be one that is retained: see `lost`.
        """
        entries, first = self.entries, self.first
        found: list[Event] = []
        seq = after.seq
        for i in range(seq + 1 - first, len(entries)):
            seq = first + i
            entry = entries[i]
            if _is_of(entry, subject):
                event = self.event(seq, entry)
                if wants is not None and not wants(event):
                    continue
                if found and event.event == "log.gap" and _joins(found[-1], event):
                    found.pop()
                elif len(found) >= limit:
                    seq -= 1
                    break
                found.append(event)
        if not found:
            return None
        return EventBatch(tuple(found), Cursor(self.epoch, seq), is_end(found[-1], subject))

    def since(self, seq: int) -> Iterator[tuple[Subject, Event]]:
        """The events after a number, each with its subject."""
        for i in range(seq + 1 - self.first, len(self.entries)):
            entry = self.entries[i]
            yield entry[1], self.event(self.first + i, entry)

    def event(self, seq: int, entry: _Entry) -> Event:
        """What watchers get of an entry."""
        name, subject, at, attempt, more = entry
        about: dict[str, Any] = {"at": at + self.wall_offset}
        if type(subject) is int:
            about = {"job_id": f"jobs:{subject}", **about, "attempt": attempt}
        return Event(name, about | more if more else about, Cursor(self.epoch, seq))

    def position_at(self, moment: float) -> Cursor:
        """The position before everything that has happened from a moment on.

        One that is not retained, if some of that may have been forgotten.
        """
        i = bisect_left(self.entries, moment, key=_at)
        is_whole = i or self.first == 1 or moment > self._whole_from
        return Cursor(self.epoch, self.first + i - (1 if is_whole else 2))

    def ending(self, job: int, moment: float) -> list[Event]:
        """How a job ended at a moment: `job.result` and `job.end`, if both are retained."""
        entries = self.entries
        found: list[Event] = []
        for i in range(bisect_left(entries, moment, key=_at), len(entries)):
            name, subject, at, _, _ = entries[i]
            if at != moment:
                break
            if subject == job and name in ("job.result", "job.end"):
                found.append(self.event(self.first + i, entries[i]))
        return found if len(found) == len(("job.result", "job.end")) else []

    def lost(self, after: Cursor) -> Event | None:
        """The `stream.reset` for a position that cannot be read on from; None if it can."""
        dropped = None
        if after.epoch != self.epoch:
            reason = "epoch_changed"
        elif after.seq > self.seq:
            reason = "future_position"
        elif after.seq + 1 < self.first:
            reason, dropped = "compacted", self.seq - after.seq
        else:
            return None
        here = self.cursor
        data = {"reason": reason, "epoch": here.epoch, "seq": here.seq, "dropped": dropped}
        return Event("stream.reset", data, here)


def _at(entry: _Entry) -> float:
    return entry[2]


def _is_of(entry: _Entry, subject: Subject | None) -> bool:
    return type(entry[1]) is int if subject is None else entry[1] == subject


def _chars(entry: _Entry) -> int:
    return len(entry[4]["text"]) if entry[0] == "job.log" and entry[4] is not None else 0


def _joins(before: Event, gap: Event) -> bool:
    """Join a gap to the one before it, if that is of the same attempt and stream."""
    keys = ("job_id", "attempt", "stream")
    if before.event != "log.gap" or any(before.data[k] != gap.data[k] for k in keys):
        return False
    gap.data["dropped"] += before.data["dropped"]
    return True


def is_end(event: Event, subject: Subject | None) -> bool:
    """Whether nothing can follow an event on its topic."""
    return event.event == "job.end" and subject is not None
