"""Calls of users' functions, here or in workers, and how they went."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from inspect import iscoroutinefunction
from typing import Any

import click

from apothic.cli import output
from apothic.cli.failures import ExitCode, code_of, describe
from apothic.cli.load import Target
from apothic.cli.talk import Talk
from apothic.cli.watch import stream_events
from apothic.functions import Declared
from apothic.items import Items
from apothic.jobs import Job
from apothic_backends.commands import GetJob
from apothic_backends.connection import connect
from apothic_backends.model.errors import UsageError, WaitTimeout

_GRACE_S = 0.5
"""So long a job that was interrupted may take to end before anything is said of it."""
_PATIENCE_S, _LATER_S = 5.0, 60.0
"""After so long people are told why a job has not begun, and again each time after so long."""


class Calls:
    """Calls, told of by one talk; each gives an exit code."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self._error: BaseException | None = None

    def here(self, function: Target, args: list[Any], kwargs: dict[str, Any]) -> int:
        """Call it in this process."""
        if self.talk.wishes.watch:
            raise UsageError("--watch shows one job, and a local entrypoint is none; leave it out")
        status, result = self.guarded(partial(self.aside, partial(_call, function, args, kwargs)))
        self.talk.finish()
        if self.talk.is_json:
            self._document(status, result)
        return status

    def remotely(
        self, function: Declared[..., Any], args: list[Any], kwargs: dict[str, Any]
    ) -> int:
        """Call it in a worker: what it gives to stdout, what it prints to stderr."""
        if function.is_generator:
            return self._take_items(function, args, kwargs)
        return self.of_job(partial(function.spawn, *args, **kwargs))

    def of_job(self, begin: Callable[[], Any]) -> int:
        """Begin a job, show what happens to it, and print its result."""
        status, job = self.guarded(begin)
        if job is None:
            return status
        self.talk.watch(job.job_id)
        status, result = self.guarded(partial(self._wait, job))
        self.talk.finish()
        if self.talk.is_stream():
            return status
        if self.talk.is_json:
            self._document(status, result, job)
        elif not status and result is not None:
            output.put(output.shown(result))
        return status

    def _take_items(
        self, function: Declared[..., Any], args: list[Any], kwargs: dict[str, Any]
    ) -> int:
        """Call a generator in a worker: its items to stdout as they come."""
        if self.talk.wishes.watch:
            raise UsageError("--watch shows the events of a job, and not its items; leave it out")
        items = function.with_options(wait_timeout_s=None).remote_gen(*args, **kwargs)
        status, _ = self.guarded(partial(self._put_items, items))
        self.talk.finish()
        if self.talk.is_json:
            self._document(status, None, items.job_id and Job.from_id(items.job_id))
        return status

    def _put_items(self, items: Items[Any]) -> None:
        for index, item in enumerate(items):
            line = output.shown(item)
            if self.talk.is_json:
                about = {"schema": output.ITEM, "job_id": items.job_id, "index": index}
                line = output.line_of(output.with_value(about, "item", item))
            if not output.put(line):
                items.close()

    def _wait(self, job: Any) -> Any:
        try:
            if self.talk.is_stream():
                stream_events(job, snapshot=bool(self.talk.wishes.snapshot))
            return self._outcome(job)
        except KeyboardInterrupt:
            self._stop(job)
            raise

    def _outcome(self, job: Any) -> Any:
        """What it gives; while it has no place for long, people are told why now and then."""
        pause_s = _PATIENCE_S
        while True:
            try:
                return job.wait(timeout_s=pause_s)
            except WaitTimeout:
                seen = connect().start(GetJob(job.job_id)).wait()
                if seen.status.is_final:
                    return job.wait()  # it was an error of its own, or has ended just now
                if seen.waiting:
                    self.talk.say(f"{job.job_id}: {seen.waiting}")
                    pause_s = _LATER_S

    def _stop(self, job: Any) -> None:
        """Have a job interrupted, and wait for what it still has to say."""
        job.cancel()
        try:
            try:
                job.wait(timeout_s=_GRACE_S)
            except WaitTimeout:
                self.talk.say(f"waiting for {job.job_id} to stop; Ctrl-C again does not wait")
                job.wait()
        except Exception:  # noqa: BLE001, S110 - it was interrupted, however it took that
            pass

    def aside(self, call: Callable[[], Any]) -> Any:
        """Run the user's code in this process; stdout is for the one document, if it is to be."""
        if not self.talk.is_json:
            return call()
        with redirect_stdout(sys.stderr):
            return call()

    # --- how it went ----------------------------------------------------------------------------

    def guarded(self, call: Callable[[], Any]) -> tuple[int, Any]:
        """Run the user's code: an exit code with its trouble told on stderr, and what it gave."""
        self._error = None
        try:
            return ExitCode.DONE, call()
        except SystemExit as error:
            if isinstance(error.code, str):
                self.talk.finish()
                click.echo(error.code, err=True)
            return (error.code if isinstance(error.code, int) else bool(error.code)), None
        except BaseException as error:  # noqa: BLE001 - its code may raise anything
            self._error = error
            self.talk.fail(error)
            return code_of(error), None

    def _document(self, status: int, result: object, job: Any = None) -> None:
        """The one document that says how it went."""
        document: dict[str, Any] = {"schema": output.RUN, "job_id": job and job.job_id}
        document["status"] = "failed" if status else "succeeded"
        if job is not None:
            document["status"] = job.status().value
        document = output.with_value(document, "result", result)
        document["error"] = self._error and describe(self._error)
        output.put(output.line_of(document))


def _call(function: Target, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if iscoroutinefunction(function):
        import asyncio  # costs an interpreter start  # noqa: PLC0415

        return asyncio.run(function(*args, **kwargs))
    return function(*args, **kwargs)
