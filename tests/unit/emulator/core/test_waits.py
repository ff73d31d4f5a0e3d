from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.commands import ReadEvents, SubmitJob, WaitJob
from apothic_backends.model.errors import BackendClosed, SlotDeadlock
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.effects import StartExecutor
from apothic_emulator.core.facts import Asked, GivenUp, Origin
from apothic_emulator.core.levels import MOST_LEVELS
from tests.unit.emulator.core.driving import RAISED, Driver, jobs_sent, kinds, only


def call(driver: Driver, caller: int, function: str = "") -> int:
    """The code of a running job calls a function and waits; gives the called job."""
    origin = driver.inside(caller)
    job = driver.submit(function, origin)
    driver.wait(job, origin, last=True, owned=True)
    return job


def test_everybody_who_waits_is_answered() -> None:
    driver = Driver()
    job = driver.ran()
    tokens = [driver.wait(job), driver.wait(job)]
    driver.report(job)

    assert [driver.answers[token].status.value for token in tokens] == ["succeeded"] * 2


def test_a_wait_that_was_given_up_is_not_answered() -> None:
    driver = Driver()
    job = driver.ran()
    token = driver.wait(job)
    driver.step(GivenUp(token))
    driver.report(job)

    assert token not in driver.answers


def test_giving_up_what_nobody_waits_for_changes_nothing() -> None:
    assert Driver().step(GivenUp("nothing")) == []


def test_a_token_that_waits_already_gets_one_answer() -> None:
    driver = Driver()
    job = driver.ran()
    token = driver.wait(job)
    again: Any = WaitJob(f"jobs:{job}")
    driver.step(Asked(again, token))
    driver.report(job)

    assert driver.answers[token].status.value == "succeeded"


def test_the_plane_knows_everybody_who_waits() -> None:
    driver = Driver()
    token = driver.wait(driver.ran())

    assert driver.plane.tokens() == [token]


# --- calls from jobs ------------------------------------------------------------------------------


def test_a_function_may_call_itself_in_its_only_container() -> None:
    driver = Driver()
    outer = driver.ran()
    inner = call(driver, outer)

    assert driver.job(inner).executor == 2


def test_a_parked_job_does_not_lend_its_place_to_its_equals() -> None:
    driver = Driver()
    outer, beside = driver.submit_many(2)
    driver.loaded()
    other = driver.register("other")
    call(driver, outer, other)

    assert driver.status(beside) == "queued"


def test_a_job_that_is_waited_for_goes_first() -> None:
    driver = Driver()
    outer, first, second = driver.submit_many(3)
    driver.loaded()
    driver.wait(second, driver.inside(outer))

    assert driver.status(second) == "dispatched"
    assert driver.status(first) == "queued"


def test_an_idle_executor_of_a_lent_place_waits_for_its_caller() -> None:
    driver = Driver()
    outer, beside = driver.submit_many(2)
    driver.loaded()
    inner = call(driver, outer)
    driver.loaded(2)
    driver.pass_s(1.0)
    driver.report(inner)

    assert driver.status(beside) == "queued"
    driver.report(outer)
    assert driver.status(beside) == "running"


def test_callers_may_wait_above_one_another_only_so_deep() -> None:
    driver = Driver()
    job = driver.ran()
    for _ in range(MOST_LEVELS):
        job = call(driver, job)
        driver.loaded(driver.job(job).executor)
    below = driver.submit(origin=driver.inside(job))

    token = driver.wait(below, driver.inside(job))
    assert isinstance(driver.answers[token], SlotDeadlock)


def test_a_job_that_waits_for_itself_is_told() -> None:
    driver = Driver()
    job = driver.ran()

    assert isinstance(driver.answers[driver.wait(job, driver.inside(job))], SlotDeadlock)


def test_two_jobs_that_wait_for_each_other_are_told() -> None:
    driver = Driver(max_containers=2)
    one, two, _ = driver.submit_many(3)
    driver.loaded(1)
    driver.loaded(2)
    driver.wait(two, driver.inside(one))

    assert isinstance(driver.answers[driver.wait(one, driver.inside(two))], SlotDeadlock)


