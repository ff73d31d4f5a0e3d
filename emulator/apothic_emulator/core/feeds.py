"""An event log, and those who wait for what comes next in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apothic_backends.model.events import Cursor, Event, EventBatch
from apothic_emulator.core.eventlog import EventLog, Subject, is_end
from apothic_emulator.core.jobs import Job, Wait

Wants = Callable[[Event], bool]
"""Whether a reader wants an event of its subject."""

Answer = Callable[[Wait, EventBatch], None]


class EventWait(Wait):
    """A reader that has seen everything up to now."""

    __slots__ = ("feed", "limit", "subject", "wants")

    def __init__(
        self,
        token: object,
        feed: Feed,
        subject: Subject,
        job: Job | None,
        *,
        limit: int,
        wants: Wants | None,
    ) -> None:
        self.feed = feed
        self.subject = subject
        """Whose events are read, 0 for those of every job."""
        self.limit = limit
        self.wants = wants
        super().__init__(token, feed.readers.setdefault(subject, []), job)

    def left(self) -> None:
        """Nobody waits any more."""
        if not self.among:
            del self.feed.readers[self.subject]


class Feed:
    """One log and its readers, who are answered once in a step with all that came in it."""

    def __init__(self, events: EventLog, answer: Answer) -> None:
        self.events = events
        self.readers: dict[Subject, list[EventWait]] = {}
        """Who waits for events, by subject."""
        self._answer = answer
        self._published = 0

    def wait(
        self,
        token: object,
        subject: Subject,
        job: Job | None = None,
        *,
        limit: int,
        wants: Wants | None = None,
    ) -> EventWait:
        """A wait for the next events of a job, of a topic, or of all jobs (0)."""
        self.publish()  # so that whoever waits has seen the same events
        self._published = self.events.seq
        return EventWait(token, self, subject, job, limit=limit, wants=wants)

    def publish(self) -> None:
        """Answer the readers for whom something has happened; all get the same event objects."""
        seq = self.events.seq
        if not self.readers or seq == self._published:
            return
        before, self._published = Cursor(self.events.epoch, self._published), seq
        if self.events.lost(before):
            self._ask_again(before)
            return
        found: dict[Subject, list[Event]] = {}
        for subject, event in self.events.since(before.seq):
            keys = (0, subject) if type(subject) is int else (subject,)
            for key in keys:
                if key in self.readers:
                    found.setdefault(key, []).append(event)
        for key, events in found.items():
            self._give(self.readers.pop(key), key, events)

    def _ask_again(self, before: Cursor) -> None:
        """One step wrote more than is retained: readers who ask again are told so."""
        readers, self.readers = self.readers, {}
        for waits in readers.values():
            for wait in waits:
                self._answer(wait, EventBatch((), before))

    def _give(self, waits: list[EventWait], key: Subject, events: list[Event]) -> None:
        here = self.events.cursor
        whole = EventBatch(tuple(events), here, is_end(events[-1], key or None))
        for wait in waits:
            wanted = events if wait.wants is None else [it for it in events if wait.wants(it)]
            if not wanted:
                again: Any = self.readers.setdefault(key, [])
                wait.among = again
                again.append(wait)
            elif len(wanted) > wait.limit:
                first = tuple(wanted[: wait.limit])
                self._answer(wait, EventBatch(first, first[-1].cursor))
            elif wait.wants is None:
                self._answer(wait, whole)
            else:
                self._answer(wait, whole.replace(events=tuple(wanted)))
