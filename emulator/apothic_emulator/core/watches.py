"""What a watch begins with: the state of its topic, told as events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from apothic_backends.commands import ReadEvents
from apothic_backends.model.errors import NotFound
from apothic_backends.model.events import ALL_JOBS, Cursor, Event, EventBatch
from apothic_emulator.core.eventlog import Subject
from apothic_emulator.core.feeds import Wants
from apothic_emulator.core.jobs import Job
from apothic_emulator.core.ledger import Ledger
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.shared import PARTS, Shared

_ERROR_FIELDS = ("code", "message", "type_name", "traceback")


class Topic:
    """What a reader follows: all jobs, one of them, or another topic by its name."""

    def __init__(self, command: ReadEvents, ledger: Ledger, shared: Shared) -> None:
        self.name = name = command.topic
        self.feed = ledger.feed
        self.wants: Wants | None = None
        self.job: Job | None = None
        self.subject: Subject = 0
        """0 for all jobs."""
        if name == ALL_JOBS:
            return
        if name.startswith("jobs:"):
            self.job = ledger.find(name)
            self.subject = self.job.number
        elif name.startswith("apps:") and name != "apps:":
            self.subject = name
        elif name.startswith(tuple(f"{part}:" for part in PARTS)):
            self.subject = name
            self.feed = shared.feed
            self.wants = _chosen(command)
        else:
            known = ", ".join(["jobs", "jobs:N", "apps:NAME", *(f"{part}:NAME" for part in PARTS)])
            raise NotFound(f"no topic {name!r}; there are {known}", topic=name)

    @property
    def is_over(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.job is not None and self.job.is_final


def _chosen(command: ReadEvents) -> Wants | None:
    """What chooses the events of some keys; those that are about no key go to everybody."""
    keys, prefix = frozenset(command.keys), command.prefix
    if not keys and not prefix:
        return None

    def wants(event: Event) -> bool:
        key = event.data.get("key")
        return key is None or key in keys or (prefix != "" and str(key).startswith(prefix))

    return wants


class Watches:
    """What is now, over everything that can be watched."""

    def __init__(self, ledger: Ledger, pools: Mapping[int, Pool], shared: Shared) -> None:
        self.ledger = ledger
        self.pools = pools
        self.shared = shared

    def topic(self, command: ReadEvents) -> Topic:
        """What a command asks for.

        Raises:
            NotFound: there is no such topic.
        """
        return Topic(command, self.ledger, self.shared)

    def state(self, topic: Topic) -> EventBatch:
        """What is now, to be read on from the newest position. Of an ended job: all of it."""
        here, ledger = topic.feed.events.cursor, self.ledger
        if topic.job is not None and topic.job.ended_at is not None:
            events = _ended(topic.job, topic.job.ended_at, ledger)
        elif topic.job is not None:
            events = [_job(topic.job, ledger, here)]
        elif topic.feed is self.shared.feed:
            events = self.shared.state(topic.name, topic.wants)
        elif topic.subject:
            events = [_app(topic.name.removeprefix("apps:"), self.pools.values(), here)]
        else:
            events = [_job(job, ledger, here) for job in ledger.jobs.values() if not job.is_final]
        return EventBatch(tuple(events), here, topic.is_over)

    def after_reset(self, reset: Event, topic: Topic) -> EventBatch:
        """A reset, and what is now."""
        now = self.state(topic)
        if topic.is_over:
            reset = reset.replace(cursor=now.events[0].cursor)
        return EventBatch((reset, *now.events), now.cursor, now.ended)


def _job(job: Job, ledger: Ledger, here: Cursor) -> Event:
    snapshot = ledger.look(job)
    told: dict[str, Any] = {field: getattr(snapshot, field) for field in snapshot.fields}
    told["status"] = job.status.value
    error = job.error
    told["error"] = error and {field: getattr(error, field) for field in _ERROR_FIELDS}
    return Event("job.snapshot", told, here)


def _ended(job: Job, ended_at: float, ledger: Ledger) -> list[Event]:
    """An ended job, at the position before its end: whoever reads on from there hears of that.

    Where that is not retained any more, whoever reads on from there is told all of this again.
    """
    log = ledger.events
    end = log.ending(job.number, ended_at)
    if end:
        return [_job(job, ledger, Cursor(log.epoch, end[0].cursor.seq - 1)), *end]
    told: dict[str, Any] = {
        "job_id": job.job_id,
        "at": ended_at + log.wall_offset,
        "attempt": job.attempt,
        "status": job.status.value,
    }
    if job.error is not None:
        told["error"] = job.error.code
    forgotten = Cursor(log.epoch, log.first - 2)
    end = [
        Event("job.result", told, forgotten),
        Event("job.end", dict(told), log.cursor),
    ]
    return [_job(job, ledger, forgotten), *end]


def _app(name: str, pools: Iterable[Pool], here: Cursor) -> Event:
    """The functions of an app, the latest version of each, and how much each has to do."""
    functions: dict[str, Mapping[str, Any]] = {}
    for pool in pools:
        spec = pool.function.spec
        if spec.app_name == name:
            functions[spec.name] = {
                "function_id": pool.function.function_id,
                "queued": len(pool.queue) + len(pool.delayed),
                "running": sum(len(executor.running) for executor in pool.executors.values()),
            }
    return Event("app.snapshot", {"app": name, "functions": functions}, here)
