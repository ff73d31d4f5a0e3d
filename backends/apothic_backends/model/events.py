"""What watchers see: events in one numbered log, read by position.

| topic       | events                                                                             |
|-------------|------------------------------------------------------------------------------------|
| `jobs`      | all of the next row, of every job                                                  |
| `jobs:N`    | `job.snapshot queued running log progress retry result end`, `log.gap`             |
| `apps:NAME` | `app.snapshot changed`, `schedule.fired skipped`                                   |
| `apps:NAME` | `app.deleted`, when its last deployment is                                        |
| `deployments:N` | `deployment.snapshot changed deleted`                                          |
| `dicts:NAME`| `dict.snapshot changed deleted`                                                    |
| `queues:NAME` | `queue.snapshot changed deleted`                                           |
| `services:APP/NAME` | `service.snapshot changed deleted`                                   |
| every topic | `stream.reset`, when its position is not retained any more; a snapshot follows it  |
"""

from __future__ import annotations

from typing import Any

from apothic_backends.model.errors import UsageError
from apothic_backends.model.record import Record

ALL_JOBS = "jobs"
"""The topic of every job; the topic of one job is its id."""

JOB_EVENTS = (
    "job.snapshot",
    "job.queued",
    "job.running",
    "job.log",
    "job.progress",
    "job.retry",
    "job.late_report",
    "job.result",
    "job.end",
    "log.gap",
)
"""Everything that is told of a job, about in the order in which it happens."""

APP_EVENTS = ("app.snapshot", "app.changed", "app.deleted")
"""Everything that is told of an app."""

DEPLOYMENT_EVENTS = ("deployment.snapshot", "deployment.changed", "deployment.deleted")
"""Everything that is told of a deployment."""

QUEUE_EVENTS = ("queue.snapshot", "queue.changed", "queue.deleted")
"""Everything that is told of a queue."""


SERVICE_EVENTS = ("service.snapshot", "service.changed", "service.deleted")
"""Everything that is told of a service."""


class Cursor(Record):
    """A position in the event log: resume after it. Another `epoch` is another history."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        """`epoch:seq`, as command lines and URLs carry it."""
        return f"{self.epoch}:{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """The position that `str()` of one wrote.

        Raises:
            UsageError: it is not one.
        """
        epoch, _, seq = text.rpartition(":")
        if not epoch or not (seq.isascii() and seq.isdigit()):
            raise UsageError(f"{text!r} is no position; one looks like 5f2c9a:17")
        return cls(epoch, int(seq))


class Event(Record):
    """One thing that happened: its name, what there is to know of it, and where to resume.

    `data` of every job event has `job_id`, `attempt` (from 1; 0 before the first) and `at` (Unix
    seconds). Beyond that: `job.queued` has `app_name` and `function_name`; `job.log` has `stream`,
    `text` and `seq`, which counts the pieces of an attempt; `log.gap` has `dropped`, characters of
    such text that are not kept any more; `job.progress` has `done`, `total` and `message`;
    `job.retry` has `delay_s` and `error`; `job.result`, `job.end` and `job.late_report` have
    `status`, and `error` where there is one, and the last is of an attempt that was given up and
    has ended after all, which changes nothing; `job.snapshot` has what a `JobSnapshot` has.

    `deployment.changed` has `deployment_id`, `app`, `version` and `what`: "live", "replaced",
    "stopped" or "drained" (its last job has ended); `app.changed` is told of the same. Of an app
    that is not deployed `app.changed` has `app`, `function` and `function_id`.
    `deployment.snapshot` has what a `DeploymentSnapshot` has.

    `dict.changed` has `op`, `rev` and (except for "cleared") `key`, as JSON: of "put", `value` and
    `lease_s`; of locks and terms, `holder`. `dict.snapshot` has `name`, `rev`, `entries` by key and
    `held`, the locks and terms; `dict.deleted` has `rev`.

    Every event of a queue has `queue`. `queue.changed` says `what` happened to `count` messages of
    a `partition`, and how many are `ready`, `delayed`, `claimed` and `dead` there after it. `what`
    is "made" (the queue itself); "put", "due" (a delay is over), "taken", "put_back" (nobody had
    got them), "claimed", "renewed", "acked"; "released", "retried" or "lapsed" (the lease was
    over) and "dead", one by one with the number of the `message`; "redriven", "cleared", "expired"
    (nobody took them within `ttl_s`) and "dropped" (dead letters beyond what is kept).
    `queue.snapshot` has the settings and the counts of all `partitions`.

    `stream.reset` has `reason` ("compacted", "epoch_changed", "future_position"), `epoch`, `seq`,
    and `dropped`, the number of events missed where known.
    """

    event: str
    data: dict[str, Any]
    cursor: Cursor


class EventBatch(Record):
    """Events after a position, in order and without a hole, and the position to read on from.

    When the position is not retained any more, the first event is `stream.reset`, followed by a
    snapshot at the newest position. `ended` says that nothing can follow.
    """

    events: tuple[Event, ...]
    cursor: Cursor
    ended: bool = False
