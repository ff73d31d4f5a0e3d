from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.model.images import ImageSpec
from apothic_backends.model.jobs import ErrorInfo
from apothic_emulator.core.attempts import MOST_LOSSES, REST_S
from apothic_emulator.core.effects import Dispatch, Interrupt
from apothic_emulator.core.executors import BUILD_S, LOAD_S
from apothic_emulator.core.facts import (
    Ended,
    Loaded,
    LoadFailed,
    Prepared,
    Recalled,
    Reported,
    StackDumped,
)
from tests.unit.emulator.core.driving import RAISED, RESULT, Driver, jobs_sent, kinds, only

IMAGE = ImageSpec("debian_slim")


def test_a_job_runs_from_the_moment_its_executor_is_ready() -> None:
    driver = Driver()
    job = driver.submit()

    assert driver.status(job) == "dispatched"
    driver.loaded()
    assert driver.status(job) == "running"


def test_a_result_ends_the_job() -> None:
    driver = Driver()
    job = driver.ran()
    driver.report(job)

    assert driver.outcome(job).result == RESULT


def test_a_raised_error_ends_a_job_without_retries() -> None:
    driver = Driver()
    job = driver.ran()
    driver.report(job, error=RAISED)

    assert driver.outcome(job).error == RAISED


def test_a_raised_error_is_retried_at_once_without_a_delay() -> None:
    driver = Driver(retries=1)
    job = driver.ran()

    assert jobs_sent(driver.report(job, error=RAISED)) == [job]
    assert driver.look(job).attempt == 2


def test_a_retry_waits_for_its_delay_to_the_tick() -> None:
    driver = Driver(retries=1, delay_s=5.0)
    job = driver.ran()
    driver.report(job, error=RAISED)

    assert jobs_sent(driver.pass_s(4.0)) == []
    assert jobs_sent(driver.pass_s(1.0)) == [job]


def test_retries_come_to_an_end() -> None:
    driver = Driver(retries=1)
    job = driver.ran()
    driver.report(job, error=RAISED)
    driver.report(job, error=RAISED)

    assert driver.status(job) == "failed"


def test_what_is_not_raised_by_user_code_is_not_retried() -> None:
    driver = Driver(retries=3)
    job = driver.ran()
    driver.report(job, error=ErrorInfo("result_not_serializable", "a lock"))

    assert driver.status(job) == "failed"


# --- time-outs ------------------------------------------------------------------------------------


def test_a_job_is_stopped_exactly_at_its_timeout() -> None:
    driver = Driver(timeout_s=2.0)
    driver.ran()

    assert kinds(driver.pass_s(1.999)) == []
    assert kinds(driver.pass_s(0.001)) == ["Recall", "DumpStack"]


def test_a_job_that_does_not_stop_is_killed() -> None:
    driver = Driver(timeout_s=2.0)
    driver.ran()

    assert kinds(driver.pass_s(8.0)) == ["Recall", "DumpStack", "Terminate", "Kill", "Kill"]


def test_a_timed_out_job_tells_where_its_code_was() -> None:
    driver = Driver(timeout_s=2.0)
    job = driver.ran()
    driver.pass_s(2.0)
    driver.step(StackDumped(1, "line 3"))
    driver.died()

    error = driver.outcome(job).error
    assert error is not None
    assert (error.code, error.traceback) == ("job_timeout", "line 3")


def test_a_timeout_spends_a_retry() -> None:
    driver = Driver(timeout_s=2.0, retries=1)
    job = driver.ran()
    driver.pass_s(2.0)
    driver.died()

    assert driver.look(job).attempt == 2


def test_a_success_after_the_timeout_is_a_timeout() -> None:
    driver = Driver(timeout_s=2.0)
    job = driver.ran()
    driver.pass_s(2.0)
    driver.report(job)

    assert driver.status(job) == "timed_out"


def test_an_executor_is_reprieved_when_only_its_stack_was_asked_for() -> None:
    driver = Driver(timeout_s=2.0)
    job = driver.ran()
    driver.pass_s(2.0)
    driver.recalled(1)
    driver.report(job)

    assert jobs_sent([*driver.effects, *driver.step()]) == []
    assert driver.look(driver.submit()).status.value == "running"


