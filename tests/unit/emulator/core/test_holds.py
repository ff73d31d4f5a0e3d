"""What happens to a job while a person looks at it in a debugger."""

from __future__ import annotations

import pytest

from apothic_backends.commands import HoldJob
from apothic_backends.model.errors import NotFound
from apothic_emulator.core.facts import Loaded, Origin
from tests.unit.emulator.core.driving import RAISED, Driver, kinds


def running(driver: Driver, count: int = 1) -> list[int]:
    """Jobs that run in executor 1."""
    jobs = driver.submit_many(count)
    driver.step(Loaded(1))
    return jobs


def hold(driver: Driver, job: int, origin: Origin | None = None) -> bool:
    return driver.ask(HoldJob(f"jobs:{job}", held=True), origin)


def let_go(driver: Driver, job: int) -> bool:
    return driver.ask(HoldJob(f"jobs:{job}", held=False))


def test_a_held_job_runs_into_no_time_limit() -> None:
    driver = Driver(timeout_s=10)
    (job,) = running(driver)

    assert hold(driver, job) is True
    assert driver.pass_s(1000) == []


def test_the_clock_goes_on_where_it_stood() -> None:
    driver = Driver(timeout_s=10)
    (job,) = running(driver)
    driver.pass_s(6)
    hold(driver, job)
    driver.pass_s(1000)

    assert let_go(driver, job) is False
    assert driver.pass_s(3.5) == []
    assert kinds(driver.pass_s(0.5)) == ["Recall", "DumpStack"]


def test_neighbours_in_the_same_process_wait_too() -> None:
    driver = Driver(timeout_s=10, concurrent_requests=3)
    first, second = running(driver, 2)
    hold(driver, first)
    driver.pass_s(100)
    driver.submit()
    driver.pass_s(5)
    hold(driver, second)
    let_go(driver, first)
    assert driver.pass_s(100) == []

    let_go(driver, second)

    assert [job.deadline - driver.now for job in driver.plane.ledger.jobs.values()] == [10, 10, 10]


def test_the_clock_goes_on_when_the_held_job_ends() -> None:
    driver = Driver(timeout_s=10, concurrent_requests=2)
    first, second = running(driver, 2)
    hold(driver, first)
    driver.pass_s(100)
    driver.report(first)

    assert driver.status(first) == "succeeded"
    assert kinds(driver.pass_s(9.5)) == []
    assert kinds(driver.pass_s(0.5)) == ["Interrupt"]
    assert driver.job(second).stop == "time_out"


def test_a_held_job_that_is_taken_back_holds_nothing() -> None:
    driver = Driver(timeout_s=10)
    (job,) = running(driver)
    hold(driver, job)
    driver.recalled(1, job)

    assert driver.plane.ledger.executors[1].holders == set()


def test_a_retry_begins_with_a_clock_that_runs() -> None:
    driver = Driver(retries=1, timeout_s=10)
    (job,) = running(driver)
    hold(driver, job)
    driver.report(job, error=RAISED)

    assert "DumpStack" in kinds(driver.pass_s(10))


def test_cancelling_stops_a_held_job() -> None:
    driver = Driver(timeout_s=10)
    (job,) = running(driver)
    hold(driver, job)
    driver.cancel(job)

    assert "Kill" in kinds(driver.pass_s(1))


def test_what_is_being_stopped_is_not_saved_by_a_hold() -> None:
    driver = Driver(timeout_s=10, concurrent_requests=2)
    job, _ = running(driver, 2)
    driver.pass_s(10)
    hold(driver, job)

    assert "Kill" in kinds(driver.pass_s(10))


def test_code_that_holds_its_own_job_has_begun() -> None:
    driver = Driver(timeout_s=10)
    (job,) = running(driver)
    driver.report(job)
    second, third = driver.submit_many(2)
    driver.report(second)

    assert hold(driver, third, driver.inside(third)) is True


def test_letting_go_of_what_nobody_holds_changes_nothing() -> None:
    driver = Driver(timeout_s=10)
    (job,) = running(driver)
    before = driver.job(job).deadline
    driver.pass_s(5)

    assert let_go(driver, job) is False
    assert driver.job(job).deadline == before


def test_a_neighbour_that_is_being_stopped_gets_no_more_time() -> None:
    driver = Driver(timeout_s=10, concurrent_requests=2)
    first, second = running(driver, 2)
    hold(driver, first)
    driver.pass_s(100)
    driver.cancel(second)
    before = driver.job(second).deadline
    driver.pass_s(0.5)

    let_go(driver, first)

    assert driver.job(second).deadline == before


def test_a_process_can_hold_nothing_that_runs_in_another() -> None:
    driver = Driver(timeout_s=10, max_containers=2)
    first, second = driver.submit_many(2)
    driver.loaded(1)
    driver.loaded(2)

    assert hold(driver, second, driver.inside(first)) is False


def test_a_job_that_does_not_run_cannot_be_held() -> None:
    driver = Driver()
    job = driver.submit()

    assert hold(driver, job) is False


def test_an_unknown_job_cannot_be_held() -> None:
    with pytest.raises(NotFound):
        hold(Driver(), 9)
