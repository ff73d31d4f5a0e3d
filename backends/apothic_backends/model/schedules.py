"""When a function runs by itself, and what becomes of runs that cannot be had."""

from __future__ import annotations

from typing import Final

from apothic_backends.model.record import Record

OVERLAPS: Final = ("skip", "allow")
MISSES: Final = ("last", "skip", "all")


class Schedule(Record):
    """What every schedule says.

    `overlap`: a run that is due while the one before has not ended is skipped ("skip") or starts
    beside it ("allow"). `missed`: of the runs that were due while nothing could start them, the
    last is made up for ("last"), or all, oldest first ("all"), or none ("skip").
    """

    timezone: str = "UTC"
    overlap: str = "skip"
    missed: str = "last"


class CronSchedule(Schedule):
    """Times as in a crontab, on the clocks of a time zone."""

    expression: str = ""


class PeriodSchedule(Schedule):
    """Steps from where it was started: first on the calendar of a time zone, then in seconds.

    Every step is counted from the start, so that the 31st comes back after a shorter month.
    """

    months: int = 0
    days: int = 0
    seconds: float = 0.0


class ScheduleSnapshot(Record):
    """A schedule at one moment; times are Unix seconds.

    `next_at` is None when no run will ever come. `skipped` counts what was not run, a stretch of
    missed runs as one.
    """

    function_id: str
    app_name: str
    function_name: str
    schedule: CronSchedule | PeriodSchedule
    next_at: float | None
    last_at: float | None = None
    last_job_id: str | None = None
    fired: int = 0
    skipped: int = 0
