"""The life of a job, as a table.

    queued ──dispatch──► dispatched ──start──► running ──► succeeded
      ▲                      │                    │        failed
      ├──────── recall ──────┴────────────────────┤        cancelled
      └──────── retry ────────────────────────────┘        timed_out, lost

A job is *dispatched* while it stands in an executor's line, and *running* from the moment that it
stands where the executor works: no frame says so. Everything that can happen to a job is a row of
`MOVES`; nothing happens to a job that has ended.
"""

from __future__ import annotations

from typing import Final

from apothic_backends.model.errors import InternalError
from apothic_backends.model.jobs import (
    FINAL,
    ErrorInfo,
    JobOutcome,
    JobSnapshot,
    JobStatus,
)
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.functions import Function
from apothic_emulator.core.logs import JobLog

_QUEUED, _DISPATCHED, _RUNNING = JobStatus.QUEUED, JobStatus.DISPATCHED, JobStatus.RUNNING

MOVES: Final[dict[str, tuple[tuple[JobStatus, ...], JobStatus]]] = {
    "dispatch": ((_QUEUED,), _DISPATCHED),
    "start": ((_DISPATCHED,), _RUNNING),
    # taken back unstarted, or its executor died: it runs again, and user code never ran twice
    # unless the caller allowed retries
    "recall": ((_DISPATCHED, _RUNNING), _QUEUED),
    "retry": ((_RUNNING,), _QUEUED),
    "succeed": ((_RUNNING,), JobStatus.SUCCEEDED),
    # a job fails while queued when its function cannot be loaded
    "fail": ((_QUEUED, _DISPATCHED, _RUNNING), JobStatus.FAILED),
    "cancel": ((_QUEUED, _RUNNING), JobStatus.CANCELLED),
    "time_out": ((_RUNNING,), JobStatus.TIMED_OUT),
    "lose": ((_RUNNING, _DISPATCHED), JobStatus.LOST),
}
"""Event: (statuses in which it can happen, status after it)."""


class Job:
    """One call and everything known of it. Plain slots: made once a call, on the hot path."""

    __slots__ = (
        "arguments",
        "attempt",
        "ended_at",
        "error",
        "executor",
        "failures",
        "function",
        "held",
        "level",
        "log",
        "losses",
        "nbytes",
        "not_before",
        "number",
        "parked",
        "result",
        "started_at",
        "status",
        "stop",
        "submitted_at",
        "waiters",
    )

    def __init__(self, number: int, function: Function, arguments: Payload, now: float) -> None:
        self.number = number
        self.function = function
        self.arguments: Payload | None = arguments
        self.nbytes = arguments.nbytes
        self.status = _QUEUED
        self.attempt = 0
        self.failures = 0
        """Attempts that failed or timed out; each spends one of the caller's retries."""
        self.losses = 0
        """Attempts whose process died under them; they have a budget of their own."""
        self.executor: int | None = None
        self.not_before = 0.0
        self.level = 0
        """How many callers wait above this one."""
        self.parked = 0
        """SDK waits that the job's code is blocked in."""
        self.stop: str | None = None
        """The move that ends the job once its code has been stopped: "cancel" or "time_out"."""
        self.held = True
        """Whether somebody may still ask for the result."""
        self.result: Payload | None = None
        self.error: ErrorInfo | None = None
        self.log: JobLog | None = None
        self.waiters: list[tuple[object, bool]] | None = None
        self.submitted_at = now
        self.started_at: float | None = None
        self.ended_at: float | None = None

    @property
    def job_id(self) -> str:
        """The id that users see."""
        return f"jobs:{self.number}"

    def move(self, event: str) -> None:
        """Change status by the table.

        Raises:
            InternalError: the table has no such row; nothing has changed.
        """
        allowed, after = MOVES[event]
        if self.status not in allowed:
            raise InternalError(f"{self.job_id} is {self.status}: it cannot {event}")
        self.status = after

    @property
    def is_final(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.status in FINAL

    def snapshot(self) -> JobSnapshot:
        """The job as its callers see it now."""
        return JobSnapshot(
            job_id=self.job_id,
            function_id=self.function.function_id,
            status=self.status,
            attempt=self.attempt,
            cancel_requested=self.stop == "cancel",
            submitted_at=self.submitted_at,
            started_at=self.started_at,
            ended_at=self.ended_at,
            error=self.error,
        )

    def outcome(self) -> JobOutcome:
        """How the job ended."""
        return JobOutcome(self.job_id, self.status, self.result, self.error)
