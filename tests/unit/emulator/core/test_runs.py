from __future__ import annotations

import pytest

from apothic_backends.commands import CancelJob, KeepJob, ReadEvents, RunJob, SubmitJob
from apothic_backends.model.errors import NotFound, QueueFull, SlotDeadlock
from apothic_backends.model.events import Cursor
from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.facts import GivenUp, Origin, Printed, StackDumped, Tick
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


def run_with_patience(driver: Driver, origin: Origin | None = None) -> int:
    """A run that waits for room; gives its token."""
    return driver.start(RunJob(driver.function, ARGUMENTS, wait_for_room=True), origin)


def test_a_run_may_wait_for_room() -> None:
    driver = Driver(max_pending_tasks=1)
    running = driver.ran()
    driver.submit()
    token = run_with_patience(driver)
    driver.report(running)
    driver.report(running + 1)
    driver.report(running + 2)

    assert driver.answers[token].result == RESULT
    assert driver.answers[token].job_id == f"jobs:{running + 2}"


def test_runs_and_submissions_wait_for_room_in_one_line() -> None:
    driver = Driver(max_pending_tasks=1)
    driver.submit_many(2)
    run_with_patience(driver)
    late = driver.start(SubmitJob(driver.function, ARGUMENTS, wait_for_room=True))
    driver.loaded()
    assert late not in driver.answers
    driver.report(1)

    assert driver.answers[late] == "jobs:4"


def test_giving_a_run_up_that_waits_for_room_leaves_no_job() -> None:
    driver = Driver(max_pending_tasks=1)
    driver.submit_many(2)
    driver.step(GivenUp(run_with_patience(driver)))
    driver.loaded()
    driver.report(1)

    assert driver.submit() == 3


def test_a_run_from_a_job_parks_it_before_and_after_there_is_room() -> None:
    driver = Driver(max_pending_tasks=1, max_containers=2)
    caller = driver.ran()
    other = driver.register("other", max_pending_tasks=1)
    command = RunJob(other, ARGUMENTS, wait_for_room=True)
    driver.submit(other)
    driver.submit(other)
    driver.start(command, driver.inside(caller))
    assert driver.job(caller).parked == 1
    driver.loaded(2)
    driver.report(caller + 1)

    assert driver.job(caller).parked == 1
    assert driver.job(caller + 3).level == 1


def test_a_run_whose_caller_sinks_too_deep_while_it_waits_is_refused() -> None:
    driver = Driver(max_pending_tasks=1)
    other = driver.register("other")
    caller = driver.submit(other)
    driver.loaded()
    driver.submit_many(2)
    token = run_with_patience(driver, driver.inside(caller))
    driver.job(caller).level = MOST_LEVELS
    driver.loaded(2)
    driver.report(caller + 1)

    assert isinstance(driver.answers[token], SlotDeadlock)
    assert driver.job(caller).parked == 0


def test_a_job_that_is_kept_outlives_whoever_waits_for_it() -> None:
    driver = Driver()
    caller = driver.ran()
    other = driver.register("other")
    driver.start(RunJob(other, ARGUMENTS), driver.inside(caller))
    kept = caller + 1
    driver.ask(KeepJob(f"jobs:{kept}"))
    driver.died(1)
    driver.loaded(driver.job(kept).executor)
    driver.report(kept)

    assert driver.outcome(kept).result == RESULT


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
    token = driver.start(ReadEvents(after=Cursor("here", 3)))

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


def test_a_second_executor_that_loads_too_long_is_not_replaced_at_once() -> None:
    driver = Driver(timeout_s=100.0, max_containers=2)
    driver.ran()
    driver.submit_many(3)
    driver.pass_s(50.0)
    driver.report(1)

    assert kinds(driver.pass_s(50.0)) == ["DumpStack"]


def test_an_executor_that_was_asked_to_end_may_still_be_told_to_stop_a_job() -> None:
    driver = Driver(concurrent_requests=2)
    one, two = driver.submit_many(2)
    driver.loaded()
    driver.report(one, retire=True)
    driver.recalled(1)
    driver.ask(CancelJob(f"jobs:{two}"))

    assert kinds(driver.effects) == ["Interrupt"]


def test_a_wait_for_the_end_of_a_pause_leaves_other_alarms() -> None:
    driver = Driver(retries=1, delay_s=3.0)
    job = driver.ran()
    driver.report(job, error=ErrorInfo("user_error", "boom"))
    driver.plane.pools[1].rest_until = driver.now + 1.0
    driver.plane.scheduler.wake_at(driver.now + 1.0)
    driver.pass_s(1.0)

    assert driver.plane.alarm == driver.now + 2.0


def test_a_packet_that_cannot_be_taken_back_is_asked_for_once() -> None:
    driver = Driver(timeout_s=1.0)
    driver.ran()
    driver.pass_s(1.0)
    scheduler, executor = driver.plane.scheduler, driver.plane.ledger.executors[1]
    scheduler.stop(executor, driver.now)

    assert scheduler.effects == []


def test_a_pause_outlasts_the_retries_that_fall_into_it() -> None:
    driver = Driver(retries=1, delay_s=3.0)
    job = driver.ran()
    driver.report(job, error=ErrorInfo("user_error", "boom"))
    driver.plane.pools[1].rest_until = driver.now + 5.0
    driver.pass_s(3.0)

    assert driver.plane.pools[1].rest_until > 0.0
    assert driver.status(job) == "running"


def test_a_tick_leaves_jobs_alone_that_were_just_sent_ahead() -> None:
    driver = Driver()
    driver.report(driver.ran())
    first, *_ = driver.submit_many(3)
    driver.pass_s(0.004)
    driver.report(first)

    assert kinds(driver.pass_s(0.001)) == []
    assert kinds(driver.pass_s(0.004)) == ["Recall"]
