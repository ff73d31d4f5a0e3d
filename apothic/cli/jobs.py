"""`apothic job`: look at jobs of a control plane, follow them, wait for them, stop them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from apothic._watches import Reading, wanted_of
from apothic.cli import output
from apothic.cli.failures import ExitCode, code_of, describe, explain
from apothic.cli.look import look_of
from apothic.cli.plane import control_plane
from apothic.cli.seen import seconds
from apothic.cli.watch import code_of_status, print_events, show_events
from apothic.cli.wishes import Wishes
from apothic.jobs import Job
from apothic.watches import Lines, Watch, check_lines, check_watch
from apothic_backends.base import Backend
from apothic_backends.commands import CancelJob, GetJob, GetJobLogs, ReadEvents
from apothic_backends.connection import use
from apothic_backends.model.errors import WaitTimeout
from apothic_backends.model.events import ALL_JOBS, Cursor
from apothic_backends.model.ids import number_of
from apothic_backends.model.jobs import JobSnapshot
from apothic_backends.model.record import Record

_ERROR_FIELDS = ("code", "message", "type_name", "traceback")


class Where(Record):
    """From where on to watch, and what."""

    snapshot: bool = False
    after: Cursor | None = None
    event_types: tuple[str, ...] | None = None


def where_of(*, snapshot: bool, after: str | None, event_types: str | None) -> Where:
    """The same as it was typed.

    Raises:
        UsageError: it cannot be meant.
    """
    cursor = None if after is None else Cursor.parse(after)
    check_watch(cursor, snapshot=snapshot)
    names = event_types and tuple(name.strip() for name in event_types.split(","))
    wanted_of(names or None)
    return Where(snapshot, cursor, names or None)


def carry_out(asked: Wishes, what: str, prepare: Callable[[], Callable[[Backend], int]]) -> int:
    """Ask the running control plane; gives the exit code, with what went wrong told on stderr.

    What can be told without a control plane is: `prepare` comes first.
    """
    try:
        command = prepare()
        return command(control_plane(what))
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - told, whatever it is
        told = output.line_of({"error": describe(error)}) if asked.is_json() else explain(error)
        output.put_error(told)
        return code_of(error)


@contextmanager
def following(job_id: str) -> Generator[None]:
    """Follow a job; whoever stops that is told that the job has not stopped."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {job_id} goes on") from None


def job_id_of(text: str) -> str:
    """The id of a job as it was typed: `jobs:123`, or `j:123` as lines have it.

    Raises:
        UsageError: it is neither.
    """
    job_id = f"jobs:{text[2:]}" if text.startswith("j:") else text
    number_of(job_id, "jobs")
    return job_id


def watch(backend: Backend, asked: Wishes, job_id: str, where: Where) -> int:
    """Show the events of a job until it ends; the exit code tells how."""
    stream = backend.watch(job_id, where.after, snapshot=where.snapshot)
    with following(job_id), Watch(Reading(stream, where.event_types)) as events:
        code = _follow(events, asked, job_id)
    if where.after is None:
        return code
    status = backend.start(GetJob(job_id)).wait().status  # it may have ended before that position
    return code_of_status(status.value) if status.is_final else code


def _follow(events: Watch, asked: Wishes, job_id: str) -> int:
    if asked.is_json() or not sys.stdout.isatty():
        return print_events(events)
    look = look_of(
        os.environ,
        is_terminal=True,
        color=asked.color or "auto",
        is_plain=bool(asked.plain),
    )
    return show_events(events, job_id, look.replace(is_verbose=bool(asked.verbose)))


def get(backend: Backend, asked: Wishes, job_id: str) -> int:
    """Print the state of a job."""
    _put_job(asked, backend.start(GetJob(job_id)).wait())
    return ExitCode.DONE


def cancel(backend: Backend, asked: Wishes, job_id: str) -> int:
    """Stop a job, and print its state."""
    _put_job(asked, backend.start(CancelJob(job_id)).wait())
    return ExitCode.DONE


def list_open(backend: Backend, asked: Wishes) -> int:
    """Print the jobs that have not ended."""
    batch = backend.start(ReadEvents(ALL_JOBS, snapshot=True)).wait()
    found = [event.data for event in batch.events if event.event == "job.snapshot"]
    if asked.is_json():
        output.put(output.line_of({"schema": output.JOBS, "jobs": found}))
        return ExitCode.DONE
    rows = [("JOB", "FUNCTION", "STATUS", "ATTEMPT")]
    for told in found:
        function = f"{told['app_name']}/{told['function_name']}"
        rows.append((told["job_id"], function, str(told["status"]), str(told["attempt"])))
    for line in output.columns(rows):
        output.put(line)
    return ExitCode.DONE


def logs(
    backend: Backend,
    asked: Wishes,
    job_id: str,
    *,
    follow: bool = False,
    attempt: int | None = None,
    stream: str | None = None,
) -> int:
    """Print what a job has printed, or with `follow` what it prints until it ends."""
    check_lines(attempt, stream)
    if follow and asked.is_json():
        texts = ["job.log", "log.gap"]
        with following(job_id), Watch(Reading(backend.watch(job_id), texts)) as events:
            print_events(events)
    elif follow:
        with following(job_id), Watch(Reading(backend.watch(job_id))) as events:
            _put_lines(Lines(events, attempt, stream))
    else:
        kept = backend.start(GetJobLogs(job_id, attempt)).wait()
        if asked.is_json():
            told = {field: getattr(kept, field) for field in kept.fields}
            output.put(output.line_of({"schema": output.LOGS, "job_id": job_id, **told}))
        else:
            text: str = getattr(kept, stream or "text")
            output.put(text, end="")
    return ExitCode.DONE


def wait(backend: Backend, asked: Wishes, job_id: str, timeout_s: float | None = None) -> int:
    """Wait for the end of a job and print its result; raises what it raised."""
    before = use(backend)
    try:
        with following(job_id):
            result = Job.from_id(job_id).wait(timeout_s)
    finally:
        use(before)
    if asked.is_json():
        about = {"schema": output.RUN, "job_id": job_id, "status": "succeeded"}
        output.put(output.line_of(output.with_value(about, "result", result)))
    elif result is not None:
        output.put(output.shown(result))
    return ExitCode.DONE


def result(backend: Backend, asked: Wishes, job_id: str) -> int:
    """Print the result of a job that has ended; raises what it raised.

    Raises:
        WaitTimeout: it has not ended.
    """
    status = backend.start(GetJob(job_id)).wait().status
    if not status.is_final:
        raise WaitTimeout(
            f"{job_id} has not ended: it is {status.value}; `apothic job wait {job_id}` waits",
            job_ids=[job_id],
        )
    return wait(backend, asked, job_id)


def _put_lines(lines: Lines) -> None:
    for line in lines:
        if not output.put(line, end=""):
            return


def _put_job(asked: Wishes, job: JobSnapshot) -> None:
    told = {field: getattr(job, field) for field in job.fields}
    told["status"] = job.status.value
    told["error"] = job.error and {field: getattr(job.error, field) for field in _ERROR_FIELDS}
    if asked.is_json():
        output.put(output.line_of({"schema": output.JOB, **told}))
        return
    told["error"] = job.error and f"{job.error.code}: {job.error.message}"
    if job.started_at is not None:
        told["started_at"] = f"after {seconds(job.started_at - job.submitted_at)}"
        if job.ended_at is not None:
            told["ended_at"] = f"after {seconds(job.ended_at - job.submitted_at)}"
    for line in output.columns(
        [(name, str(value)) for name, value in told.items() if value not in (None, "")]
    ):
        output.put(line)
