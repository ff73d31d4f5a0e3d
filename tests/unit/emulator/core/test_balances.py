"""Balances: what they stop, what goes on, and what a top-up does."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends import codec
from apothic_backends.commands import OpenItems, RunJob, StartSchedule, SubmitJob
from apothic_backends.commands.costs import GetCosts
from apothic_backends.model.costs import NANO, PICO
from apothic_backends.model.errors import (
    BalanceExhausted,
    IdempotencyConflict,
    InvalidOption,
    UsageError,
)
from apothic_backends.model.functions import BatchPolicy, FunctionSpec
from apothic_backends.model.payloads import Payload
from apothic_backends.model.schedules import PeriodSchedule
from apothic_emulator.core import bills
from apothic_emulator.core.bills import MOST_NANO_USD, TopUp
from tests.unit.emulator.core.driving import RAISED, Driver, batches_sent, jobs_sent
from tests.unit.emulator.core.restarting import Restarting

ARGUMENTS = Payload(b"arguments")


class Prepaid(Restarting):
    """Each second costs a dollar, and there are three."""

    @staticmethod
    def price_of(spec: FunctionSpec, gpu: str) -> int:
        return PICO

    def top_up(self, usd: float, operation: str = "first") -> int:
        return self.ask(TopUp(int(usd * NANO), operation))

    @property
    def balance(self) -> int | None:
        return self.ask(GetCosts()).balance_nano_usd


def prepaid(usd: float = 3.0, retries: int = 0, **limits: Any) -> Prepaid:
    driver = Prepaid(retries, **limits)
    driver.top_up(usd)
    return driver


def exhausted(**limits: Any) -> Prepaid:
    """Somebody who has spent more than there was."""
    driver = prepaid(3.0, **limits)
    job = driver.ran()
    driver.pass_s(5.0)
    driver.report(job)
    return driver


# --- what there is --------------------------------------------------------------------------------


def test_without_a_balance_everything_may_be_used() -> None:
    driver = Prepaid()
    job = driver.ran()
    driver.pass_s(500.0)
    driver.report(job)

    assert driver.balance is None
    assert driver.submit()


def test_what_was_used_before_the_first_top_up_is_no_debt() -> None:
    driver = Prepaid()
    job = driver.ran()
    driver.pass_s(500.0)
    driver.report(job)

    assert driver.top_up(3.0) == 3 * NANO


def test_what_is_used_is_taken_from_the_balance() -> None:
    driver = prepaid(3.0)
    job = driver.ran()
    driver.pass_s(0.5)
    driver.report(job)

    assert driver.balance == 2.5 * NANO


def test_a_balance_that_is_less_than_nothing_is_told_so() -> None:
    assert exhausted().balance == -2 * NANO


# --- what stops -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [SubmitJob, RunJob])
@pytest.mark.parametrize("waits", [False, True])
def test_nothing_new_is_taken_on(command: type, waits: bool) -> None:
    driver = exhausted()

    with pytest.raises(BalanceExhausted) as caught:
        driver.ask(command(driver.function, ARGUMENTS, wait_for_room=waits))

    assert caught.value.data == {"balance_nano_usd": -2 * NANO}


def test_no_generator_is_taken_on() -> None:
    driver = exhausted()
    function = driver.register("items", is_generator=True)

    with pytest.raises(BalanceExhausted):
        driver.ask(OpenItems(function, ARGUMENTS))


def test_a_balance_of_exactly_nothing_is_none() -> None:
    driver = prepaid(3.0)
    job = driver.ran()
    driver.pass_s(3.0)
    driver.report(job)

    assert driver.balance == 0
    with pytest.raises(BalanceExhausted):
        driver.submit()


def test_a_run_of_a_schedule_is_skipped_and_that_is_told() -> None:
    driver = exhausted()
    driver.ask(StartSchedule(driver.function, PeriodSchedule(seconds=60.0)))

    driver.pass_s(61.0)

    events = driver.plane.ledger.events.entries
    skipped = [told for name, _, _, _, told in events if name == "schedule.skipped"]
    assert [told["reason"] for told in skipped if told] == ["balance_exhausted"]


def test_a_job_that_is_known_by_its_key_is_given_again() -> None:
    driver = prepaid(3.0)
    command = SubmitJob(driver.function, ARGUMENTS, key="k")
    job = driver.ask(command)
    driver.loaded()
    driver.pass_s(5.0)
    driver.report(1)

    assert driver.ask(command) == job


def test_what_is_queued_waits_and_begins_after_a_top_up() -> None:
    driver = prepaid(3.0)
    first, second = driver.ran(), driver.submit()
    driver.pass_s(5.0)
    driver.report(first)
    driver.pass_s(50.0)
    assert driver.status(second) == "queued"
    assert driver.look(second).waiting.startswith("waits for a top-up")

    assert driver.top_up(10.0, "second") == 8 * NANO

    assert jobs_sent(driver.effects) == [second]


def test_a_batch_waits_and_begins_after_a_top_up() -> None:
    driver = prepaid(3.0, batch=BatchPolicy(2, 0.0))
    first = driver.submit()
    driver.loaded()
    driver.pass_s(5.0)
    second, third = driver.submit_many(2)
    driver.report(first)
    driver.pass_s(1.0)
    assert driver.status(second) == driver.status(third) == "queued"

    driver.top_up(10.0, "second")

    assert batches_sent(driver.effects) == [[second, third]]


def test_a_retry_waits_and_runs_after_a_top_up() -> None:
    driver = prepaid(3.0, retries=1)
    job = driver.ran()
    driver.pass_s(5.0)
    driver.report(job, error=RAISED)
    driver.pass_s(5.0)
    assert driver.status(job) == "queued"

    driver.top_up(10.0, "second")

    assert driver.status(job) == "running"


def test_who_waits_for_room_gets_it_after_a_top_up() -> None:
    driver = prepaid(3.0, max_pending_tasks=1)
    first = driver.ran()
    driver.submit()
    waiting = driver.start(SubmitJob(driver.function, ARGUMENTS, wait_for_room=True))
    driver.pass_s(5.0)
    driver.report(first)
    assert waiting not in driver.answers

    driver.top_up(10.0, "second")

    assert driver.answers[waiting] == "jobs:3"


def test_what_runs_goes_on_to_its_end() -> None:
    driver = prepaid(3.0, concurrent_requests=2)
    first, second = driver.ran(), driver.submit()
    driver.pass_s(5.0)
    driver.report(first)

    driver.pass_s(50.0)
    driver.report(second)

    assert driver.status(second) == "succeeded"


def test_what_running_code_waits_for_goes_on_too() -> None:
    driver = prepaid(3.0)
    parent = driver.ran()
    other = driver.register("g")
    first = driver.submit(other)
    driver.loaded(2)
    child = driver.submit(other, driver.inside(parent))
    nobodys = driver.submit(other)
    driver.wait(child, driver.inside(parent))
    driver.pass_s(5.0)

    driver.report(first)
    assert driver.status(child) == "running"
    driver.report(child)

    assert driver.status(nobodys) == "queued"


def test_what_is_new_is_not_taken_on_from_running_code_either() -> None:
    driver = exhausted(max_containers=2)
    driver.top_up(10.0, "second")
    parent, other = driver.submit_many(2)
    driver.loaded(2)
    driver.pass_s(20.0)
    driver.report(other)

    with pytest.raises(BalanceExhausted):
        driver.submit(origin=driver.inside(parent))


# --- top-ups --------------------------------------------------------------------------------------


def test_a_top_up_is_done_once_however_often_it_comes() -> None:
    driver = prepaid(3.0)

    assert driver.top_up(3.0) == 3 * NANO


def test_the_same_top_up_of_another_amount_is_refused() -> None:
    driver = prepaid(3.0)

    with pytest.raises(IdempotencyConflict):
        driver.top_up(4.0)

    assert driver.balance == 3 * NANO


def test_what_was_added_by_mistake_is_taken_away() -> None:
    driver = prepaid(3.0)

    assert driver.top_up(-3.0, "oops") == 0
    with pytest.raises(BalanceExhausted):
        driver.submit()


@pytest.mark.parametrize(
    ("nano_usd", "operation"),
    [(MOST_NANO_USD + 1, "a"), (-MOST_NANO_USD - 1, "a"), (1, ""), (1, "x" * 129)],
)
def test_a_top_up_that_cannot_be_meant_is_refused(nano_usd: int, operation: str) -> None:
    driver = Prepaid()

    with pytest.raises(InvalidOption):
        driver.ask(TopUp(nano_usd, operation))

    assert driver.balance is None


def test_balances_and_top_ups_outlive_the_control_plane() -> None:
    driver = exhausted()

    driver.restart()

    assert driver.balance == -2 * NANO
    assert driver.top_up(3.0) == -2 * NANO
    with pytest.raises(BalanceExhausted):
        driver.submit()
    assert driver.top_up(10.0, "second") == 8 * NANO


def test_a_top_up_needs_no_store() -> None:
    driver = Driver()

    assert driver.ask(TopUp(5, "first")) == 5


def test_nobody_can_send_a_top_up() -> None:
    with pytest.raises(UsageError):
        codec.from_json(codec.to_json(TopUp(5, "mine"), []), ())


# --- without a limit again ------------------------------------------------------------------------


def lift(driver: Prepaid, operation: str = "lift") -> int | None:
    left: int | None = driver.ask(TopUp(None, operation))
    return left


def test_a_limit_can_be_lifted_and_what_waited_begins() -> None:
    driver = prepaid(3.0)
    running, waiting = driver.ran(), driver.submit()
    driver.pass_s(5.0)
    driver.report(running)
    assert driver.job(waiting).status.value == "queued"

    assert lift(driver) is None

    assert driver.balance is None
    assert driver.job(waiting).status.value == "running"


def test_a_limit_that_was_lifted_begins_anew_with_the_next_top_up() -> None:
    driver = exhausted()
    lift(driver)
    driver.pass_s(1.0)

    assert driver.top_up(2.0, "second") == 2 * NANO


def test_a_limit_is_lifted_once() -> None:
    driver = exhausted()
    lift(driver)
    driver.top_up(2.0, "second")

    assert lift(driver) == 2 * NANO
    with pytest.raises(IdempotencyConflict, match="without a limit"):
        driver.top_up(2.0, "lift")


def test_a_restart_knows_that_a_limit_was_lifted() -> None:
    driver = exhausted()
    lift(driver)
    driver.restart()
    assert driver.balance is None

    driver.top_up(2.0, "second")
    driver.restart()

    assert driver.balance == 2 * NANO


# --- many of them ---------------------------------------------------------------------------------


def test_of_too_many_top_ups_the_sum_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bills, "MOST_CREDITS", 3)
    driver = prepaid(1.0)
    for number in range(10):
        driver.top_up(1.0, f"more-{number}")

    driver.restart()

    assert driver.balance == 11 * NANO
    assert len([key for key in driver.records if key.startswith("credit/")]) == 3
    assert driver.top_up(1.0, "more-9") == 11 * NANO
    assert driver.top_up(1.0, "last") == 12 * NANO


def test_of_too_many_top_ups_the_limit_is_kept_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bills, "MOST_CREDITS", 2)
    driver = exhausted()
    for number in range(4):
        lift(driver, f"lift-{number}")
        driver.top_up(2.0, f"more-{number}")
        driver.restart()
        assert driver.balance == 2 * NANO

    lift(driver)
    lift(driver, "again")
    driver.restart()

    assert driver.balance is None


def test_of_too_many_top_ups_without_a_store_the_sum_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bills, "MOST_CREDITS", 2)
    driver = Driver()
    for number in range(5):
        driver.ask(TopUp(NANO, f"more-{number}"))

    assert driver.ask(GetCosts()).balance_nano_usd == 5 * NANO
