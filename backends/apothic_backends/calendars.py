"""When schedules are due: calendars, time zones and clock changes. No state but a cache.

Around a clock change a daily run stays daily, as in Debian's cron: a time that does not exist runs
right after the gap, one that comes twice runs the first time. Hourly and more frequent runs go by
real time.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.schedules import CronSchedule, PeriodSchedule

NEVER = float("inf")
FIELDS = 5
_MONTH_S, _DAY_S = 30.44 * 86_400, 86_400.0
_LAST_YEAR = 9990

AnySchedule = CronSchedule | PeriodSchedule


@cache
def zone(name: str) -> tzinfo:
    """The time zone of that name.

    Raises:
        InvalidOption: there is none.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError) as error:
        raise InvalidOption(
            f"timezone={name!r} is not known here; names are such as 'Europe/Berlin'. Where the "
            "system brings no time zones, as on Windows, install the package tzdata",
            option="timezone",
            value=name,
        ) from error


@cache
def check_cron(expression: str) -> None:
    """See to it that an expression can be read, and comes to pass at some time.

    Raises:
        InvalidOption: it cannot, or does not.
    """
    why = _complaint(expression)
    if why:
        raise InvalidOption(
            f"expression={expression!r}: {why}. It takes five fields, minute (0-59), hour (0-23), "
            "day of month (1-31), month (1-12), day of week (0-7), such as '*/5 * * * *'",
            option="expression",
            value=expression,
        )


def _complaint(expression: str) -> str:
    if len(expression.split()) != FIELDS:
        return "that is another number of fields"
    try:
        next(CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        return str(error)
    except StopIteration:
        return "it never comes to pass"
    return ""


class Calendar:
    """Finds the times of schedules. It remembers where it was, since that is where it is asked."""

    def __init__(self) -> None:
        self._crons: dict[tuple[str, str], tuple[float, float, CronSim]] = {}

    def after(self, schedule: AnySchedule, anchor: float, moment: float) -> float:
        """The first time after a moment; `NEVER` if there is none. A period counts from `anchor`.

        All of them are Unix seconds.
        """
        if isinstance(schedule, CronSchedule):
            return self._cron_after(schedule, moment)
        step = _first_step(schedule, anchor, moment)
        return _period_at(schedule, anchor, step)

    def until(self, schedule: AnySchedule, anchor: float, moment: float) -> float:
        """The last time up to a moment, that one included; `-NEVER` if there is none."""
        if isinstance(schedule, PeriodSchedule):
            step = _first_step(schedule, anchor, moment) - 1
            return _period_at(schedule, anchor, step) if step > 0 else -NEVER
        back = CronSim(schedule.expression, _local(schedule, moment + 1.0), reverse=True)
        return next((at for at in _moments(back) if at <= moment), -NEVER)

    def _cron_after(self, schedule: CronSchedule, moment: float) -> float:
        key = schedule.expression, schedule.timezone
        asked, found, cron = self._crons.get(key, (NEVER, NEVER, None))
        if moment == asked:
            return found
        if cron is None or moment != found:
            check_cron(schedule.expression)
            cron = CronSim(schedule.expression, _local(schedule, moment))
        # In the hour that comes twice it may name a time of the first one.
        at = next((at for at in _moments(cron) if at > moment), NEVER)
        self._crons[key] = moment, at, cron
        return at


def next_times(schedule: AnySchedule, anchor: float, count: int) -> list[datetime]:
    """The next times after `anchor`, on the clocks of the schedule's time zone."""
    find, found = Calendar().after, [anchor]
    while len(found) <= count and found[-1] < NEVER:
        found.append(find(schedule, anchor, found[-1]))
    return [_local(schedule, at) for at in found[1:] if at < NEVER]


def in_words(schedule: AnySchedule) -> str:
    """What a schedule says, for people."""
    place = "" if schedule.timezone == "UTC" else f" ({schedule.timezone})"
    if isinstance(schedule, CronSchedule):
        return CronSim(schedule.expression, datetime(2024, 1, 1, tzinfo=UTC)).explain() + place
    years, months = divmod(schedule.months, 12)
    hours, seconds = divmod(schedule.seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    parts = [(years, "year"), (months, "month"), (schedule.days, "day")]
    parts += [(int(hours), "hour"), (int(minutes), "minute")]
    told = [f"{n} {word}{'s' if n != 1 else ''}" for n, word in parts if n]
    if seconds:
        told.append(f"{seconds:g} second{'s' if seconds != 1 else ''}")
    return f"Every {' and '.join(told)}{place}".replace("Every 1 ", "Every ")


def _local(schedule: AnySchedule, moment: float) -> datetime:
    return datetime.fromtimestamp(moment, zone(schedule.timezone))


def _moments(cron: CronSim) -> Iterator[float]:
    return (at.timestamp() for at in cron)


def _first_step(schedule: PeriodSchedule, anchor: float, moment: float) -> int:
    """The number of the first step after a moment, from 1."""
    about_s = schedule.months * _MONTH_S + schedule.days * _DAY_S + schedule.seconds
    step = max(1, int((moment - anchor) / about_s))
    while step > 1 and _period_at(schedule, anchor, step - 1) > moment:
        step -= 1
    while _period_at(schedule, anchor, step) <= moment:
        step += 1
    return step


def _period_at(schedule: PeriodSchedule, anchor: float, step: int) -> float:
    """When a step is due, counted from the anchor."""
    elapsed_s = schedule.seconds * step
    if not schedule.months and not schedule.days:
        return anchor + elapsed_s
    start = _local(schedule, anchor)
    years, month = divmod(start.month - 1 + schedule.months * step, 12)
    year = start.year + years
    if year > _LAST_YEAR:
        return NEVER
    day = min(start.day, monthrange(year, month + 1)[1])
    local = start.replace(year=year, month=month + 1, day=day, fold=0)
    try:
        return (local + timedelta(days=schedule.days * step)).timestamp() + elapsed_s
    except OverflowError:
        return NEVER