def test_an_executor_is_killed_once_its_interrupted_job_has_reported() -> None:
    driver = Driver(timeout_s=2.0)
    job = driver.ran()
    driver.pass_s(2.2)

    assert kinds(driver.report(job, error=RAISED)) == ["Kill"]


def test_loading_may_take_as_long_as_the_job_but_no_less_than_a_minute() -> None:
    driver = Driver(timeout_s=2.0)
    driver.submit()

    assert kinds(driver.pass_s(LOAD_S - 1)) == []
    assert kinds(driver.pass_s(1)) == ["DumpStack"]


def test_an_image_may_take_longer_to_build_than_a_function_to_load() -> None:
    driver = Driver(timeout_s=2.0, image=IMAGE)
    driver.submit()

    assert kinds(driver.pass_s(BUILD_S - 1)) == []
    assert kinds(driver.pass_s(1)) == ["DumpStack"]


def test_once_its_image_is_built_a_function_has_to_load_in_time() -> None:
    driver = Driver(timeout_s=2.0, image=IMAGE)
    driver.submit()
    driver.pass_s(LOAD_S + 10)
    driver.step(Prepared(1))

    assert kinds(driver.pass_s(LOAD_S - 1)) == []
    assert kinds(driver.pass_s(1)) == ["DumpStack"]


@pytest.mark.parametrize(
    ("facts", "code", "took"),
    [
        ((), "image_build_failed", f"image of 'f' took longer than {BUILD_S:g} s"),
        ((Prepared(1),), "setup_failed", f"loading 'f' took longer than {LOAD_S:g} s"),
    ],
)
def test_jobs_are_told_whether_building_or_loading_took_too_long(
    facts: tuple[Prepared, ...], code: str, took: str
) -> None:
    driver = Driver(timeout_s=2.0, image=IMAGE)
    job = driver.submit()
    driver.pass_s(5)
    driver.step(*facts)
    driver.pass_s(BUILD_S)
    driver.died(unstarted=[job])

    error = driver.outcome(job).error
    assert error is not None
    assert error.code == code
    assert took in error.message


def test_only_the_first_word_that_an_image_is_built_counts() -> None:
    driver = Driver(timeout_s=2.0, image=IMAGE)
    driver.submit()
    driver.step(Prepared(1))
    driver.pass_s(LOAD_S - 1)
    driver.step(Prepared(1))

    assert kinds(driver.pass_s(1)) == ["DumpStack"]


def test_jobs_fail_when_loading_takes_too_long() -> None:
    driver = Driver(timeout_s=100.0)
    job = driver.submit()
    driver.pass_s(100.0)
    driver.step(StackDumped(1, "import slow"))
    driver.died(unstarted=[job])

    error = driver.outcome(job).error
    assert error is not None
    assert (error.code, error.traceback) == ("setup_failed", "import slow")
    assert "took longer than 100 s" in error.message


def test_nothing_is_loaded_any_more_after_that() -> None:
    driver = Driver(timeout_s=100.0)
    driver.submit()
    driver.pass_s(100.0)

    driver.step(Loaded(1), LoadFailed(1, RAISED))
    assert driver.plane.ledger.executors[1].loaded is False


# --- loads and starts -----------------------------------------------------------------------------


def test_all_that_waits_fails_when_the_function_cannot_be_loaded() -> None:
    driver = Driver()
    first, second = driver.submit_many(2)
    driver.step(LoadFailed(1, ErrorInfo("setup_failed", "no module")))

    assert [driver.status(job) for job in (first, second)] == ["failed", "failed"]


def test_a_cancelled_job_is_cancelled_even_if_its_function_cannot_be_loaded() -> None:
    driver = Driver()
    job = driver.submit()
    driver.cancel(job)
    driver.step(LoadFailed(1, RAISED))

    assert driver.status(job) == "cancelled"


def test_nothing_fails_while_another_executor_has_loaded_the_function() -> None:
    driver = Driver(max_containers=2)
    driver.ran()
    waiting = driver.submit_many(3)
    driver.step(LoadFailed(2, RAISED))
    driver.died(2)

    assert {driver.status(job) for job in waiting} == {"queued"}


def test_no_executor_is_started_for_a_while_after_a_failed_one() -> None:
    driver = Driver(max_containers=2)
    driver.ran()
    driver.submit_many(3)
    driver.step(LoadFailed(2, RAISED))
    driver.died(2)

    assert kinds(driver.pass_s(REST_S - 0.1)) == []
    assert "StartExecutor" in kinds(driver.pass_s(0.1))


