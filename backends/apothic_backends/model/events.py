"""What watchers see: events in one numbered log, read by position."""

from __future__ import annotations

from typing import Any

from apothic_backends.model.record import Record

ALL_JOBS = "jobs"
"""The topic of every job; the topic of one job is its id."""


class Cursor(Record):
    """A position in the event log: resume after it. Another `epoch` is another history."""

    epoch: str
    seq: int


class Event(Record):
    """One thing that happened: its name, what there is to know of it, and where to resume."""

    event: str
    data: dict[str, Any]
    cursor: Cursor


class EventBatch(Record):
    """Events after a position, in order and without a hole, and the position to read on from.

    When the position is not retained any more, the first event is `stream.reset`.
    """

    events: tuple[Event, ...]
    cursor: Cursor
