"""What services cost: each process, for as long as it is up."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.commands.costs import GetCosts
from apothic_backends.commands.deployments import Deploy
from apothic_backends.model.costs import NANO, PICO, CostLine, CostReport
from apothic_backends.model.functions import FunctionSpec
from apothic_emulator.core.bills import TopUp
from apothic_emulator.core.doors import Listening, Refuse, Rouse, Roused
from apothic_emulator.core.effects import Retire
from apothic_emulator.core.facts import Loaded
from apothic_emulator.core.meters import CHARGE_S
from apothic_emulator.core.served import REST_S
from tests.unit.emulator.core.driving import Driver, kinds
from tests.unit.emulator.core.restarting import NOON
from tests.unit.emulator.core.test_services import NAME, Serving, web

DAY_S = 86_400
TODAY = int(NOON) // DAY_S * DAY_S


class Paid(Serving):
    """Each second costs a dollar."""

    @staticmethod
    def price_of(spec: FunctionSpec, gpu: str) -> int:
        return PICO

    def seconds(self) -> float:
        found: CostReport = self.ask(GetCosts())
        return found.seconds

    def pay(self, usd: float, operation: str = "first") -> Any:
        return self.ask(TopUp(int(usd * NANO), operation))


@pytest.fixture
def driver() -> Paid:
    return Paid()


def test_a_service_costs_what_its_process_is_up_under_its_name_and_kind(driver: Paid) -> None:
    driver.deploy(web(memory_mb=512, cpu=2))
    driver.listens()
    driver.roused()
    driver.pass_s(1.0)
    driver.loaded()
    driver.pass_s(2.5)
    driver.died()
    driver.pass_s(7.0)

    line = CostLine(TODAY, "demo", "web", "service", 2, 512, "", 0, 1, 2_500_000, 2_500_000_000)
    assert driver.ask(GetCosts()) == CostReport((line,), has_prices=True)


def test_what_is_up_can_be_seen_at_any_time(driver: Paid) -> None:
    driver.up()
    driver.pass_s(2.0)
    assert driver.seconds() == 2.0

    driver.pass_s(3.0)

    assert driver.seconds() == 5.0


def test_a_process_that_drains_is_still_up(driver: Paid) -> None:
    driver.up()
    driver.said(1, "rests")
    driver.pass_s(2.0)
    driver.gone()

    assert driver.seconds() == 2.0


def test_a_process_that_was_never_ready_is_free(driver: Paid) -> None:
    driver.deploy()
    driver.listens()
    driver.roused()
    driver.pass_s(2.0)
    driver.fails()

    assert driver.ask(GetCosts()).lines == ()


def test_what_says_twice_that_it_is_ready_is_charged_for_once(driver: Paid) -> None:
    driver.up()
    driver.pass_s(2.0)

    driver.step(Loaded(1))

    assert (driver.ask(GetCosts()).attempts, driver.seconds()) == (1, 2.0)


def test_what_is_ready_after_it_was_given_up_is_free_and_ends_nobody(driver: Paid) -> None:
    driver.up()
    driver.deploy(web("2"))
    driver.pass_s(60.01)
    before = driver.seconds()

    assert driver.loaded(2) == []
    driver.died(2)

    assert driver.seconds() == before
    assert driver.seen().status == "up"


def test_each_process_is_charged_for(driver: Paid) -> None:
    driver.up()
    driver.pass_s(1.0)
    driver.deploy(web("2"))
    driver.loaded(2)
    driver.pass_s(1.0)

    assert driver.seconds() == 3.0


def test_each_day_has_its_part() -> None:
    driver = Paid()
    driver.up()

    driver.pass_s(1.25 * DAY_S)

    lines = driver.ask(GetCosts()).lines
    told = [(line.day_at - TODAY, line.attempts, line.microseconds) for line in lines]
    half = DAY_S // 2
    assert told == [(0, 1, half * 10**6), (DAY_S, 0, 3 * half // 2 * 10**6)]


def test_what_is_free_is_counted_by_days_too() -> None:
    driver = Serving()
    driver.up()

    driver.pass_s(1.25 * DAY_S)

    lines = driver.ask(GetCosts()).lines
    assert [line.microseconds for line in lines] == [DAY_S // 2 * 10**6, 3 * DAY_S // 4 * 10**6]


def test_without_prices_and_a_store_it_is_counted_all_the_same() -> None:
    driver = Driver()
    driver.ask(Deploy("demo", (web(),)))
    driver.start(Listening(NAME, 4000, ""))
    driver.start(Roused(NAME))
    driver.loaded()

    driver.pass_s(2.0)

    assert driver.ask(GetCosts()).seconds == 2.0


def test_of_what_is_up_at_a_crash_all_but_the_last_minute_is_charged(driver: Paid) -> None:
    driver.up()
    driver.pass_s(2.5 * CHARGE_S)

    driver.restart()
    driver.listens()

    assert driver.seconds() == 2 * CHARGE_S


def test_without_processes_there_is_nothing_to_wake_up_for(driver: Paid) -> None:
    driver.up()
    driver.said(1, "rests")
    driver.gone()
    driver.pass_s(2 * CHARGE_S)

    assert driver.plane.alarm == float("inf")


# --- balances -------------------------------------------------------------------------------------


def test_without_a_balance_nothing_starts_and_whoever_knocks_hears_why(driver: Paid) -> None:
    driver.deploy()
    driver.listens()
    driver.pay(0)

    [refuse] = driver.roused()

    assert isinstance(refuse, Refuse)
    assert "nothing is left of the balance" in refuse.why
    assert "nothing is left of the balance" in driver.seen().stale


def test_after_a_top_up_the_next_one_who_knocks_is_served(driver: Paid) -> None:
    driver.deploy()
    driver.listens()
    driver.pay(0)
    for _ in range(5):
        driver.roused()
        assert driver.pass_s(REST_S) == [Rouse(NAME)]

    driver.pay(1, "second")

    assert kinds(driver.roused()) == ["StartExecutor"]


def test_what_is_up_goes_on_without_a_balance(driver: Paid) -> None:
    driver.pay(CHARGE_S)
    driver.up()

    assert driver.pass_s(3 * CHARGE_S) == []

    assert driver.seen().status == "up"
    assert driver.ask(GetCosts()).balance_nano_usd == -2 * CHARGE_S * NANO


def test_nobody_gets_company_without_a_balance(driver: Paid) -> None:
    driver.pay(CHARGE_S)
    driver.deploy(web(max_containers=2))
    driver.listens()
    driver.roused()
    driver.loaded()
    driver.pass_s(CHARGE_S)

    assert driver.said(1, "crowded") == []


def test_a_new_version_begins_when_it_can_be_paid(driver: Paid) -> None:
    driver.pay(CHARGE_S)
    driver.up()
    driver.pass_s(CHARGE_S)
    assert driver.deploy(web("2")) == []
    assert "nothing is left of the balance" in driver.seen().stale
    driver.pass_s(CHARGE_S)

    driver.pay(10 * CHARGE_S, "second")

    assert kinds(driver.pass_s(30.0)) == ["StartExecutor"]
    assert driver.loaded(2) == [Retire(1)]