def test_jobs_are_lost_after_too_many_starts_that_failed() -> None:
    driver = Driver()
    first, second = driver.submit_many(2)
    for executor in range(1, MOST_LOSSES + 2):
        driver.step(Ended(executor, "start", detail="no memory"))

    error = driver.outcome(first).error
    assert error is not None
    assert error.data["reason"] == "start"
    assert error.data["maybe_ran"] is False
    assert "no memory" in error.message
    assert driver.status(second) == "lost"


def test_a_job_that_dies_with_its_import_is_lost_in_the_end() -> None:
    driver = Driver()
    job = driver.submit()
    for executor in range(1, MOST_LOSSES + 2):
        driver.died(executor, unstarted=[job])

    assert driver.status(job) == "lost"


def test_an_executor_that_dies_before_it_takes_a_job_counts_as_one_that_failed_to_start() -> None:
    driver = Driver()
    job = driver.submit()
    for executor in range(1, MOST_LOSSES + 2):
        driver.loaded(executor)
        driver.died(executor, unstarted=[job])

    assert driver.status(job) == "lost"


def test_an_executor_that_we_end_is_not_one_that_failed_to_start() -> None:
    driver = Driver(timeout_s=1.0)
    driver.ran()
    driver.pass_s(1.0)
    driver.died(unstarted=[1])

    assert driver.plane.pools[1].failed_starts == 0


# --- losses ---------------------------------------------------------------------------------------


def test_a_job_whose_process_died_is_lost_without_retries() -> None:
    driver = Driver()
    job = driver.ran()
    driver.died()

    error = driver.outcome(job).error
    assert error is not None
    assert error.data["maybe_ran"] is True
    assert "was killed by signal 9; retries=1 would" in error.message


def test_a_job_that_was_never_received_runs_elsewhere_even_without_retries() -> None:
    driver = Driver()
    job = driver.ran()

    assert jobs_sent(driver.died(unstarted=[job])) == [job]


def test_a_job_sent_in_the_very_step_in_which_its_executor_ends_was_never_received() -> None:
    driver = Driver()
    first = driver.ran()
    second = driver.submit()
    report = Reported(1, first, 1, RESULT)

    effects = driver.step(report, Ended(1, "exit", exit_code=0))
    assert [(e.executor, e.job) for e in only(effects, Dispatch)] == [(2, second)]
    assert driver.look(second).attempt == 2


def test_a_lost_job_is_tried_again_where_retries_are_allowed() -> None:
    driver = Driver(retries=1)
    job = driver.ran()

    assert jobs_sent(driver.died()) == [job]


def test_a_job_that_takes_every_process_down_is_given_up() -> None:
    driver = Driver(retries=1)
    job = driver.submit()
    for executor in range(1, MOST_LOSSES + 2):
        driver.loaded(executor)
        driver.died(executor)

    error = driver.outcome(job).error
    assert error is not None
    assert error.data["reason"] == "poison"


def test_a_lost_job_gets_its_old_place_in_the_queue() -> None:
    driver = Driver(retries=1)
    first, second, third = driver.submit_many(3)
    driver.loaded()
    driver.died()

    assert driver.job(first).executor == 2
    assert [job.number for job in driver.plane.pools[1].queue] == [second, third]


@pytest.mark.parametrize(
    "forged",
    [
        Reported(1, 2, 1, RESULT),
        Reported(1, 1, 2, RESULT),
        Reported(1, 77, 1, RESULT),
        Reported(1, 1, 1, None),
        Reported(1, 1, 1, RESULT, RAISED),
    ],
)
def test_an_executor_that_reports_what_cannot_be_is_killed(forged: Reported) -> None:
    driver = Driver()
    job = driver.ran()
    driver.submit()

    assert "Kill" in kinds(driver.step(forged))
    assert kinds(driver.report(job)) == []
    driver.died()
    error = driver.outcome(job).error
    assert error is not None
    assert error.data["reason"] == "protocol"


def test_a_report_before_loading_is_forged() -> None:
    driver = Driver()
    driver.submit()

    assert kinds(driver.step(Reported(1, 1, 1, RESULT))) == ["Kill"]


