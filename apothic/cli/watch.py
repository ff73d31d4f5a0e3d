"""The events of one job: for programs one a line, for people as a life and its lines."""

from __future__ import annotations

import sys
import time
from typing import Any

from apothic.cli import output
from apothic.cli.failures import ExitCode
from apothic.cli.live import View
from apothic.cli.look import Look
from apothic.cli.screen import Screen
from apothic.jobs import Job
from apothic.watches import Watch
from apothic_backends.model.events import Event

_FRAME_S = 0.1
"""Between two drawings of rows."""

_CODES = {"succeeded": ExitCode.DONE, "timed_out": ExitCode.TIMEOUT}


def stream_events(job: Job[Any], *, snapshot: bool) -> None:
    """Print the events of a job on stdout until it ends, or until nobody reads them."""
    with job.watch(snapshot=snapshot) as events:
        print_events(events)


def print_events(events: Watch) -> int:
    """Print events, one a line; the exit code that tells how their job has ended."""
    code = ExitCode.DONE
    for event in events:
        code = code_of_end(event, code)
        if not output.put(output.line_of_event(event)):
            break
    return code


def show_events(events: Watch, job_id: str, look: Look) -> int:
    """Show a job to people: what it prints, what becomes of it, and its result."""
    view = View(look, is_watching=True)
    view.watched = job_id
    result: list[str] = []
    code, drawn_at, rows = ExitCode.DONE, 0.0, []
    with Screen(sys.stdout) as screen:
        for event in events:
            code = code_of_end(event, code)
            view.take(event)
            result += _result(event)
            if look.is_live and time.monotonic() - drawn_at >= _FRAME_S:
                rows = view.rows(time.time(), screen.width) if view.has_rows() else []
                drawn_at = time.monotonic()
            screen.show(view.take_lines(), rows)
    for text in result:
        output.put(text)
    return code


def code_of_end(event: Event, code: ExitCode) -> ExitCode:
    """The exit code after an event: how the job has ended, once it has."""
    return code_of_status(event.data["status"]) if event.event == "job.end" else code


def code_of_status(status: str) -> ExitCode:
    """The exit code that tells how a job has ended."""
    return _CODES.get(status, ExitCode.RAISED)


def _result(event: Event) -> list[str]:
    """What a job has given, or why it has not, as a text."""
    if event.event != "job.result":
        return []
    error = event.data.get("error")
    if error is not None:
        if isinstance(error, str):
            return [f"error: {error}"]
        return [error["traceback"].rstrip() or f"error: {error['message']}"]
    value = event.data.get("value")
    return [] if value is None else [output.shown(value)]
