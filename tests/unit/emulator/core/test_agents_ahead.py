"""Jobs that are sent to agents ahead of their turn, however long the way there takes."""

from __future__ import annotations

import pytest

from apothic_emulator.core.effects import Go, Recall
from apothic_emulator.core.executors import FAR_S
from apothic_emulator.core.facts import Reported
from tests.unit.emulator.core.agents import Far
from tests.unit.emulator.core.driving import RESULT, jobs_sent, only

WAY_S = 0.03
"""How long news are on their way."""


def reported(driver: Far, job: int, ran_s: float | None) -> list[object]:
    """The agent says that a job is done, and how long that took there."""
    driver.now += WAY_S
    held = driver.job(job)
    fact = Reported(held.executor, job, held.attempt, RESULT, ran_s=ran_s)
    return list(driver.step(fact))


@pytest.fixture
def driver() -> Far:
    """One call has taken a millisecond on an agent, and the next one runs there."""
    driver = Far()
    driver.join()
    reported(driver, driver.begun(), 0.001)
    job = driver.submit()
    assert only(driver.accepts(job), Go)
    return driver


def test_a_short_call_has_others_sent_behind_it(driver: Far) -> None:
    driver.submit()

    assert jobs_sent(driver.effects) == [3]


def test_what_was_sent_ahead_begins_as_soon_as_it_is_its_turn(driver: Far) -> None:
    driver.submit()
    assert not only(driver.accepts(3), Go)

    effects = reported(driver, 2, 0.001)

    assert [effect.job for effect in effects if isinstance(effect, Go)] == [3]


def test_nobody_waits_behind_a_call_of_which_nothing_is_heard(driver: Far) -> None:
    driver.submit()

    assert not only(driver.pass_s(FAR_S * 0.9), Recall)
    assert only(driver.pass_s(FAR_S * 0.2), Recall)


def test_behind_a_long_call_nothing_is_sent(driver: Far) -> None:
    reported(driver, 2, 0.02)
    driver.accepts(driver.submit())
    for job in (3, 4, 5):
        reported(driver, job, 0.02)
        driver.accepts(driver.submit())

    driver.submit()

    assert jobs_sent(driver.effects) == []


@pytest.mark.parametrize("ran_s", [-1.0, 5.0])
def test_an_agent_that_says_what_cannot_be_is_taken_at_the_nearest(
    driver: Far, ran_s: float
) -> None:
    reported(driver, 2, ran_s)

    mean_s = driver.plane.pools[1].mean_s
    assert mean_s is not None
    assert 0.0 <= mean_s <= WAY_S
