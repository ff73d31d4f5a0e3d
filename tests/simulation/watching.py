"""Watchers, and what each must have seen."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

from apothic_backends.commands import ReadEvents
from apothic_backends.model.events import ALL_JOBS, Cursor, Event, EventBatch
from tests.simulation.chance import WATCH, draw
from tests.simulation.history import History, sure

_ENDING = ("job.result", "job.end")


class Watcher:
    """Follows a topic, and knows what it must have seen."""

    def __init__(
        self, history: History, topic: str, after: Cursor | None, *, snapshot: bool
    ) -> None:
        self.history = history
        self.topic = topic
        self.job = 0 if topic == ALL_JOBS else int(topic[5:])
        self.after = after
        self.snapshot = snapshot
        self.seen = after.seq if after is not None else 0 if self.job and not snapshot else -1
        self.state_at = -1
        """Where the latest snapshot was taken."""
        self.snapshot_at = -1
        """The position of the last snapshot."""
        self.folded: dict[int, str] = {}
        self.is_over = False

    def command(self, seed: int, counter: int) -> ReadEvents:
        """What to ask next."""
        limit = (1, 7, 1000)[draw(seed, WATCH, -counter) % 3]
        return ReadEvents(self.topic, self.after, limit, self.snapshot)

    def take(self, batch: EventBatch, *, is_cut: bool = False) -> None:
        """Take events in; if it is cut, as few as can be, to go on after those."""
        events = _first_of(batch.events) if is_cut else batch.events
        is_whole = len(events) == len(batch.events)
        for event in events:
            seq = event.cursor.seq
            if event.event == "stream.reset":
                self.history.reached[f"reset_{event.data['reason']}"] += 1
                self.folded.clear()
                self.seen = self.state_at = seq
            elif event.event == "job.snapshot" or self._is_retold(event):
                self._is_state(event)
                self.seen = self.state_at = seq
                if event.event == "job.snapshot":
                    self.snapshot_at = seq
            else:
                self._follow(event)
        sure(batch.cursor.seq >= self.seen, "I10", "the cursor went back")
        self.history.reached["watch_cut"] += not is_whole
        self.after = batch.cursor if is_whole else events[-1].cursor
        if self.snapshot and self.seen < 0:
            self.seen = batch.cursor.seq
        self.is_over = batch.ended and is_whole
        is_final = self.job in self.history.final
        sure(not batch.ended or is_final, "I10", "%s is over before its end", self.topic)

    def _is_retold(self, event: Event) -> bool:
        """Whether it is told after a snapshot how a job ended, and not as the log had it."""
        if not self.job or event.event not in _ENDING or self.seen != self.state_at:
            return False
        seq = event.cursor.seq  # at the place of the snapshot, whatever the log has had there
        if seq == self.snapshot_at:
            return True
        return self.history.log[max(0, seq - 1) : seq] != [(event.event, self.job)]

    def _is_state(self, event: Event) -> None:
        job, status = int(event.data["job_id"][5:]), event.data["status"]
        final = None if job in self.history.ended_just_now else self.history.final.get(job)
        sure(final in (None, status), "I10", "jobs:%d is %s and shown as %s", job, final, status)
        self.folded[job] = status

    def _follow(self, event: Event) -> None:
        seq, job = event.cursor.seq, int(event.data["job_id"][5:])
        sure((event.event, job) == self.history.log[seq - 1], "I10", "event %d is false", seq)
        sure(seq > self.seen, "I10", "event %d came after %d", seq, self.seen)
        sure(self.job in (0, job), "I10", "an event of jobs:%d on %s", job, self.topic)
        if self.seen >= 0:  # the first of a reader that asked for the next one is any
            log = self.history.log_of[self.job]
            following = log[bisect_right(log, self.seen)]
            sure(following == seq, "I10", "%s: %d came, not %d", self.topic, seq, following)
        self.seen = seq
        if "status" in event.data or job not in self.folded:
            self.folded[job] = event.data.get("status", event.event)

    def close(self) -> None:
        """At the end of a run, when everything was delivered."""
        log = self.history.log_of.get(self.job, [])
        last = log[-1] if log and self.seen >= 0 else -1
        sure(self.seen >= last, "L4", "%s stands at %d of %d", self.topic, self.seen, last)
        for job, status in self.folded.items():
            sure(status == self.history.final[job], "I10", "jobs:%d folds to %s", job, status)


def _first_of(events: tuple[Event, ...]) -> tuple[Event, ...]:
    """Those after the first of which one can go on: all that are at one position."""
    for i, (one, following) in enumerate(pairwise(events), 1):
        if one.cursor.seq < following.cursor.seq:
            return events[:i]
    return events
