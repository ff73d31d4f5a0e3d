from __future__ import annotations

import pytest

from apothic_backends.commands import ReadEvents
from apothic_backends.model.errors import MemoryLimitExceeded, error_of
from apothic_backends.model.events import Cursor
from apothic_backends.model.jobs import ErrorInfo
from apothic_emulator.core.facts import Loaded
from apothic_emulator.core.plane import Plane
from tests.unit.emulator.core.driving import Driver


def lost(driver: Driver, job: int) -> ErrorInfo:
    error = driver.outcome(job).error
    assert error is not None
    return error


def test_a_job_whose_process_used_too_much_memory_says_how_much_and_who_has_seen_it() -> None:
    driver = Driver(memory_mb=64)
    job = driver.ran()

    driver.exceeded()

    error = lost(driver, job)
    assert error.message == (
        "the process that ran jobs:1 was killed because it used 80 MB, more than memory_mb=64 of "
        "'f' allows (watchdog). Raise memory_mb, or hold less at once"
    )
    assert error.data == {
        "maybe_ran": True,
        "reason": "oom",
        "signal": 9,
        "exit_code": None,
        "losses": 1,
        "limit_mb": 64,
        "peak_mb": 80,
        "evidence": "watchdog",
    }
    assert type(error_of(error.code, error.message, error.data)) is MemoryLimitExceeded


def test_a_kill_without_proof_is_a_plain_loss() -> None:
    driver = Driver()
    job = driver.ran()

    driver.died()

    assert lost(driver, job).code == "worker_lost"
    assert lost(driver, job).data["reason"] == "signal"


def test_too_much_memory_is_a_loss_like_others_and_runs_again() -> None:
    driver = Driver(retries=1)
    job = driver.ran()

    driver.exceeded()

    assert driver.status(job) == "dispatched"
    epoch = driver.plane.ledger.events.epoch
    events = driver.ask(ReadEvents(after=Cursor(epoch, 0))).events
    retry = next(event for event in events if event.event == "job.retry")
    assert retry.data["error"] == "memory_limit"


def test_memory_stays_the_reason_when_the_budget_for_losses_is_spent() -> None:
    driver = Driver(retries=1)
    job = driver.ran()
    driver.exceeded()
    for executor in (2, 3, 4):
        driver.loaded(executor)
        driver.exceeded(executor)

    assert lost(driver, job).data["reason"] == "oom"
    assert lost(driver, job).data["losses"] == 4


def test_a_function_that_uses_too_much_memory_before_it_is_loaded_says_so() -> None:
    driver = Driver(memory_mb=64)
    job = driver.submit()
    for executor in range(1, 5):
        driver.exceeded(executor, [job])

    error = lost(driver, job)
    assert error.code == "memory_limit"
    assert "got as far as loading it: the last was killed because it used 80 MB" in error.message


def test_a_snapshot_tells_by_what_limits_are_kept() -> None:
    driver = Driver()
    enforced = {"memory": "watchdog", "cpu": "affinity"}
    driver.plane = Plane("here", enforced=enforced)
    driver.function = driver.register("f")
    bound = driver.register("bound", cpu=1)

    assert driver.look(driver.submit()).limits == {"memory": "watchdog", "cpu": "none"}
    assert driver.look(driver.submit(bound)).limits == {"memory": "watchdog", "cpu": "affinity"}
    large = driver.register("large", disk_gb=0.5)
    assert driver.look(driver.submit(large)).limits["disk"] == "none"  # nobody has said more


@pytest.mark.parametrize(("told", "shown"), [("quota", "quota"), ("", "file"), ("hope", "file")])
def test_a_snapshot_tells_by_what_disk_gb_is_kept_where_its_function_runs(
    told: str, shown: str
) -> None:
    driver = Driver()
    driver.plane = Plane("here", enforced={"memory": "none", "cpu": "none", "disk": "file"})
    driver.function = driver.register("large", disk_gb=0.5)
    job = driver.submit()
    assert driver.look(job).limits["disk"] == "file"

    driver.step(Loaded(1, told))

    assert driver.look(job).limits["disk"] == shown
