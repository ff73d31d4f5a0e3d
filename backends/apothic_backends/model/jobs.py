"""A job as its callers see it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from apothic_backends.model.payloads import Payload
from apothic_backends.model.record import Record


class JobStatus(StrEnum):
    """Where a job is in its life; it ends in exactly one of the last five and stays there."""

    QUEUED = "queued"
    DISPATCHED = "dispatched"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    LOST = "lost"

    @property
    def is_final(self) -> bool:
        """Whether nothing can happen to the job any more."""
        return self in FINAL


FINAL = frozenset(
    {
        JobStatus.SUCCEEDED,
        JobStatus.FAILED,
        JobStatus.CANCELLED,
        JobStatus.TIMED_OUT,
        JobStatus.LOST,
    }
)


class ErrorInfo(Record):
    """Why a job did not succeed, readable without unpickling anything.

    `code` is that of an `apothic` error, or "user_error" when user code raised: then `type_name`
    and `traceback` tell of its exception, and `exception` holds its pickle where one survived.
    `is_final` says that trying again is pointless (`NonRetryable`).
    """

    code: str
    message: str
    type_name: str = ""
    traceback: str = ""
    exception: Payload | None = None
    data: dict[str, object] = {}  # noqa: RUF012 - never mutated
    is_final: bool = False


class JobSnapshot(Record):
    """A job at one moment. Times are Unix seconds; `progress` is what it told last.

    `waiting` says for what it waits where no machine has had room for it, or nobody pays for it.
    """

    job_id: str
    function_id: str
    app_name: str
    function_name: str
    status: JobStatus
    attempt: int
    cancel_requested: bool
    submitted_at: float
    started_at: float | None
    ended_at: float | None
    error: ErrorInfo | None = None
    progress: dict[str, Any] | None = None
    limits: dict[str, str] = {}  # noqa: RUF012 - never mutated
    waiting: str = ""


class JobInput(Record):
    """Which function a job calls, and with what."""

    job_id: str
    function_id: str
    app_name: str
    function_name: str
    arguments: Payload


class JobOutcome(Record):
    """How a job ended: `result` when it succeeded, else `error`."""

    job_id: str
    status: JobStatus
    result: Payload | None = None
    error: ErrorInfo | None = None


class ItemBatch(Record):
    """Items of a generator after a position: `count` of them, as `PICKLES`; None if none are left.

    `outcome` comes with the last of them, or after it, and with it the job is let go.
    """

    items: Payload | None
    count: int
    outcome: JobOutcome | None = None


class JobLogs(Record):
    """What a job printed, in order; `dropped` counts characters beyond the limit."""

    stdout: str
    stderr: str
    text: str
    dropped: int = 0
