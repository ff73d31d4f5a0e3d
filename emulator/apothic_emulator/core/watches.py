"""What a watch begins with: the state of its topic, told as events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from apothic_backends.model.errors import NotFound
from apothic_backends.model.events import ALL_JOBS, Cursor, Event, EventBatch
from apothic_emulator.core.eventlog import Subject
from apothic_emulator.core.jobs import Job
from apothic_emulator.core.ledger import Ledger
from apothic_emulator.core.pools import Pool

_ERROR_FIELDS = ("code", "message", "type_name", "traceback")


class Topic:
    """What a reader follows: all jobs, one of them, or another topic by its name."""

    def __init__(self, name: str, ledger: Ledger) -> None:
        self.name = name
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
        else:
            raise NotFound(f"no topic {name!r}; there are jobs, jobs:N and apps:NAME", topic=name)

    @property
    def is_over(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.job is not None and self.job.is_final


def state(topic: Topic, ledger: Ledger, pools: Iterable[Pool]) -> EventBatch:
    """What is now, to be read on from the newest position. Of a job that has ended: all of it."""
    here = ledger.events.cursor
    if topic.job is not None:
        events = [_job(topic.job, ledger, here)]
        if topic.is_over:
            events += _ending(topic.job, ledger, here)
    elif topic.subject:
        events = [_app(topic.name.removeprefix("apps:"), pools, here)]
    else:
        events = [_job(job, ledger, here) for job in ledger.jobs.values() if not job.is_final]
    return EventBatch(tuple(events), here, topic.is_over)


def after_reset(reset: Event, topic: Topic, ledger: Ledger, pools: Iterable[Pool]) -> EventBatch:
    """A reset, and what is now."""
    now = state(topic, ledger, pools)
    return EventBatch((reset, *now.events), now.cursor, now.ended)


def _job(job: Job, ledger: Ledger, here: Cursor) -> Event:
    snapshot = ledger.look(job)
    told: dict[str, Any] = {field: getattr(snapshot, field) for field in snapshot.fields}
    told["status"] = job.status.value
    error = job.error
    told["error"] = error and {field: getattr(error, field) for field in _ERROR_FIELDS}
    return Event("job.snapshot", told, here)


def _ending(job: Job, ledger: Ledger, here: Cursor) -> list[Event]:
    told: dict[str, Any] = {
        "job_id": job.job_id,
        "at": (job.ended_at or 0.0) + ledger.events.wall_offset,
        "attempt": job.attempt,
        "status": job.status.value,
    }
    if job.error is not None:
        told["error"] = job.error.code
    return [Event(name, dict(told), here) for name in ("job.result", "job.end")]


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