def test_a_job_that_forges_reports_spends_its_losses() -> None:
    driver = Driver(retries=1)
    job = driver.submit()
    for executor in range(1, MOST_LOSSES + 2):
        driver.loaded(executor)
        driver.step(Reported(executor, 77, 1, RESULT))
        driver.died(executor)

    assert driver.status(job) == "lost"


def test_a_second_report_changes_nothing() -> None:
    driver = Driver()
    job = driver.ran()
    driver.step(Reported(1, job, 1, RESULT), Reported(1, job, 1, None, RAISED))

    assert driver.status(job) == "succeeded"


def test_facts_of_an_executor_that_has_ended_change_nothing() -> None:
    driver = Driver()
    job = driver.ran()
    driver.died()
    before = driver.outcome(job)
    driver.step(Reported(1, job, 1, RESULT), Recalled(1, (job,)), Ended(1, "exit"))

    assert driver.outcome(job) == before


# --- cancelling -----------------------------------------------------------------------------------


def test_a_queued_job_is_cancelled_at_once() -> None:
    driver = Driver()
    _, second = driver.submit_many(2)

    assert driver.cancel(second).status.value == "cancelled"


def test_a_job_that_waits_for_its_retry_is_cancelled_at_once() -> None:
    driver = Driver(retries=1, delay_s=5.0)
    job = driver.ran()
    driver.report(job, error=RAISED)

    assert driver.cancel(job).status.value == "cancelled"


def test_a_dispatched_job_is_cancelled_when_it_comes_back() -> None:
    driver = Driver()
    job = driver.submit()

    assert driver.cancel(job).cancel_requested
    assert kinds(driver.recalled(1, job)) == []
    assert driver.status(job) == "cancelled"


def test_a_cancelled_job_that_began_meanwhile_is_stopped() -> None:
    driver = Driver()
    job = driver.submit()
    driver.cancel(job)
    driver.loaded()

    assert kinds(driver.recalled(1)) == ["Recall", "DumpStack"]


def test_a_running_job_is_stopped() -> None:
    driver = Driver()
    job = driver.ran()
    driver.cancel(job)
    driver.died()

    assert driver.status(job) == "cancelled"


def test_a_success_before_the_stop_stands() -> None:
    driver = Driver()
    job = driver.ran()
    driver.cancel(job)
    driver.report(job)

    assert driver.status(job) == "succeeded"


def test_cancelling_wins_over_a_timeout_and_its_retry() -> None:
    driver = Driver(retries=1, timeout_s=2.0)
    job = driver.ran()
    driver.pass_s(2.0)
    driver.cancel(job)
    driver.died()

    assert driver.status(job) == "cancelled"


def test_a_dispatched_job_that_was_cancelled_is_not_lost_with_its_executor() -> None:
    driver = Driver()
    job = driver.submit()
    driver.cancel(job)
    driver.died()

    assert driver.status(job) == "cancelled"


def test_cancelling_twice_is_cancelling_once() -> None:
    driver = Driver()
    job = driver.ran()
    driver.cancel(job)
    driver.cancel(job)

    assert driver.effects == []


def test_cancelling_what_has_ended_changes_nothing() -> None:
    driver = Driver()
    job = driver.ran()
    driver.report(job)

    assert driver.cancel(job).status.value == "succeeded"


# --- several jobs in one executor -----------------------------------------------------------------


def several(**limits: Any) -> tuple[Driver, list[int]]:
    driver = Driver(concurrent_requests=3, **limits)
    jobs = driver.submit_many(3)
    driver.loaded()
    return driver, jobs


def test_one_of_several_jobs_is_asked_to_stop() -> None:
    driver, jobs = several()
    driver.cancel(jobs[1])

    assert driver.effects == [Interrupt(1, jobs[1])]


def test_one_that_does_not_listen_takes_the_executor_with_it() -> None:
    driver, jobs = several()
    driver.cancel(jobs[1])

    assert kinds(driver.pass_s(1.0)) == ["Recall", "DumpStack"]


def test_one_that_listens_leaves_the_others_alone() -> None:
    driver, jobs = several()
    driver.cancel(jobs[1])
    driver.report(jobs[1], error=RAISED)

    assert kinds(driver.pass_s(10.0)) == []
    assert driver.status(jobs[0]) == "running"


def test_an_innocent_neighbour_pays_no_loss() -> None:
    driver, jobs = several(retries=1)
    driver.cancel(jobs[1])
    driver.pass_s(1.7)
    driver.died()

    assert driver.job(jobs[0]).losses == 0
    assert driver.look(jobs[0]).attempt == 2


