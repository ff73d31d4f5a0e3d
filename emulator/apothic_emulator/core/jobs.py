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

from collections.abc import MutableSequence
from typing import Any, Final, Protocol

from apothic_backends.model.errors import InternalError
from apothic_backends.model.jobs import ErrorInfo, JobOutcome, JobSnapshot, JobStatus
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.functions import Function
from apothic_emulator.core.logs import JobLog
from apothic_emulator.core.streams import Stream

_QUEUED, _DISPATCHED, _RUNNING = JobStatus.QUEUED, JobStatus.DISPATCHED, JobStatus.RUNNING

MOVES: Final[dict[str, tuple[tuple[JobStatus, ...], JobStatus]]] = {
    "dispatch": ((_QUEUED,), _DISPATCHED),
    "start": ((_DISPATCHED,), _RUNNING),
    # taken back unstarted, or its executor died: it runs again, and user code never ran twice
    # unless the caller allowed retries
    "recall": ((_DISPATCHED, _RUNNING), _QUEUED),
    "retry": ((_RUNNING,), _QUEUED),
    "succeed": ((_RUNNING,), JobStatus.SUCCEEDED),
    # a job fails, or is lost, while queued when no process can load its function, or start at all
    "fail": ((_QUEUED, _DISPATCHED, _RUNNING), JobStatus.FAILED),
    "cancel": ((_QUEUED, _DISPATCHED, _RUNNING), JobStatus.CANCELLED),
    "time_out": ((_RUNNING,), JobStatus.TIMED_OUT),
    "lose": ((_QUEUED, _DISPATCHED, _RUNNING), JobStatus.LOST),
}
"""Event: (statuses in which it can happen, status after it)."""

NEVER = float("inf")
"""The moment of what is not going to happen."""

_NOT_YET: float | None = None

NO_ARGUMENTS = Payload(b"")
"""In place of what is not kept any more."""


class Wait:
    """A reply that is owed, once something has happened. Plain slots: made on the hot path."""

    __slots__ = ("among", "awaited", "caller", "executor", "last", "owned", "runs", "token")

    def __init__(
        self,
        token: object,
        among: MutableSequence[Any],
        awaited: Job | None = None,
        *,
        last: bool = False,
        owned: bool = False,
    ) -> None:
        self.token = token
        self.among = among
        """Those who wait for the same."""
        among.append(self)
        self.awaited = awaited
        """The job whose end, or whose next event, is the reply; None for other waits."""
        self.last = last
        """Whether the caller's handle goes with the reply."""
        self.owned = owned
        """Whether the job is cancelled when the process that waits for it dies."""
        self.runs = False
        """Whether the job is cancelled when this wait is given up: its caller knows no more."""
        self.executor = 0
        """The executor whose code waits, 0 if it is none."""
        self.caller: Job | None = None
        """The job that is parked for as long as this wait lasts."""

    def left(self) -> None:
        """It was given up: whoever is affected by that may say so here."""

    def passes_to(self, asked: Asked) -> None:
        """Who has asked again has this place from now on."""
        self.token = asked.token


class KeptJob(Protocol):
    """What writes a job down."""

    def begin(self) -> None:
        """What it is, is new, or has changed."""
        ...

    def note(self) -> None:
        """Something has happened to it."""
        ...

    def forget(self) -> None:
        """It is not known any more."""
        ...


