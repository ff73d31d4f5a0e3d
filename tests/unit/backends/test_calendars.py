from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from apothic_backends.calendars import NEVER, Calendar, check_cron, in_words, next_times, zone
from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.schedules import CronSchedule, PeriodSchedule

BERLIN = ZoneInfo("Europe/Berlin")
AnySchedule = CronSchedule | PeriodSchedule


def cron(expression: str, timezone: str = "Europe/Berlin") -> CronSchedule:
    return CronSchedule(timezone, expression=expression)


def every(timezone: str = "Europe/Berlin", **parts: float) -> PeriodSchedule:
    return PeriodSchedule(timezone, **parts)  # type: ignore[arg-type]


def times(schedule: AnySchedule, start: datetime, count: int) -> list[str]:
    return [f"{at:%m-%d %H:%M%z}" for at in next_times(schedule, start.timestamp(), count)]


# --- cron ----------------------------------------------------------------------------------------


def test_a_daily_run_comes_once_on_the_day_with_an_hour_twice() -> None:
    start = datetime(2026, 10, 24, 12, tzinfo=BERLIN)

    assert times(cron("30 2 * * *"), start, 3) == [
        "10-25 02:30+0200",
        "10-26 02:30+0100",
        "10-27 02:30+0100",
    ]


def test_a_daily_run_comes_once_on_the_day_with_an_hour_missing() -> None:
    start = datetime(2026, 3, 28, 12, tzinfo=BERLIN)

    assert times(cron("30 2 * * *"), start, 3) == [
        "03-29 03:00+0200",
        "03-30 02:30+0200",
        "03-31 02:30+0200",
    ]


def test_an_hourly_run_goes_by_real_time_around_a_clock_change() -> None:
    start = datetime(2026, 10, 25, 1, 30, tzinfo=BERLIN)

    assert times(cron("0 * * * *"), start, 4) == [
        "10-25 02:00+0200",
        "10-25 02:00+0100",
        "10-25 03:00+0100",
        "10-25 04:00+0100",
    ]


@pytest.mark.parametrize("minutes", range(0, 180, 10))
def test_no_time_is_named_that_has_passed(minutes: int) -> None:
    moment = datetime(2026, 10, 25, 0, 0, tzinfo=UTC) + timedelta(minutes=minutes)

    assert Calendar().after(cron("15 2 * * *"), 0.0, moment.timestamp()) > moment.timestamp()


def test_asking_again_gives_the_same_answer() -> None:
    calendar = Calendar()
    moment = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    first = calendar.after(cron("0 * * * *"), 0.0, moment)
    second = calendar.after(cron("0 * * * *"), 0.0, first)

    assert calendar.after(cron("0 * * * *"), 0.0, moment) == first
    assert calendar.after(cron("0 * * * *"), 0.0, first) == second == first + 3600


def test_the_last_time_up_to_a_moment_may_be_that_moment() -> None:
    noon = datetime(2026, 6, 1, 12, tzinfo=BERLIN).timestamp()
    find = Calendar().until

    assert find(cron("0 12 * * *"), 0.0, noon) == noon
    assert find(cron("0 12 * * *"), 0.0, noon + 0.5) == noon
    assert find(cron("0 12 * * *"), 0.0, noon - 0.5) == noon - 86_400


@pytest.mark.parametrize("expression", ["0 0 31 2 *", "60 * * * *", "* * * * MOON", "a b c d e"])
def test_an_expression_that_never_comes_to_pass_is_refused(expression: str) -> None:
    with pytest.raises(InvalidOption, match="five fields"):
        check_cron(expression)


# --- periods -------------------------------------------------------------------------------------


def test_the_31st_comes_back_after_a_shorter_month() -> None:
    start = datetime(2026, 1, 31, 9, tzinfo=UTC)

    assert [at[:5] for at in times(every("UTC", months=1), start, 4)] == [
        "02-28",
        "03-31",
        "04-30",
        "05-31",
    ]


def test_a_day_is_a_step_on_the_calendar() -> None:
    start = datetime(2026, 3, 28, 9, tzinfo=BERLIN)

    assert times(every(days=1), start, 2) == ["03-29 09:00+0200", "03-30 09:00+0200"]


def test_twenty_four_hours_are_no_day_when_the_clock_changes() -> None:
    start = datetime(2026, 3, 28, 9, tzinfo=BERLIN)

    assert times(every(seconds=86_400.0), start, 2) == ["03-29 10:00+0200", "03-30 10:00+0200"]


def test_a_leap_day_comes_back() -> None:
    start = datetime(2024, 2, 29, tzinfo=UTC)
    found = next_times(every("UTC", months=12), start.timestamp(), 4)

    assert [f"{at:%Y-%m-%d}" for at in found] == [
        "2025-02-28",
        "2026-02-28",
        "2027-02-28",
        "2028-02-29",
    ]


def test_parts_add_up() -> None:
    start = datetime(2026, 1, 31, tzinfo=UTC)
    schedule = every("UTC", months=1, days=2, seconds=90.0)

    assert times(schedule, start, 2) == ["03-02 00:01+0000", "04-04 00:03+0000"]


@pytest.mark.parametrize(
    "schedule",
    [every(months=1), every(days=1), every(seconds=0.5), every(months=1, days=3, seconds=7.25)],
)
def test_times_found_from_afar_are_those_found_step_by_step(schedule: PeriodSchedule) -> None:
    anchor = datetime(2026, 1, 31, 2, 30, tzinfo=BERLIN).timestamp()
    calendar, moment = Calendar(), anchor
    for _ in range(200):
        following = calendar.after(schedule, anchor, moment)
        assert moment < following
        assert calendar.until(schedule, anchor, following) == following
        assert calendar.until(schedule, anchor, following - 0.01) in (moment, -NEVER)
        moment = following


def test_nothing_was_due_before_the_first_period_is_over() -> None:
    assert Calendar().until(every(days=1), 1000.0, 2000.0) == -NEVER


def test_the_calendar_ends_some_day() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC).timestamp()

    assert next_times(every(months=12 * 9000), start, 3) == []
    assert next_times(every(days=3_000_000), start, 3) == []


# --- words and zones -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (cron("0 3 * * *", "UTC"), "At 03:00 every day"),
        (cron("*/5 * * * *"), "Every fifth minute of every hour (Europe/Berlin)"),
        (every("UTC", days=1), "Every day"),
        (every("UTC", months=14, days=2), "Every year and 2 months and 2 days"),
        (every("UTC", seconds=5430.5), "Every hour and 30 minutes and 30.5 seconds"),
        (every(seconds=1.0), "Every second (Europe/Berlin)"),
    ],
)
def test_a_schedule_is_told_in_words(schedule: AnySchedule, words: str) -> None:
    assert in_words(schedule) == words


@pytest.mark.parametrize("name", ["Europe/Bonn", "../etc/passwd", "/etc/localtime", "x\0"])
def test_a_zone_that_is_not_known_is_refused(name: str) -> None:
    with pytest.raises(InvalidOption, match="tzdata"):
        zone(name)