def test_what_a_job_waits_for_sinks_with_it() -> None:
    driver = Driver(max_containers=3)
    top, middle, bottom = driver.submit_many(3)
    driver.loaded(1)
    for executor in (2, 3):
        if executor in driver.plane.ledger.executors:
            driver.loaded(executor)
    driver.wait(bottom, driver.inside(middle))
    driver.wait(middle, driver.inside(top))

    assert [driver.job(job).level for job in (top, middle, bottom)] == [0, 1, 2]


def test_waiting_twice_for_the_same_job_sinks_it_once() -> None:
    driver = Driver()
    outer = driver.ran()
    inner = call(driver, outer)
    driver.wait(inner, driver.inside(outer))

    assert driver.job(inner).level == 1


def test_a_job_works_on_when_it_has_its_answer() -> None:
    driver = Driver()
    outer = driver.ran()
    inner = call(driver, outer)
    driver.loaded(2)
    driver.report(inner)

    assert driver.job(outer).parked == 0


def test_a_job_works_on_when_it_gives_its_wait_up() -> None:
    driver = Driver()
    outer = driver.ran()
    inner = driver.submit()
    token = driver.wait(inner, driver.inside(outer))
    driver.step(GivenUp(token))

    assert driver.job(outer).parked == 0


def test_a_job_that_ends_while_it_waits_parks_nobody() -> None:
    driver = Driver(concurrent_requests=2)
    outer = driver.ran()
    inner = driver.submit()
    token = driver.wait(inner, driver.inside(outer))
    driver.wait(inner)
    driver.report(outer)
    driver.report(inner)

    assert driver.answers[token].status.value == "succeeded"


def test_waiting_for_what_has_ended_parks_nobody() -> None:
    driver = Driver(concurrent_requests=2)
    outer, done = driver.submit_many(2)
    driver.loaded()
    driver.report(done)
    token = driver.wait(done, driver.inside(outer))

    assert driver.answers[token].status.value == "succeeded"
    assert driver.job(outer).parked == 0


def test_jobs_behind_a_job_that_waits_are_taken_back() -> None:
    driver = Driver()
    driver.report(driver.ran())
    outer, behind = driver.submit_many(2)
    inner = driver.submit(driver.register("other"))
    driver.wait(inner, driver.inside(outer))

    assert "Recall" in kinds(driver.effects)
    assert driver.status(behind) == "dispatched"


def test_a_wait_of_a_job_that_its_executor_does_not_have_parks_nobody() -> None:
    driver = Driver()
    driver.ran()
    other = driver.submit()
    driver.wait(other, Origin(1, other))

    assert driver.job(other).parked == 0


def test_a_wait_of_a_job_that_never_was_parks_nobody() -> None:
    driver = Driver()
    job = driver.ran()
    driver.wait(job, Origin(1, 77))

    assert driver.plane.ledger.executors[1].parked == 0


def test_an_executor_that_has_ended_cannot_ask() -> None:
    driver = Driver()
    job = driver.submit()

    assert isinstance(driver.answers[driver.wait(job, Origin(77, job))], BackendClosed)


def test_an_executor_that_was_killed_cannot_ask() -> None:
    driver = Driver(timeout_s=1.0)
    job = driver.ran()
    driver.pass_s(1.6)

    assert isinstance(driver.answers[driver.wait(job, Origin(1, job))], BackendClosed)


# --- what dies with a process ---------------------------------------------------------------------


def test_jobs_of_its_own_are_cancelled_with_a_process() -> None:
    driver = Driver()
    outer = driver.ran()
    inner = call(driver, outer)
    driver.died(1)
    driver.recalled(2, inner)

    assert driver.status(inner) == "cancelled"


def test_jobs_of_others_run_on() -> None:
    driver = Driver()
    outer = driver.ran()
    inner = driver.submit()
    driver.wait(inner, driver.inside(outer))
    driver.died(1)

    assert driver.status(inner) == "dispatched"


def test_a_job_that_runs_beside_its_owner_is_cancelled_with_it() -> None:
    driver = Driver(concurrent_requests=2, retries=1)
    outer, inner = driver.submit_many(2)
    driver.loaded()
    driver.wait(inner, driver.inside(outer), owned=True)
    driver.died(1)

    assert driver.status(inner) == "cancelled"


