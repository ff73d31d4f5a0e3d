"""Executors that are out of date: what was not sent to them goes to others."""

from __future__ import annotations

from apothic_backends.model.functions import BatchPolicy
from apothic_emulator.core.effects import Dispatch, Kill, Retire, StartExecutor
from apothic_emulator.core.facts import Refused
from tests.unit.emulator.core.driving import Driver, batches_sent, jobs_sent, kinds, only


def test_a_job_that_is_refused_goes_to_another_executor() -> None:
    driver = Driver()
    driver.submit()
    driver.loaded()
    driver.report(1)
    job = driver.submit()

    effects = driver.step(Refused(1, (job,)))

    assert [start.executor for start in only(effects, StartExecutor)] == [2]
    assert [(sent.executor, sent.job) for sent in only(effects, Dispatch)] == [(2, job)]
    assert [retired.executor for retired in only(effects, Retire)] == [1]


def test_what_has_begun_goes_on_where_it_is() -> None:
    driver = Driver(concurrent_requests=2)
    first = driver.submit()
    driver.loaded()
    second = driver.submit()

    effects = driver.step(Refused(1, (second,)))

    assert only(effects, Retire) == []
    assert driver.status(first) == "running"
    driver.recalled(1)
    assert "Retire" in kinds(driver.report(first))


def test_one_that_is_still_starting_is_killed() -> None:
    driver = Driver()
    job = driver.submit()

    effects = driver.step(Refused(1, (job,)))

    assert [killed.executor for killed in only(effects, Kill)] == [1]
    assert jobs_sent(effects) == [job]


def test_a_refusal_that_comes_after_it_was_killed_gives_the_job_back() -> None:
    driver = Driver(concurrent_requests=2)
    first, second = driver.submit(), driver.submit()
    driver.step(Refused(1, (first,)))
    driver.step(Refused(1, (second,)))
    driver.loaded(2)

    driver.died(1)

    assert [driver.status(first), driver.status(second)] == ["running", "running"]


def test_a_batch_is_refused_as_a_whole() -> None:
    driver = Driver(batch=BatchPolicy(2, 0.0))
    driver.submit()
    driver.loaded()
    driver.report(1)
    jobs = driver.submit_many(2)

    effects = driver.step(Refused(1, tuple(jobs[:1])))

    assert jobs[0] in [job for batch in batches_sent(effects) for job in batch]
