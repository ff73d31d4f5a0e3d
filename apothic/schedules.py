"""At what times a function runs by itself."""

from __future__ import annotations

from typing import Any, Literal, cast

from apothic._values import Value, number, refuse, text, whole
from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.schedules import MISSES, OVERLAPS, CronSchedule, PeriodSchedule

Overlap = Literal["skip", "allow"]
Missed = Literal["last", "skip", "all"]

SHORTEST_S = 1.0
"""The shortest period."""


class Cron(Value):
    """Times as in a crontab: minute, hour, day of month, month, day of week.

    `timezone` names the clocks that it goes by. Around their changes a daily run stays daily: a
    time that does not exist runs right after the gap, one that comes twice runs the first time.
    `overlap` and `missed` are as for `Period`.

    Raises:
        InvalidOption: the expression has not five fields or never comes to pass, the time zone is
            not known, or a policy does not exist.
    """

    expression: str
    timezone: str
    overlap: Overlap = "skip"
    missed: Missed = "last"

    def __init__(
        self,
        expression: str,
        timezone: str = "UTC",
        *,
        overlap: Overlap = "skip",
        missed: Missed = "last",
    ) -> None:
        from apothic_backends.calendars import (  # noqa: PLC0415 - brings cronsim and zoneinfo
            check_cron,
            zone,
        )

        check_cron(text("expression", expression))
        zone(text("timezone", timezone))
        super().__init__(
            expression=expression, timezone=timezone, **_policies(overlap=overlap, missed=missed)
        )

    @property
    def rule(self) -> CronSchedule:
        """The same in the words of the contract."""
        return CronSchedule(self.timezone, self.overlap, self.missed, self.expression)


class Period(Value):
    """A length of time between runs, counted from where the schedule was started.

    Years, months, weeks and days are steps on the calendar of `timezone`: every day at the same
    time there, on the 31st or else the last day of the month. Only seconds may be a fraction.

    `overlap` says what becomes of a run that is due while the one before has not ended: "skip" it,
    or "allow" both. `missed` says what becomes of runs that were due while nothing could start
    them: the "last" is made up for, "all" are (the first 1000 of them), or "skip".

    Raises:
        InvalidOption: a part is negative, all together are less than a second, the time zone is
            not known, or a policy does not exist.
    """

    timezone: str = "UTC"
    overlap: Overlap = "skip"
    missed: Missed = "last"

    def __init__(
        self,
        *,
        years: int = 0,
        months: int = 0,
        weeks: int = 0,
        days: int = 0,
        hours: int = 0,
        minutes: int = 0,
        seconds: float = 0,
        timezone: str = "UTC",
        overlap: Overlap = "skip",
        missed: Missed = "last",
    ) -> None:
        parts = {
            "years": years,
            "months": months,
            "weeks": weeks,
            "days": days,
            "hours": hours,
            "minutes": minutes,
        }
        given: dict[str, float] = {k: whole(k, part, 0, _MOST) for k, part in parts.items()}
        given["seconds"] = number("seconds", seconds, 0, _MOST)
        if not any(given.values()):
            raise InvalidOption(
                "a Period needs at least one part above zero, as in Period(hours=1)"
            )
        if not any(given[k] for k in parts) and seconds < SHORTEST_S:
            refuse("seconds", seconds, f"at least {SHORTEST_S:g}, the shortest period")
        others: dict[str, Any] = _policies(overlap=overlap, missed=missed)
        if timezone != "UTC":
            from apothic_backends.calendars import zone  # noqa: PLC0415 - see above

            zone(text("timezone", timezone))
            others["timezone"] = timezone
        super().__init__(**{name: part for name, part in given.items() if part}, **others)

    @property
    def rule(self) -> PeriodSchedule:
        """The same in the words of the contract."""
        part = self.__dict__.get
        return PeriodSchedule(
            self.timezone,
            self.overlap,
            self.missed,
            int(12 * part("years", 0) + part("months", 0)),
            int(7 * part("weeks", 0) + part("days", 0)),
            float(3600 * part("hours", 0) + 60 * part("minutes", 0) + part("seconds", 0)),
        )


_MOST = 1_000_000_000


def _policies(**given: Any) -> dict[str, Any]:
    """The policies that differ from their defaults."""
    for name, known in (("overlap", OVERLAPS), ("missed", MISSES)):
        if given[name] not in known:
            refuse(name, given[name], f"one of {', '.join(map(repr, known))}")
    usual = {"overlap": "skip", "missed": "last"}
    return {name: value for name, value in given.items() if value != usual[name]}


def check_schedule(function: Any, name: str, *, is_generator: bool) -> None:
    """See to it that a function can run without anybody who calls it.

    Raises:
        InvalidOption: it needs arguments, or yields.
    """
    if is_generator:
        raise InvalidOption(
            f"{name}() has a schedule and yields: nobody would take its items. Return a value",
            option="schedule",
        )
    code = getattr(function, "__code__", None)
    if code is None:
        return
    names, places = code.co_varnames, code.co_argcount
    defaults = len(function.__defaults__ or ())
    keywords = names[places : places + code.co_kwonlyargcount]
    required = [*names[: places - defaults], *_without(keywords, function.__kwdefaults__)]
    if required:
        raise InvalidOption(
            f"{name}() has a schedule, so nobody gives it arguments; give "
            f"{', '.join(cast('list[str]', required))} a default",
            option="schedule",
        )


def _without(names: tuple[str, ...], defaults: dict[str, Any] | None) -> list[str]:
    return [name for name in names if name not in (defaults or {})]
