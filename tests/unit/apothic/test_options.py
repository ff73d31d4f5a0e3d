from __future__ import annotations

from typing import Any

import pytest

from apothic import (
    App,
    Cron,
    InvalidOption,
    Period,
    Retries,
)
from apothic_backends.model.functions import RetryPolicy
from tests.unit.apothic.threads import ThreadBackend

app = App("options")


def work() -> str:
    return "done"


def declare(**options: Any) -> Any:
    return app.function(**options)(work)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cpu": 0}, "cpu must be a whole number of at least 1, not 0 (int)"),
        ({"cpu": True}, "cpu must be a whole number of at least 1, not True (bool)"),
        ({"memory_mb": "1GB"}, "memory_mb must be a whole number of at least 1, not '1GB' (str)"),
        ({"timeout_s": 0}, "timeout_s must be a number above 0, not 0 (int)"),
        ({"timeout_s": None}, "timeout_s must be a number of at least 0, not None (NoneType)"),
        ({"retries": -1}, "retries must be a whole number of at least 0, not -1 (int)"),
        ({"max_containers": 0}, "max_containers must be a whole number of at least 1, not 0 (int)"),
        ({"gpu": []}, "gpu must be a string, or a list with at least one, not [] (list)"),
        ({"secrets": ["KEY"]}, "secrets must be a Secret, not 'KEY' (str)"),
        ({"schedule": "daily"}, "schedule must be a Cron or Period, not 'daily' (str)"),
        ({"volumes": [1]}, "volumes must be what Volume.mounted_at(path) gives, not 1 (int)"),
        ({"offer_filters": {"gpu_ram": {"above": 1}}}, "only eq, neq, gt, lt, gte, lte, in, notin"),
        ({"offer_filters": {"gpu_ram": 1}}, "offer_filters['gpu_ram'] must be a dictionary"),
        ({"cpus": 2}, "there is no option 'cpus'; did you mean 'cpu'?"),
        ({"colour": 2}, "there is no option 'colour'; there are: schedule, liv, gpu"),
        ({"retries": 1, "max_retries": 1}, "retries and max_retries say the same thing"),
        ({"liv": {"modell": "x"}}, "does not fit LivConfig"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused_with_the_way_out(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidOption) as caught:
        declare(**options)

    assert "@app.function of work(): " in caught.value.message
    assert message in caught.value.message


def test_options_are_kept_with_their_defaults() -> None:
    handle = declare(cpu=4, gpu=None)

    assert handle.options["cpu"] == 4
    assert handle.options["memory_mb"] == 1024
    assert "gpu" not in handle.options


def test_a_handle_shows_what_differs_from_the_defaults() -> None:
    assert repr(declare(cpu=4, memory_mb=1024)) == "<Function options/work cpu=4>"


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        ({}, RetryPolicy()),
        ({"retries": 3}, RetryPolicy(3, 1.0, 1.0, 60.0)),
        ({"max_retries": 2}, RetryPolicy(2, 1.0, 1.0, 60.0)),
        ({"retries": Retries(max_retries=4)}, RetryPolicy(4, 1.0, 2.0, 60.0)),
        ({"retries": Retries(max_retries=4, jitter=0.1)}, RetryPolicy(4, 1.0, 2.0, 60.0, 0.1)),
        ({"retries": Retries(max_retries=1, initial_delay=0, max_delay=5)},
         RetryPolicy(1, 0.0, 2.0, 5.0)),
    ],
)  # fmt: skip
def test_both_ways_to_ask_for_retries_give_a_policy(
    options: dict[str, Any], policy: RetryPolicy
) -> None:
    assert declare(**options).spec().retries == policy


def test_what_only_a_market_knows_is_waived_here(backend: ThreadBackend) -> None:
    handle = declare(
        geolocation=["US"],
        max_cost_per_hour_usd=1.5,
        min_cpu_ghz=3.0,
        secure_cloud_only=True,
        disk_gb=160,
        offer_filters={"pci_gen": {"gte": 3}},
        schedule=Cron("0 3 * * *"),
    )

    assert handle.remote() == "done"


def test_with_options_gives_another_handle_and_later_options_win() -> None:
    first = declare(retries=2, cpu=2)

    second = first.with_options(max_retries=1, memory_mb=64)

    assert second.spec().retries.max_retries == 1
    assert second.options["cpu"] == 2
    assert first.options["memory_mb"] == 1024


def test_with_options_checks_them() -> None:
    with pytest.raises(InvalidOption, match="cpu"):
        declare().with_options(cpu=-1)


def test_a_function_can_be_declared_without_parentheses() -> None:
    assert app.function(work)() == "done"


def test_declaring_a_name_again_replaces_it() -> None:
    declare()
    latest = declare(cpu=3)

    assert app.functions["work"] is latest


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "ä", 3])
def test_an_app_needs_a_name_that_fits_everywhere(name: Any) -> None:
    with pytest.raises(InvalidOption):
        App(name)


def test_a_schedule_is_kept_and_the_function_still_called_by_hand(backend: ThreadBackend) -> None:
    handle = declare(schedule=Period(hours=1))

    assert handle.remote() == "done"
    assert handle.options["schedule"] == Period(hours=1)