class Job:
    """One call and everything known of it. Plain slots: made once a call, on the hot path."""

    __slots__ = (
        "arguments",
        "attempt",
        "deadline",
        "ended_at",
        "error",
        "executor",
        "failures",
        "function",
        "held",
        "is_alone",
        "kept",
        "key",
        "level",
        "log",
        "losses",
        "nbytes",
        "not_before",
        "number",
        "parked",
        "progress",
        "result",
        "started_at",
        "status",
        "stop",
        "stream",
        "submitted_at",
        "waiters",
    )

    def __init__(self, number: int, function: Function, arguments: Payload, now: float) -> None:
        self.number, self.function, self.arguments = number, function, arguments
        self.nbytes, self.status = arguments.nbytes, _QUEUED
        self.attempt = self.failures = self.losses = 0
        """Those dispatched; those of them that raised or timed out, each of which spends one of
        the caller's retries; and those whose process died, which have a budget of their own."""
        self.executor = self.level = self.parked = 0
        """The executor in whose line it stands, 0 if in none; how many callers wait above this one,
        at the most so far; and in how many SDK waits the job's code is blocked."""
        self.not_before = 0.0
        """When its next attempt may begin; counts only while it is queued."""
        self.deadline = NEVER
        """When its code has to have stopped; counts only while it runs."""
        self.stop: str | None = None
        """Why its code is being stopped: "cancel" or "time_out"."""
        self.stream: Stream | None = None
        """The items of a generator."""
        self.held, self.is_alone = True, False
        """Whether somebody may still ask for the result; and whether it runs without others, as a
        batch that it was in has gone wrong."""
        self.result: Payload | None = None
        self.error: ErrorInfo | None = None
        self.log: JobLog | None = None
        self.progress: dict[str, Any] | None = None
        """What its code has told last of how far it is."""
        self.key: tuple[str, str, str] | None = None
        """App, function and the caller's key, if it was queued under one."""
        self.kept: KeptJob | None = None
        """What writes it down, if it is to survive the control plane."""
        self.waiters: list[Wait] | None = None
        self.submitted_at = now
        self.started_at = self.ended_at = _NOT_YET

    @property
    def job_id(self) -> str:
        """The id that users see."""
        return f"jobs:{self.number}"

    @property
    def is_final(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.ended_at is not None

    def move(self, event: str) -> None:
        """Change status by the table.

        Raises:
            InternalError: the table has no such row; nothing has changed.
        """
        allowed, after = MOVES[event]
        if self.status not in allowed:
            raise InternalError(f"{self.job_id} is {self.status}: it cannot {event}")
        self.status = after

    def start(self, now: float) -> None:
        """It has reached the place where its executor works."""
        self.move("start")
        self.started_at = now
        self.deadline = now + self.function.spec.timeout_s

    def requeue(self, event: str) -> None:
        """It is in nobody's hands any more, and is to be run again."""
        self.move(event)
        self.executor = 0
        self.started_at = None
        self.deadline = NEVER
        self.stop = None
        if self.stream is not None:
            self.stream.restart()
        if self.kept is not None:
            self.kept.note()

    def end(
        self, event: str, now: float, result: Payload | None, error: ErrorInfo | None
    ) -> list[Wait] | None:
        """End for good; gives those who waited for it."""
        self.move(event)
        self.result = result
        self.error = error
        self.ended_at = now
        self.executor = 0
        waiters, self.waiters = self.waiters, None
        return waiters

    @property
    def may_run_again(self) -> bool:
        """Whether nobody has seen anything of what it did: of a generator, no item."""
        return self.stream is None or not self.stream.given

    @property
    def maybe_ran(self) -> bool:
        """Whether its code may have begun in an earlier attempt."""
        return self.losses > 0 or self.failures > 0 or self.is_alone

    def snapshot(self, wall_offset: float) -> JobSnapshot:
        """The job as its callers see it now, its times in Unix time."""
        spec = self.function.spec
        started, ended = self.started_at, self.ended_at
        return JobSnapshot(
            job_id=self.job_id,
            function_id=self.function.function_id,
            app_name=spec.app_name,
            function_name=spec.name,
            status=self.status,
            attempt=self.attempt,
            cancel_requested=self.stop == "cancel",
            submitted_at=self.submitted_at + wall_offset,
            started_at=None if started is None else started + wall_offset,
            ended_at=None if ended is None else ended + wall_offset,
            error=self.error,
            progress=self.progress,
            limits=self.function.limits(),
        )

    def outcome(self) -> JobOutcome:
        """How the job ended."""
        return JobOutcome(self.job_id, self.status, self.result, self.error)
