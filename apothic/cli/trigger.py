"""`apothic trigger`: run a scheduled function now, and say when it runs by itself."""

from __future__ import annotations

import time
from datetime import datetime
from functools import partial
from typing import Any

from apothic._calls import Calls as Links
from apothic._drive import block
from apothic.cli.calls import Calls
from apothic.cli.load import choose, find_file, load
from apothic.cli.talk import Talk
from apothic.cli.wishes import Wishes
from apothic.functions import Declared, as_declared
from apothic.jobs import Job
from apothic.schedules import Cron, Period
from apothic_backends.commands import TriggerSchedule
from apothic_backends.connection import connect
from apothic_backends.model.errors import UsageError


def trigger_target(target: str, at: str | None, times: int, asked: Wishes) -> int:
    """Run it and give the exit code."""
    with Talk(asked) as talk:
        return talk.report(partial(_trigger, target, at, times, talk))


def _trigger(target: str, at: str | None, times: int, talk: Talk) -> int:
    calls = Calls(talk)
    status, found = calls.guarded(partial(calls.aside, partial(_find, target)))
    if status:
        return status
    handle, schedule = found
    status = calls.of_job(partial(_begin, handle, _moment(at, schedule)))
    if not status:
        _tell(handle.name, schedule, times, talk)
    return status


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


def _begin(handle: Declared[..., Any], at: float | None) -> Job[Any]:
    """Have it run in a worker."""
    backend = connect()
    function_id = block(Links(handle).function_on(backend, None))
    return Job(backend.start(TriggerSchedule(function_id, at)).wait())


def _tell(name: str, schedule: Cron | Period, times: int, talk: Talk) -> None:
    """Say when it runs by itself, in words and as the next times."""
    from apothic_backends.calendars import in_words, next_times  # noqa: PLC0415 - as above

    rule = schedule.rule
    now = time.time()  # noqa: TID251 - what comes next depends on when that is asked
    talk.say(f"{name}: {in_words(rule)}. Next:")
    for moment in next_times(rule, now, times):
        told = f"  {moment:%a %Y-%m-%d %H:%M:%S %Z}"
        local = moment.astimezone()
        is_elsewhere = moment.utcoffset() != local.utcoffset()
        talk.say(f"{told} ({local:%H:%M} here)" if is_elsewhere else told)
