from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from apothic import App, Cron, InvalidOption, Period
from apothic_backends.model.schedules import CronSchedule, PeriodSchedule


def test_a_cron_says_what_it_says() -> None:
    cron = Cron("*/5 * * * *", "Europe/Berlin", overlap="allow", missed="skip")

    assert cron.rule == CronSchedule("Europe/Berlin", "allow", "skip", "*/5 * * * *")
    assert Cron("@0 * * * *"[1:]).rule == CronSchedule("UTC", "skip", "last", "0 * * * *")


def test_a_period_counts_in_months_days_and_seconds() -> None:
    period = Period(years=1, months=2, weeks=1, days=3, hours=1, minutes=2, seconds=3.5)

    assert period.rule == PeriodSchedule("UTC", "skip", "last", 14, 10, 3723.5)
    assert Period(days=1, timezone="Asia/Tokyo", missed="all").rule == PeriodSchedule(
        "Asia/Tokyo", "skip", "all", 0, 1, 0.0
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: Cron("0 0 31 2 *"),
        lambda: Cron("* * * * * *"),
        lambda: Cron("@daily"),
        lambda: Cron("61 * * * *"),
        lambda: Cron("* * * * *", "Middle/Earth"),
        lambda: Cron("* * * * *", ""),
        lambda: Cron("* * * * *", overlap="queue"),  # type: ignore[arg-type]
        lambda: Cron("* * * * *", missed="first"),  # type: ignore[arg-type]
        lambda: Period(seconds=0.5),
        lambda: Period(seconds=float("nan")),
        lambda: Period(seconds=float("inf")),
        lambda: Period(hours=0.5),  # type: ignore[arg-type]
        lambda: Period(days=10**12),
        lambda: Period(days=1, timezone="Nowhere"),
        lambda: Period(days=1, overlap=True),  # type: ignore[arg-type]
    ],
)
def test_a_schedule_that_cannot_be_meant_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidOption):
        make()


@pytest.mark.parametrize("value", [Cron("* * * * *"), Period(days=1), Period(days=1, missed="all")])
def test_a_schedule_travels(value: object) -> None:
    assert pickle.loads(pickle.dumps(value)) == value
    assert eval(repr(value)) == value  # it shows the call that makes it


def needs_one(a: int) -> None: ...
def needs_a_keyword(*, a: int) -> None: ...
def needs_the_first(a: int, b: int = 1) -> None: ...


@pytest.mark.parametrize("function", [needs_one, needs_a_keyword, needs_the_first])
def test_a_function_with_a_schedule_takes_no_required_arguments(function: Any) -> None:
    with pytest.raises(InvalidOption, match="give a a default"):
        App("a").function(schedule=Period(days=1))(function)


def needs_none(a: int = 1, *rest: int, b: int = 2, **more: int) -> None: ...


def test_a_function_with_a_schedule_may_take_others() -> None:
    App("a").function(schedule=Period(days=1))(needs_none)
    App("a").function(schedule=None)(needs_one)


def test_a_generator_has_no_schedule() -> None:
    def items() -> Any:
        yield 1

    with pytest.raises(InvalidOption, match="yields"):
        App("a").function(schedule=Period(days=1))(items)
