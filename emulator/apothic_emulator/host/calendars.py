"""The calendar of a host: loaded when the first schedule is started."""

from __future__ import annotations

from apothic_backends.model.schedules import CronSchedule, PeriodSchedule
from apothic_emulator.core.schedules import Calendar


class LazyCalendar:
    """Cron expressions, periods and time zones; most programs never ask."""

    def __init__(self) -> None:
        self._found: Calendar | None = None

    @property
    def _calendar(self) -> Calendar:
        if self._found is None:
            from apothic_backends.calendars import Calendar as Found  # noqa: PLC0415 - as above

            self._found = Found()
        return self._found

    def after(self, schedule: CronSchedule | PeriodSchedule, anchor: float, moment: float) -> float:
        """The first time after a moment."""
        return self._calendar.after(schedule, anchor, moment)

    def until(self, schedule: CronSchedule | PeriodSchedule, anchor: float, moment: float) -> float:
        """The last time up to a moment."""
        return self._calendar.until(schedule, anchor, moment)
