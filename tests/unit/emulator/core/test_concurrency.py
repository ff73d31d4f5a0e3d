"""How many calls each executor takes at once, and how many it aims at."""

from __future__ import annotations

from collections import Counter

import pytest

from apothic_backends.model.errors import InvalidOption
from apothic_emulator.core.effects import Dispatch, Recall, StartExecutor
from apothic_emulator.core.facts import Recalled
from tests.unit.emulator.core.driving import Driver, jobs_sent, only


def lines(driver: Driver) -> list[int]:
    """How many jobs stand in the line of each executor."""
    return [len(executor.line) for executor in driver.plane.ledger.executors.values()]


def warm(slots: int, target: int, most: int) -> Driver:
    """A driver whose first executor is ready and idle."""
    driver = Driver(concurrent_requests=slots, target_requests=target, max_containers=most)
    driver.report(driver.ran())
    return driver


def test_jobs_above_the_target_of_all_start_another_executor_and_wait_for_it() -> None:
    driver = warm(slots=4, target=2, most=2)
    driver.submit_many(2)

    driver.submit()

    assert only(driver.effects, StartExecutor)
    assert lines(driver) == [2, 0]
    assert jobs_sent(driver.loaded(2)) == [4]


def test_one_starting_executor_is_enough_for_as_many_as_its_target() -> None:
    driver = warm(slots=4, target=2, most=9)
    driver.submit_many(4)

    assert len(lines(driver)) == 2

    driver.submit()

    assert len(lines(driver)) == 3


def test_slots_above_the_target_are_used_when_no_further_executor_may_start() -> None:
    driver = warm(slots=4, target=2, most=2)
    driver.submit_many(4)
    driver.loaded(2)
    assert lines(driver) == [2, 2]

    driver.submit_many(3)

    assert sorted(lines(driver)) == [3, 4]


def test_the_least_busy_goes_above_its_target_first() -> None:
    driver = warm(slots=4, target=2, most=2)
    driver.submit_many(4)
    driver.loaded(2)

    first, second = driver.submit(), driver.submit()

    assert driver.job(first).executor != driver.job(second).executor


def test_slots_are_never_exceeded() -> None:
    driver = warm(slots=3, target=1, most=1)

    driver.submit_many(5)

    assert lines(driver) == [3]
    assert len(driver.plane.pools[1].queue) == 2


def test_cold_executors_are_filled_to_their_target_and_then_above() -> None:
    driver = Driver(concurrent_requests=3, target_requests=2, max_containers=2)

    driver.submit_many(5)

    assert sorted(lines(driver)) == [2, 3]


def test_without_a_target_slots_come_before_executors() -> None:
    driver = warm(slots=3, target=0, most=2)

    driver.submit_many(3)
    assert lines(driver) == [3]

    driver.submit()
    assert lines(driver) == [3, 0]


def test_a_target_needs_more_jobs_than_tasks_per_container_to_start_another() -> None:
    driver = Driver(
        concurrent_requests=4, target_requests=1, max_containers=2, tasks_per_container=3
    )
    driver.report(driver.ran())
    driver.submit_many(3)
    assert lines(driver) == [3]

    driver.submit()

    assert lines(driver) == [3, 0]


def test_a_job_that_comes_back_from_a_starting_executor_finds_a_place_again() -> None:
    driver = Driver(concurrent_requests=2, target_requests=1, max_containers=1)
    first, second = driver.submit_many(2)
    driver.cancel(first)
    assert only(driver.effects, Recall)

    effects = driver.step(Recalled(1, (first, second)))

    assert [effect.job for effect in only(effects, Dispatch)] == [second]
    assert driver.status(first) == "cancelled"


def test_a_callee_goes_above_the_target_where_its_caller_has_the_only_executor() -> None:
    driver = Driver(concurrent_requests=2, target_requests=1, max_containers=1)
    caller = driver.ran()
    driver.wait(driver.submit(origin=driver.inside(caller)), driver.inside(caller))

    started = Counter(type(effect) for effect in driver.effects)

    assert started[StartExecutor] == 0
    assert lines(driver) == [2]


@pytest.mark.parametrize("target", [-1, 3])
def test_a_target_beyond_the_slots_is_refused(target: int) -> None:
    with pytest.raises(InvalidOption, match="from 0 to concurrent_requests"):
        Driver(concurrent_requests=2, target_requests=target)


def test_an_executor_whose_every_job_waits_is_not_working() -> None:
    driver = warm(slots=2, target=0, most=2)
    jobs = driver.submit_many(2)
    executor = driver.plane.ledger.executors[1]
    other = driver.submit(driver.register("g"))

    driver.wait(other, driver.inside(jobs[0]))
    assert executor.is_working

    driver.wait(other, driver.inside(jobs[1]))
    assert not executor.is_working