def test_what_a_neighbour_raises_when_it_is_interrupted_is_not_its_own_error() -> None:
    driver, jobs = several()
    driver.cancel(jobs[1])
    driver.pass_s(1.2)
    driver.report(jobs[0], error=RAISED)

    assert driver.status(jobs[0]) == "lost"


def test_jobs_are_reported_in_any_order() -> None:
    driver, jobs = several()
    driver.report(jobs[2])
    driver.report(jobs[0])

    assert driver.status(jobs[1]) == "running"


def test_an_executor_with_something_left_behind_finishes_its_other_jobs() -> None:
    driver, jobs = several()
    driver.submit()
    assert "Retire" not in kinds(driver.report(jobs[0], retire=True))
    driver.recalled(1)
    driver.report(jobs[1])

    assert kinds(driver.pass_s(10.0)) == []
    assert kinds(driver.report(jobs[2]))[0] == "Retire"


def test_a_timeout_counts_in_an_executor_that_takes_no_more_jobs() -> None:
    driver, jobs = several(timeout_s=3.0)
    driver.report(jobs[0], retire=True)
    driver.recalled(1)

    assert kinds(driver.pass_s(3.0)) == ["Interrupt", "Interrupt"]


def test_an_executor_with_something_left_behind_is_killed_when_it_does_not_end() -> None:
    driver = Driver()
    driver.report(driver.ran(), retire=True)

    assert kinds(driver.effects) == ["Retire"]
    assert kinds(driver.pass_s(2.0)) == ["Kill"]


def test_jobs_that_cannot_be_taken_back_from_a_retiring_executor_come_back_with_its_end() -> None:
    driver, sent = quick(3)
    driver.report(sent[0], retire=True)
    assert kinds(driver.recalled(1)) == ["Retire"]

    assert jobs_sent(driver.step(Ended(1, "exit", tuple(sent[1:])))) == sent[1:2]


# --- jobs sent ahead ------------------------------------------------------------------------------


def quick(count: int) -> tuple[Driver, list[int]]:
    """A function measured at a millisecond, and jobs in the line of its one executor."""
    driver = Driver()
    job = driver.ran()
    driver.pass_s(0.001)
    driver.report(job)
    return driver, driver.submit_many(count)


def test_quick_jobs_are_sent_ahead() -> None:
    driver, jobs = quick(3)

    assert [job.number for job in driver.plane.ledger.executors[1].line] == jobs


def test_jobs_behind_a_slow_one_are_taken_back() -> None:
    driver, jobs = quick(3)

    assert kinds(driver.pass_s(0.005)) == ["Recall"]
    driver.recalled(1, *jobs[1:])
    assert [driver.status(job) for job in jobs] == ["running", "queued", "queued"]


def test_jobs_that_moved_up_begin_when_it_is_known_what_was_taken_back() -> None:
    driver, jobs = quick(3)
    driver.pass_s(0.005)
    driver.report(jobs[0])
    assert driver.status(jobs[1]) == "dispatched"

    driver.recalled(1, jobs[2])
    assert driver.status(jobs[1]) == "running"


def test_a_report_proves_that_a_job_had_begun() -> None:
    driver, jobs = quick(3)
    driver.pass_s(0.005)
    driver.report(jobs[0])
    driver.report(jobs[1])

    assert driver.status(jobs[1]) == "succeeded"


def test_a_running_job_that_comes_back_is_queued_again() -> None:
    driver, jobs = quick(2)
    driver.cancel(jobs[1])
    driver.report(jobs[0])
    driver.died(unstarted=[jobs[1]])

    assert driver.status(jobs[1]) == "cancelled"


def test_a_job_that_was_thought_to_run_and_came_back_unstarted_runs_elsewhere() -> None:
    driver = Driver()
    job = driver.ran()
    driver.pass_s(1.0)
    driver.died(unstarted=[job])

    assert driver.look(job).attempt == 2


def test_what_a_killed_executor_had_not_received_still_comes_back() -> None:
    driver, jobs = quick(2)
    driver.cancel(jobs[1])
    driver.step(Reported(1, 77, 1, RESULT))
    driver.recalled(1, jobs[1])

    assert driver.status(jobs[1]) == "cancelled"
