"""What is charged for: each attempt once, for as long as it held an executor."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.commands import RunJob, SubmitJob
from apothic_backends.commands.costs import GetCosts
from apothic_backends.model.costs import NANO, PICO, CostLine, CostReport, Prices
from apothic_backends.model.functions import BatchPolicy, FunctionSpec
from apothic_backends.model.payloads import Payload
from apothic_emulator.core import costs
from apothic_emulator.core.bills import pricing
from apothic_emulator.core.facts import Recalled, Reported
from apothic_emulator.core.hellos import BEGUN, DONE, Capacity, Gpu
from tests.unit.emulator.core.agents import GRACE_S, LARGE, LEASE_S, Far
from tests.unit.emulator.core.driving import RAISED, RESULT, Driver
from tests.unit.emulator.core.restarting import NOON, Restarting

DAY_S = 86_400


class Priced(Restarting):
    """Each second costs a dollar."""

    @staticmethod
    def price_of(spec: FunctionSpec, gpu: str) -> int:
        return PICO


class FarPriced(Far):
    @staticmethod
    def price_of(spec: FunctionSpec, gpu: str) -> int:
        return PICO


def report(driver: Driver, **asked: Any) -> CostReport:
    return driver.ask(GetCosts(**asked))


def seconds(driver: Driver) -> float:
    return report(driver).seconds


def run(driver: Driver, seconds: float) -> int:
    """A call that takes so long; the first of a driver has an executor started."""
    executors = driver.plane.ledger.executors
    job = driver.submit() if executors else driver.ran()
    driver.pass_s(seconds)
    driver.report(job)
    return job


# --- what counts ----------------------------------------------------------------------------------


def test_a_call_costs_what_it_takes_on_its_day_and_under_its_names() -> None:
    driver = Priced(memory_mb=512, cpu=2)

    run(driver, 2.5)
    run(driver, 1.0)

    day = int(NOON) // DAY_S * DAY_S
    line = CostLine(day, "app", "f", "job", 2, 512, "", 0, 2, 3_500_000, 3_500_000_000)
    assert report(driver) == CostReport((line,), has_prices=True)


def test_a_report_says_what_it_comes_to() -> None:
    driver = Priced()
    run(driver, 2.5)

    found = report(driver)

    assert (found.attempts, found.seconds, found.nano_usd, found.usd) == (1, 2.5, 2.5 * NANO, 2.5)


def test_what_is_free_is_counted_all_the_same() -> None:
    driver = Driver()

    run(driver, 2.0)

    found = report(driver)
    assert (found.seconds, found.nano_usd, found.has_prices) == (2.0, 0, False)


def test_what_costs_something_needs_no_store() -> None:
    driver = Driver()
    driver.price_of = Priced.price_of
    driver.plane = driver.new_plane(0.0)
    driver.function = driver.register("f")

    run(driver, 2.0)

    assert report(driver).nano_usd == 2 * NANO


def test_time_in_a_queue_is_free() -> None:
    driver = Priced()
    first = driver.ran()
    second = driver.submit()
    driver.pass_s(2.0)
    driver.report(first)

    driver.pass_s(1.0)
    driver.report(second)

    assert seconds(driver) == 3.0


def test_what_never_began_is_free() -> None:
    driver = Priced()
    driver.submit()
    driver.pass_s(10.0)
    driver.died(unstarted=(1,))
    driver.cancel(1)

    assert report(driver).lines == ()


def test_what_had_not_been_received_when_its_executor_died_is_free() -> None:
    driver = Priced()
    job = driver.ran()
    driver.pass_s(2.0)

    driver.died(unstarted=(job,))

    assert report(driver).lines == ()


def test_what_was_sent_and_never_stood_where_its_executor_works_is_free() -> None:
    driver = Priced()
    run(driver, 0.001)
    first, _ = driver.submit_many(2)
    assert driver.job(first).executor == 1

    driver.died()

    assert report(driver).attempts == 2


def test_every_attempt_counts() -> None:
    driver = Priced(retries=1)
    job = driver.ran()
    driver.pass_s(2.0)
    driver.report(job, error=RAISED)
    driver.pass_s(1.0)

    driver.report(job)

    assert (report(driver).attempts, seconds(driver)) == (2, 3.0)


def test_an_attempt_that_is_lost_counts_until_that_is_known() -> None:
    driver = Priced()
    driver.ran()
    driver.pass_s(4.0)

    driver.died()

    assert seconds(driver) == 4.0


def test_an_attempt_that_is_cancelled_counts_until_it_has_stopped() -> None:
    driver = Priced()
    job = driver.ran()
    driver.pass_s(4.0)
    driver.cancel(job)
    driver.now += 0.25

    driver.report(job, error=RAISED)

    assert seconds(driver) == 4.25


def test_an_attempt_that_is_reported_twice_counts_once() -> None:
    driver = Priced(concurrent_requests=2)
    job, other = driver.ran(), driver.submit()
    driver.pass_s(2.0)
    told = Reported(1, job, 1, RESULT)

    driver.step(told, told)
    driver.pass_s(0.5)
    driver.died()

    assert driver.status(other) == "lost"
    assert seconds(driver) == 2.5


def test_calls_that_share_an_executor_share_its_time() -> None:
    driver = Priced(concurrent_requests=3)
    first = driver.ran()
    driver.pass_s(5.0)
    second = driver.submit()
    driver.pass_s(5.0)
    driver.report(second)
    driver.pass_s(2.0)
    driver.report(first)
    driver.pass_s(8.0)

    third = driver.submit()
    driver.pass_s(1.0)
    driver.report(third)

    assert (report(driver).attempts, seconds(driver)) == (3, 13.0)


def test_the_inputs_of_a_batch_cost_one_call() -> None:
    driver = Priced(batch=BatchPolicy(3, 0.0))
    jobs = driver.submit_many(3)
    driver.loaded()
    driver.pass_s(2.0)

    driver.step(*[Reported(1, job, 1, RESULT) for job in jobs])

    assert (report(driver).attempts, seconds(driver)) == (3, 2.0)


def test_an_attempt_belongs_to_the_day_on_which_it_ends() -> None:
    driver = Priced(timeout_s=1e6)
    run(driver, 1.0)

    run(driver, 13 * 3600.0)
    run(driver, 2.0)

    told = [(line.day_at % DAY_S, line.microseconds) for line in report(driver).lines]
    assert told == [(0, 1_000_000), (0, 13 * 3_600_000_000 + 2_000_000)]
    first, second = (line.day_at for line in report(driver).lines)
    assert second - first == DAY_S


def test_versions_of_a_function_that_need_the_same_are_one_line() -> None:
    driver = Priced()
    run(driver, 1.0)
    driver.function = driver.register("f", timeout_s=7.0)
    job = driver.submit()
    driver.loaded(2)
    driver.pass_s(1.0)
    driver.report(job)

    assert [line.attempts for line in report(driver).lines] == [2]


def test_versions_of_a_function_that_need_something_else_are_lines_of_their_own() -> None:
    driver = Priced()
    run(driver, 1.0)
    driver.function = driver.register("f", memory_mb=2048)
    job = driver.submit()
    driver.loaded(2)
    driver.pass_s(1.0)
    driver.report(job)

    assert [line.memory_mb for line in report(driver).lines] == [1024, 2048]


@pytest.fixture(scope="module")
def two_days() -> Priced:
    """A call yesterday, and one today."""
    driver = Priced()
    run(driver, 1.0)
    driver.pass_s(DAY_S)
    driver.now += 1.0
    job = driver.submit()
    driver.loaded(max(driver.plane.ledger.executors))
    driver.pass_s(1.0)
    driver.report(job)
    return driver


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({"app_name": "app"}, 2),
        ({"app_name": "other"}, 0),
        ({"function_name": "f"}, 2),
        ({"function_name": "g"}, 0),
        ({"since": NOON}, 2),
        ({"since": NOON + DAY_S / 2}, 1),
        ({"since": NOON + 3 * DAY_S}, 0),
    ],
)
def test_what_is_asked_for_is_told(two_days: Priced, asked: dict[str, Any], count: int) -> None:
    assert len(report(two_days, **asked).lines) == count


def test_rows_that_are_too_many_become_one_which_costs_what_they_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(costs, "MOST_ROWS", 2)
    driver = Priced()
    for name in ("f", "g", "h", "g"):
        _run_another(driver, name)

    found = report(driver)

    assert sorted(line.function_name for line in found.lines) == ["", "g"]
    assert (found.attempts, found.seconds, found.nano_usd) == (4, 4.0, 4 * NANO)
    driver.restart()
    assert report(driver) == found


def test_rows_that_are_free_become_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "MOST_ROWS", 2)
    driver = Driver()
    for name in ("f", "g", "h"):
        _run_another(driver, name)

    told = [(it.function_name, it.attempts) for it in report(driver).lines]
    assert told == [("", 2), ("h", 1)]


def _run_another(driver: Driver, name: str) -> None:
    driver.function = driver.register(name)
    job = driver.submit()
    driver.loaded(max(driver.plane.ledger.executors))
    driver.pass_s(1.0)
    driver.report(job)


# --- prices ---------------------------------------------------------------------------------------


def test_a_price_is_that_of_all_that_an_executor_takes() -> None:
    prices = Prices(3 * PICO, 2 * PICO, {"H100": 10 * PICO})

    assert pricing(prices)(FunctionSpec("app", "f", cpu=4, memory_mb=512), "") == 13 * PICO
    assert prices.of(1, 0, "NVIDIA H100 80GB HBM3", 2) == 23 * PICO
    assert prices.of(1, 0, "NVIDIA A10", 2) == 3 * PICO


def test_the_longest_name_that_a_device_has_says_its_price() -> None:
    prices = Prices(gpu={"A100": 1, "A100-80GB": 2})

    assert prices.of(1, 0, "NVIDIA A100-SXM4-80GB", 1) == 2
    assert prices.of(1, 0, "NVIDIA A100-SXM4-40GB", 1) == 1


@pytest.mark.parametrize("is_heard", [False, True])
def test_a_gpu_is_part_of_what_a_call_costs(is_heard: bool) -> None:
    driver = FarPriced(gpu=("H100",), gpu_count=1)
    machine = Capacity(8, 16_384, (Gpu("GPU-1", "NVIDIA H100 80GB HBM3", 81_559),))
    driver.join("a", machine)
    job = driver.begun()
    held = driver.held(job, BEGUN)
    driver.restart()
    if is_heard:
        driver.join("a", machine, held)
    driver.pass_s(2.0)

    driver.died(driver.job(job).executor)

    (line,) = report(driver).lines
    name = "NVIDIA H100 80GB HBM3" if is_heard else "H100"
    assert (line.gpu, line.gpu_count, line.microseconds) == (name, 1, 2_000_000)


def test_a_line_says_what_it_would_cost_at_other_prices() -> None:
    driver = Driver(memory_mb=2048)
    run(driver, 3.0)
    (line,) = report(driver).lines

    assert line.estimate_nano_usd(Prices(PICO, PICO)) == 9 * NANO
    assert report(driver).estimated(Prices(PICO, PICO)).estimate_nano_usd == 9 * NANO
    assert report(driver).estimated(None).estimate_nano_usd is None


def test_what_is_charged_is_not_estimated() -> None:
    driver = Priced()
    run(driver, 1.0)

    assert report(driver).estimated(Prices(5 * PICO)) == report(driver)


# --- restarts -------------------------------------------------------------------------------------


def test_what_was_charged_is_known_again() -> None:
    driver = Priced()
    run(driver, 2.0)
    before = report(driver)

    driver.restart()

    assert report(driver) == before


def test_a_day_goes_on_in_the_same_row() -> None:
    driver = Priced()
    run(driver, 2.0)
    driver.restart(after_s=10.0)

    run(driver, 1.0)

    assert len(driver.plane.costs.rows) == 1
    assert seconds(driver) == 3.0


def test_another_price_counts_from_then_on() -> None:
    driver = Priced()
    run(driver, 2.0)
    driver.price_of = lambda spec, gpu: 3 * PICO
    driver.restart()

    run(driver, 1.0)

    (line,) = report(driver).lines
    assert (line.microseconds, line.nano_usd) == (3_000_000, 5 * NANO)


def test_what_goes_down_with_its_control_plane_is_free() -> None:
    driver = Priced()
    driver.ran()
    driver.pass_s(5.0)

    driver.restart(after_s=100.0)

    assert report(driver).lines == ()


def test_what_costs_something_is_written_down_in_the_very_step() -> None:
    driver = Priced()
    driver.start(RunJob(driver.function, Payload(b"x")))
    driver.loaded()
    driver.pass_s(1.0)

    driver.report(1)

    assert "cost/1" in driver.records


def test_what_is_free_is_no_reason_to_write() -> None:
    driver = Restarting()
    driver.start(RunJob(driver.function, Payload(b"x")))
    driver.loaded()
    driver.pass_s(1.0)

    driver.report(1)
    assert "cost/1" not in driver.records

    driver.ask(SubmitJob(driver.function, Payload(b"x")))
    assert "cost/1" in driver.records


def test_what_is_free_is_written_down_when_the_program_ends() -> None:
    driver = Restarting()
    driver.start(RunJob(driver.function, Payload(b"x")))
    driver.loaded()
    driver.pass_s(1.0)
    driver.report(1)

    driver.end()

    assert "cost/1" in driver.records


# --- agents ---------------------------------------------------------------------------------------


def far_report(driver: Far, job: int, ran_s: float) -> None:
    held = driver.job(job)
    driver.step(Reported(held.executor, job, held.attempt, RESULT, ran_s=ran_s))


def test_an_agent_says_how_long_a_call_took_while_it_was_not_heard() -> None:
    driver = FarPriced()
    driver.join()
    job = driver.begun()
    driver.pass_s(5.0)

    far_report(driver, job, ran_s=2.0)

    assert seconds(driver) == 2.0


@pytest.mark.parametrize("ran_s", [99.0, -1.0, float("nan"), float("inf")])
def test_an_agent_cannot_say_what_is_not_so(ran_s: float) -> None:
    driver = FarPriced()
    driver.join()
    job = driver.begun()
    driver.pass_s(5.0)

    far_report(driver, job, ran_s)

    assert seconds(driver) == 5.0


def test_a_call_that_outlives_its_control_plane_costs_what_it_took() -> None:
    driver = FarPriced()
    driver.join()
    job = driver.begun()
    driver.pass_s(5.0)
    held = driver.held(job, DONE)
    driver.restart(after_s=1000.0)
    driver.join("a", LARGE, held)

    far_report(driver, job, ran_s=7.0)

    assert seconds(driver) == 7.0


def test_what_is_lost_under_a_restart_costs_what_was_after_it() -> None:
    driver = FarPriced()
    driver.join()
    job = driver.begun()
    held = driver.held(job, BEGUN)
    driver.pass_s(5.0)
    driver.restart(after_s=1000.0)
    driver.join("a", LARGE, held)
    driver.pass_s(2.0)

    driver.died(driver.job(job).executor)

    assert seconds(driver) == 2.0


def test_what_an_agent_does_not_have_any_more_costs_nothing_after_a_restart() -> None:
    driver = FarPriced()
    driver.join()
    job = driver.begun()
    held = driver.held(job, BEGUN).replace(jobs=())
    driver.pass_s(5.0)
    driver.restart(after_s=1000.0)

    driver.join("a", LARGE, held)

    assert (report(driver).attempts, seconds(driver)) == (1, 0.0)


def test_calls_that_share_an_executor_count_anew_after_a_restart() -> None:
    driver = FarPriced(concurrent_requests=2)
    driver.join()
    job = driver.begun()
    held = driver.held(job, BEGUN)
    driver.pass_s(5.0)
    driver.restart(after_s=1000.0)
    driver.join("a", LARGE, held)
    driver.pass_s(3.0)

    far_report(driver, job, ran_s=999.0)

    assert seconds(driver) == 3.0


@pytest.mark.parametrize("retries", [0, 1])
def test_a_machine_that_is_gone_costs_something_up_to_the_end_of_its_lease(retries: int) -> None:
    driver = FarPriced(retries=retries)
    driver.join()
    driver.begun()
    driver.cut()

    driver.pass_s(LEASE_S + GRACE_S + 60.0)

    assert seconds(driver) == pytest.approx(LEASE_S, abs=0.001)


def test_a_call_that_was_to_be_stopped_costs_something_up_to_the_end_of_the_lease() -> None:
    driver = FarPriced()
    driver.join()
    job = driver.begun()
    driver.cut()
    driver.cancel(job)

    driver.pass_s(LEASE_S + GRACE_S + 60.0)

    assert seconds(driver) == pytest.approx(LEASE_S, abs=0.001)


def test_an_outcome_in_the_grace_costs_something_up_to_the_end_of_the_lease() -> None:
    driver = FarPriced()
    driver.join()
    job = driver.begun()
    held = driver.held(job, DONE)
    driver.cut()
    driver.pass_s(LEASE_S + 40.0)
    driver.join("a", LARGE, held, channel="")

    far_report(driver, job, ran_s=70.0)

    assert driver.status(job) == "succeeded"
    assert seconds(driver) == pytest.approx(LEASE_S, abs=0.001)


def test_what_was_recalled_from_where_it_stood_is_free() -> None:
    driver = Priced()
    job = driver.ran()
    driver.pass_s(1.0)

    driver.step(Recalled(1, (job,)))

    assert report(driver).lines == ()
