"""What `apothic run` keeps of jobs that fail, so that `apothic replay` can run them again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from apothic._connect import connected
from apothic.cli import records
from apothic.cli.records import JobRecord
from apothic_backends.base import Backend
from apothic_backends.commands import GetJob, GetJobInput, ReadEvents
from apothic_backends.model.errors import ApothicError, NotFound
from apothic_backends.model.events import Cursor, Event

_FAILED = ("failed", "timed_out", "lost")
"""Not "cancelled": somebody wanted that, often because another job failed."""

_MOST_EVENTS = 50_000
"""How far back failures are looked for."""


def keep_failures(file: Path, status: int, say: Callable[[str], None]) -> int:
    """Keep what the failed jobs of this run were given, and say how to run one again."""
    backend = connected()
    if backend is None:
        return status
    try:
        failed = _failed(backend)
        kept = [record for event in failed if (record := _record(backend, event, file))]
        if kept:
            records.write(kept)
    except (ApothicError, OSError):
        return status  # the control plane is gone, or there is no place to write: nothing to add
    if status and kept:
        others = f" and {len(failed) - 1} more" if failed[1:] else ""
        last = kept[-1].job_id
        say(f"{last}{others} failed; run it again: apothic replay {last} --pdb")
    return status


def _failed(backend: Backend) -> list[Event]:
    """The ends of jobs that failed, as far back as is told, the oldest first."""
    here = backend.start(ReadEvents(snapshot=True)).wait().cursor
    at, found = Cursor(here.epoch, max(0, here.seq - _MOST_EVENTS)), list[Event]()
    while at.seq < here.seq:
        batch = backend.start(ReadEvents(after=at)).wait()
        at = batch.cursor
        found += [event for event in batch.events if _is_failure(event)]
    return found[-records.MOST_RECORDS :]


def _is_failure(event: Event) -> bool:
    return event.event == "job.end" and event.data["status"] in _FAILED


def _record(backend: Backend, event: Event, file: Path) -> JobRecord | None:
    """What there is to keep of a job; None if its input was too large."""
    job_id = event.data["job_id"]
    try:
        given = backend.start(GetJobInput(job_id)).wait()
        error = backend.start(GetJob(job_id)).wait().error
    except NotFound:
        return None
    said = "" if error is None else f"{error.type_name or error.code}: {error.message}"
    return JobRecord(
        job_id=job_id,
        file=str(file),
        app_name=given.app_name,
        function_name=given.function_name,
        status=event.data["status"],
        error=said.partition("\n")[0],
        at=event.data["at"],
        arguments=given.arguments,
    )
