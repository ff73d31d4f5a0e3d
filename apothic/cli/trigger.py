"""`apothic trigger`: run a scheduled function now, and say when it runs by itself."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import click

from apothic.cli.failures import ExitCode, code_of, explain
from apothic.cli.load import choose, find_file, load
from apothic.cli.run import shown
from apothic.functions import Declared, as_declared
from apothic.jobs import Job
from apothic.schedules import Cron, Period
from apothic_backends.commands import RegisterFunction, TriggerSchedule
from apothic_backends.connection import connect
from apothic_backends.model.errors import UsageError


def trigger_target(target: str, at: str | None, times: int) -> int:
    """Run it and give the exit code."""
    try:
        handle, schedule = _find(target)
        moment = _moment(at, schedule)
        _run(handle, moment)
        _tell(handle.name, schedule, times)
    except BaseException as error:  # noqa: BLE001 - its code may raise anything
        is_usage = isinstance(error, UsageError)
        click.echo(f"error: {error.message}" if is_usage else explain(error), err=True)
        return code_of(error)
    return ExitCode.DONE


def _find(target: str) -> tuple[Declared[..., Any], Cron | Period]:
    path, _, name = target.partition("::")
    handle = as_declared(choose(load(find_file(path)), name))
    schedule = handle.options.get("schedule") if handle is not None else None
    if handle is None or schedule is None:
        raise UsageError(
            f"{target} has no schedule. Give it one, @app.function(schedule=Cron('0 3 * * *')), or "
            f"call it with `apothic run {target}`"
        )
    return handle, schedule


def _moment(at: str | None, schedule: Cron | Period) -> float | None:
    """Unix seconds of a date as people write it, on the clocks of the schedule."""
    if at is None:
        return None
    from apothic_backends.calendars import zone  # noqa: PLC0415 - costs, and is seldom asked for

    try:
        found = datetime.fromisoformat(at)
    except ValueError:
        raise UsageError(
            f"--at {at!r} is no time; write 2026-11-22T03:00, with +01:00 behind it or without"
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=zone(schedule.timezone))).timestamp()


def _run(handle: Declared[..., Any], at: float | None) -> None:
    """Run it in a worker: its result to stdout, what it printed to stderr."""
    backend = connect()
    function_id = backend.start(RegisterFunction(handle.spec(), handle.code())).wait()
    job: Job[Any] = Job(backend.start(TriggerSchedule(function_id, at)).wait())
    try:
        result = job.wait()
    except KeyboardInterrupt:
        job.cancel()
        raise
    finally:
        click.echo(job.logs(), nl=False, err=True)
    if result is not None:
        click.echo(shown(result))


def _tell(name: str, schedule: Cron | Period, times: int) -> None:
    """Say when it runs by itself, in words and as the next times."""
    from apothic_backends.calendars import in_words, next_times  # noqa: PLC0415 - as above

    rule = schedule.rule
    now = time.time()  # noqa: TID251 - what comes next depends on when that is asked
    click.echo(f"{name}: {in_words(rule)}. Next:", err=True)
    for moment in next_times(rule, now, times):
        told = f"  {moment:%a %Y-%m-%d %H:%M:%S %Z}"
        local = moment.astimezone()
        is_elsewhere = moment.utcoffset() != local.utcoffset()
        click.echo(f"{told} ({local:%H:%M} here)" if is_elsewhere else told, err=True)
