"""The `apothic job` commands and their help; each imports what it does when it is run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from apothic.cli.wishes import Wishes, showing, with_options


@click.group(short_help="Look at jobs, follow them, stop them.")
def job() -> None:
    """Look at jobs of a running control plane; follow, wait, stop. See `apothic deploy --help`.

    \b
    apothic job watch jobs:123 --snapshot      what happens to it, from now on
    apothic job logs jobs:123 --follow
    apothic job list --json
    """  # noqa: D301 - click reads \b as "do not wrap this paragraph"


def _one(name: str, help_text: str) -> Callable[[Callable[..., None]], click.Command]:
    """A command for one job."""

    def decorate(function: Callable[..., None]) -> click.Command:
        function = click.pass_obj(function)
        function = click.argument("job_id", metavar="JOB")(with_options(showing)(function))
        return job.command(name, short_help=help_text)(function)

    return decorate


def _do(asked: Wishes, given: dict[str, Any], job_id: str, do: Callable[..., int]) -> None:
    """Carry something out: called with the backend, what was asked for, and the id."""
    from apothic.cli.jobs import carry_out, job_id_of  # noqa: PLC0415 - so that --help starts fast

    wishes = asked.over(given)

    def prepare() -> Callable[..., int]:
        found = job_id_of(job_id)
        return partial(do, asked=wishes, job_id=found)

    sys.exit(carry_out(wishes, job_id, prepare))


@_one("watch", "What happens to a job, as it happens.")
@click.option("--snapshot", is_flag=True, help="Begin with the state of the job.")
@click.option("--after", metavar="CURSOR", help="Begin after this event: the cursor of one.")
@click.option("--event-types", metavar="A,B", help="These events only, and the end.")
def watch(
    asked: Wishes,
    job_id: str,
    *,
    snapshot: bool,
    after: str | None,
    event_types: str | None,
    **given: Any,
) -> None:
    """Show what happens to JOB until it ends; the exit code is that of the job.

    On a terminal its life and its lines, in a pipe or with --json one event a line.
    """
    from apothic.cli import jobs  # noqa: PLC0415 - as above

    wishes = asked.over(given)

    def prepare() -> Callable[..., int]:
        found = jobs.job_id_of(job_id)
        where = jobs.where_of(snapshot=snapshot, after=after, event_types=event_types)
        return partial(jobs.watch, asked=wishes, job_id=found, where=where)

    sys.exit(jobs.carry_out(wishes, job_id, prepare))


@_one("get", "The state of a job.")
def get(asked: Wishes, job_id: str, **given: Any) -> None:
    """Show the state of JOB."""
    from apothic.cli import jobs  # noqa: PLC0415 - as above

    _do(asked, given, job_id, jobs.get)


@_one("cancel", "Stop a job.")
def cancel(asked: Wishes, job_id: str, **given: Any) -> None:
    """Stop JOB: at once while it is queued, else it is interrupted, then killed."""
    from apothic.cli import jobs  # noqa: PLC0415 - as above

    _do(asked, given, job_id, jobs.cancel)


@_one("wait", "Wait for a job, and show its result.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="Wait so long at most.")
def wait(asked: Wishes, job_id: str, timeout: float | None, **given: Any) -> None:
    """Wait until JOB has ended; its result goes to stdout, and the exit code is that of the job."""
    from apothic.cli import jobs  # noqa: PLC0415 - as above

    _do(asked, given, job_id, partial(jobs.wait, timeout_s=timeout))


@_one("result", "The result of a job that has ended.")
def result(asked: Wishes, job_id: str, **given: Any) -> None:
    """Show the result of JOB, which has ended; the exit code is that of the job."""
    from apothic.cli import jobs  # noqa: PLC0415 - as above

    _do(asked, given, job_id, jobs.result)


@_one("logs", "What a job has printed.")
@click.option("--follow", is_flag=True, help="Go on until the job has ended.")
@click.option("--attempt", type=click.IntRange(min=1), help="Of this attempt only.")
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Of this stream only.")
def logs(
    asked: Wishes,
    job_id: str,
    *,
    follow: bool,
    attempt: int | None,
    stream: str | None,
    **given: Any,
) -> None:
    """Show what JOB has printed."""
    from apothic.cli import jobs  # noqa: PLC0415 - as above

    more: dict[str, Any] = {"follow": follow, "attempt": attempt, "stream": stream}
    _do(asked, given, job_id, partial(jobs.logs, **more))


@job.command("list", short_help="Jobs that have not ended.")
@with_options(showing)
@click.pass_obj
def list_open(asked: Wishes, **given: Any) -> None:
    """List the jobs that are queued or run."""
    from apothic.cli import jobs  # noqa: PLC0415 - as above

    wishes = asked.over(given)
    command = partial(jobs.list_open, asked=wishes)
    sys.exit(jobs.carry_out(wishes, "jobs", lambda: command))
