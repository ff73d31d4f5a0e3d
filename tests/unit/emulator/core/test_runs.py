from __future__ import annotations

import pytest

from apothic_backends.commands import CancelJob, ReadEvents, RunJob
from apothic_backends.model.errors import NotFound, QueueFull, SlotDeadlock
from apothic_backends.model.events import Cursor
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.facts import GivenUp, Printed, StackDumped, Tick
from apothic_emulator.core.levels import MOST_LEVELS
from tests.unit.emulator.core.driving import RESULT, Driver, kinds

ARGUMENTS = Payload(b"arguments")


def test_a_run_is_answered_with_how_its_job_ended() -> None:
    driver = Driver()
    token = driver.start(RunJob(driver.function, ARGUMENTS))
    driver.loaded()
    driver.report(1)

    assert driver.answers[token].result == RESULT


def test_giving_a_run_up_cancels_its_job() -> None:
    driver = Driver()
    token = driver.start(RunJob(driver.function, ARGUMENTS))
    driver.loaded()
    driver.step(GivenUp(token))

    assert kinds(driver.effects) == ["Recall", "DumpStack"]
    assert token not in driver.answers


def test_a_run_of_a_function_that_never_was_is_not_found() -> None:
    with pytest.raises(NotFound):
        Driver().ask(RunJob("functions:9", ARGUMENTS))


def test_a_run_needs_room() -> None:
    driver = Driver(max_pending_tasks=1)
    driver.submit_many(2)

    with pytest.raises(QueueFull):
        driver.ask(RunJob(driver.function, ARGUMENTS))


def test_a_run_that_would_wait_too_deep_leaves_no_job() -> None:
    driver = Driver()
    caller = driver.ran()
    driver.job(caller).level = MOST_LEVELS
    token = driver.start(RunJob(driver.function, ARGUMENTS), driver.inside(caller))

    assert isinstance(driver.answers[token], SlotDeadlock)
    assert driver.status(caller + 1) == "cancelled"


def test_a_reader_that_has_seen_everything_waits() -> None:
    driver = Driver()
    driver.ran()
    token = driver.start(ReadEvents(after=Cursor("here", 2)))

    assert token not in driver.answers


def test_a_tick_before_its_time_does_nothing() -> None:
    driver = Driver()
    driver.ran()

    assert driver.step(Tick()) == []


def test_a_second_log_line_joins_the_first() -> None:
    driver = Driver()
    job = driver.ran()
    driver.step(Printed(1, job, "stdout", "a"), Printed(1, job, "stdout", "b"))

    log = driver.job(job).log
    assert log is not None
    assert log.read().stdout == "ab"


def test_a_stack_is_kept_with_its_executor() -> None:
    driver = Driver()
    driver.ran()
    driver.step(StackDumped(1, "line 3"))

    assert driver.plane.ledger.executors[1].stack == "line 3"


def test_stopping_an_executor_that_is_stopping_changes_nothing() -> None:
    driver = Driver(timeout_s=1.0)
    first = driver.ran()
    driver.pass_s(1.0)
    driver.ask(CancelJob(f"jobs:{first}"))

    assert driver.effects == []


def test_two_waits_of_a_job_park_it_once() -> None:
    driver = Driver()
    outer = driver.ran()
    inner = [driver.submit(), driver.submit()]
    tokens = [driver.wait(job, driver.inside(outer)) for job in inner]
    driver.step(GivenUp(tokens[0]))
    assert driver.plane.ledger.executors[1].parked == 1

    driver.step(GivenUp(tokens[1]))
    assert driver.plane.ledger.executors[1].parked == 0


def test_a_parked_job_that_ends_leaves_the_waits_of_its_neighbours() -> None:
    driver = Driver(concurrent_requests=2)
    one, two = driver.submit_many(2)
    driver.loaded()
    below = driver.submit()
    for job in (one, two):
        driver.wait(below, driver.inside(job))
    driver.report(one)

    assert driver.plane.ledger.executors[1].parked == 1