def test_nobody_answers_a_dead_process() -> None:
    driver = Driver()
    outer = driver.ran()
    token = driver.start(ReadEvents(), driver.inside(outer))
    driver.died(1)

    assert token not in driver.answers
    assert driver.plane.tokens() == []


# --- room -----------------------------------------------------------------------------------------


def crowd(driver: Driver, count: int, origin: Origin | None = None) -> list[int]:
    """Submissions that wait for room."""
    command = SubmitJob(driver.function, Payload(b"x"), wait_for_room=True)
    return [driver.start(command, origin) for _ in range(count)]


def test_submissions_wait_for_room_in_their_order() -> None:
    driver = Driver(max_pending_tasks=1)
    running = driver.ran()
    tokens = crowd(driver, 3)
    assert [token in driver.answers for token in tokens] == [True, False, False]

    driver.pass_s(1.0)
    driver.report(running)
    assert [token in driver.answers for token in tokens] == [True, True, False]


def test_a_submission_that_waits_for_room_can_be_given_up() -> None:
    driver = Driver(max_pending_tasks=1)
    running = driver.ran()
    tokens = crowd(driver, 3)
    driver.step(GivenUp(tokens[1]))
    driver.report(running)

    assert tokens[1] not in driver.answers
    assert tokens[2] in driver.answers


def test_room_that_a_dead_process_waited_for_is_for_others() -> None:
    driver = Driver(max_pending_tasks=1)
    running = driver.ran()
    driver.submit()
    crowd(driver, 2, driver.inside(running))
    mine = crowd(driver, 1)
    driver.died(1)

    assert driver.plane.tokens() == mine


def test_a_job_that_waits_for_room_lends_its_place_to_make_some() -> None:
    driver = Driver(max_pending_tasks=1)
    running = driver.ran()
    driver.submit()
    tokens = crowd(driver, 1, driver.inside(running))

    assert len(only(driver.effects, StartExecutor)) == 1
    assert tokens[0] in driver.answers


def test_jobs_that_wait_for_room_lend_only_so_many_places() -> None:
    driver = Driver(max_pending_tasks=1)
    job = driver.ran()
    driver.submit()
    driver.job(job).level = MOST_LEVELS

    with pytest.raises(SlotDeadlock):
        raise driver.answers[crowd(driver, 1, driver.inside(job))[0]]


# --- executors come and go ------------------------------------------------------------------------


def test_an_executor_without_work_ends_after_a_minute() -> None:
    driver = Driver()
    driver.report(driver.ran())

    assert kinds(driver.pass_s(59.9)) == []
    assert kinds(driver.pass_s(0.1)) == ["Retire"]


def test_an_executor_that_had_nothing_to_do_from_the_start_ends_too() -> None:
    driver = Driver()
    job = driver.submit()
    driver.cancel(job)
    driver.recalled(1, job)
    driver.loaded()

    assert kinds(driver.pass_s(60.0)) == ["Retire"]


def test_more_jobs_start_more_executors_up_to_the_limit() -> None:
    driver = Driver(max_containers=3)
    driver.submit_many(10)

    assert len(driver.plane.ledger.executors) == 3


def test_executors_are_added_only_for_so_many_jobs_each() -> None:
    driver = Driver(max_containers=3, tasks_per_container=3)
    driver.submit_many(3)
    assert len(driver.plane.ledger.executors) == 1

    driver.submit_many(1)
    assert len(driver.plane.ledger.executors) == 2


def test_a_further_executor_gets_its_first_job_when_it_has_loaded() -> None:
    driver = Driver(max_containers=2)
    driver.ran()
    driver.pass_s(0.001)
    assert jobs_sent(driver.effects) == []

    driver.submit_many(2)
    assert len(driver.plane.ledger.executors) == 2


def test_an_early_tick_does_nothing() -> None:
    driver = Driver()
    driver.ran()

    assert driver.wait_until(driver.now + 0.1) == []


def test_a_failed_retry_keeps_nobody_waiting() -> None:
    driver = Driver(retries=1, delay_s=1.0, max_pending_tasks=1)
    first = driver.ran()
    driver.report(first, error=RAISED)
    token = crowd(driver, 1)[0]
    assert token not in driver.answers

    driver.pass_s(1.0)
    assert token in driver.answers
