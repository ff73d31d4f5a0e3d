"""What is kept of jobs: their keys, inputs and results."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.commands import GetJobInput, ReleaseJob, SubmitJob
from apothic_backends.model.errors import IdempotencyConflict, JobGone, NotFound
from apothic_backends.model.payloads import Payload
from apothic_emulator.core import ledger
from tests.unit.emulator.core.driving import RAISED, Driver


def submit(driver: Driver, key: str | None, data: bytes = b"x", **how: Any) -> str:
    job_id: str = driver.ask(SubmitJob(driver.function, Payload(data), key=key, **how))
    return job_id


# --- keys -----------------------------------------------------------------------------------------


def test_a_key_gives_the_same_job_again() -> None:
    driver = Driver()

    assert [submit(driver, "k"), submit(driver, "k"), submit(driver, "l")] == [
        "jobs:1",
        "jobs:1",
        "jobs:2",
    ]


def test_a_key_with_other_arguments_is_a_conflict() -> None:
    driver = Driver()
    submit(driver, "k")

    with pytest.raises(IdempotencyConflict, match="stands for jobs:1") as caught:
        submit(driver, "k", b"y")
    assert caught.value.data == {"job_id": "jobs:1", "key": "k"}


def test_a_key_belongs_to_one_function() -> None:
    driver = Driver()
    submit(driver, "k")
    other = driver.register("g")

    assert driver.ask(SubmitJob(other, Payload(b"x"), key="k")) == "jobs:2"


def test_a_key_stands_for_a_job_that_has_ended() -> None:
    driver = Driver()
    submit(driver, "k")
    driver.loaded()
    driver.report(1)

    assert submit(driver, "k") == "jobs:1"


def test_a_key_is_forgotten_with_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "KEPT_JOBS", 0)
    driver = Driver()
    submit(driver, "k")
    driver.loaded()
    driver.report(1)
    driver.ask(ReleaseJob("jobs:1"))

    assert submit(driver, "k", b"y") == "jobs:2"


def test_a_key_that_waits_for_room_twice_is_one_job() -> None:
    driver = Driver(max_pending_tasks=1)
    driver.ran()
    driver.submit()
    waiting = [
        driver.start(SubmitJob(driver.function, Payload(data), True, "k")) for data in (b"x", b"x")
    ]
    other = driver.start(SubmitJob(driver.function, Payload(b"y"), True, "k"))
    driver.report(1)
    driver.report(2)

    assert [driver.answers[token] for token in waiting] == ["jobs:3", "jobs:3"]
    assert isinstance(driver.answers[other], IdempotencyConflict)


# --- inputs ---------------------------------------------------------------------------------------


def test_the_input_of_a_job_is_kept_after_its_end() -> None:
    driver = Driver()
    job = driver.ran()
    driver.report(job, error=RAISED)
    kept = driver.ask(GetJobInput(f"jobs:{job}"))

    assert (kept.app_name, kept.function_name, kept.function_id) == ("app", "f", "functions:1")
    assert kept.arguments == Payload(b"arguments")


@pytest.mark.parametrize("payload", [Payload(b"x" * 100_000), Payload(b"x", (b"large",))])
def test_a_large_input_is_not_kept(payload: Payload) -> None:
    driver = Driver()
    driver.ask(SubmitJob(driver.function, payload))
    driver.loaded()
    driver.report(1)

    with pytest.raises(NotFound, match="input of jobs:1 was not kept"):
        driver.ask(GetJobInput("jobs:1"))


# --- results --------------------------------------------------------------------------------------


def test_the_oldest_results_go_when_there_are_too_many_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger, "KEPT_RESULTS", 10)
    driver = Driver()
    one, other = driver.submit_many(2)
    driver.loaded()
    driver.report(one)
    driver.report(other)

    with pytest.raises(JobGone):
        driver.outcome(one)
    assert driver.outcome(other).result is not None


def test_the_oldest_jobs_go_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "KEPT_HELD", 1)
    driver = Driver()
    one, other = driver.submit_many(2)
    driver.loaded()
    driver.report(one, error=RAISED)
    driver.report(other, error=RAISED)

    assert [*driver.plane.ledger.kept] == [other]


# --- retries --------------------------------------------------------------------------------------


def test_an_error_that_is_final_is_not_retried() -> None:
    driver = Driver(retries=3)
    job = driver.ran()
    driver.report(job, error=RAISED.replace(is_final=True))

    assert driver.status(job) == "failed"


def test_jitter_spreads_the_delays_of_different_jobs() -> None:
    driver = Driver(retries=1, delay_s=10.0, jitter=0.5, max_containers=8)
    jobs = driver.submit_many(8)
    for executor in range(1, 9):
        driver.loaded(executor)
    for job in jobs:
        driver.report(job, error=RAISED)
    delays = {driver.job(job).not_before - driver.now for job in jobs}

    assert len(delays) == 8
    assert 5.0 <= min(delays) < 10.0 < max(delays) <= 15.0


def test_delays_without_jitter_are_exact() -> None:
    driver = Driver(retries=1, delay_s=10.0)
    job = driver.ran()
    driver.report(job, error=RAISED)

    assert driver.job(job).not_before == driver.now + 10.0
