"""Which inputs go into one call, when, and what becomes of them: in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from apothic_backends.commands import SubmitJob
from apothic_backends.model.errors import InvalidOption, SlotDeadlock
from apothic_backends.model.functions import BatchPolicy
from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.batches import BATCH_RAISED
from apothic_emulator.core.effects import DumpStack, Effect, Interrupt, Kill, Recall, StartExecutor
from apothic_emulator.core.facts import Asked, Ended, LoadFailed, StackDumped
from tests.unit.emulator.core.driving import RAISED, Driver, batches_sent, kinds, only

SPLIT = ErrorInfo(BATCH_RAISED, "ValueError: boom")
MISMATCH = ErrorInfo("batch_mismatch", "2 results for 3 inputs")


def batching(size: int = 3, wait_s: float = 0.05, **limits: Any) -> Driver:
    """A driver for batches, whose executor is ready and idle."""
    driver = Driver(batch=BatchPolicy(size, wait_s), **limits)
    first = driver.submit()
    driver.loaded()
    driver.pass_s(wait_s)
    driver.report(first)
    return driver


def running(size: int = 3, **limits: Any) -> tuple[Driver, list[int]]:
    """A driver, and a full batch that runs."""
    driver = batching(size, **limits)
    return driver, driver.submit_many(size)


def statuses(driver: Driver, jobs: list[int]) -> list[str]:
    return [driver.status(job) for job in jobs]


# --- when -------------------------------------------------------------------------------------


def test_a_full_batch_is_dispatched_at_once() -> None:
    driver = batching(size=2)

    driver.submit()
    assert batches_sent(driver.effects) == []

    driver.submit()
    assert batches_sent(driver.effects) == [[2, 3]]


def test_a_batch_is_dispatched_when_its_first_input_has_waited() -> None:
    driver = batching(wait_s=0.05)
    driver.submit()
    driver.pass_s(0.03)
    driver.submit()

    assert batches_sent(driver.pass_s(0.019)) == []
    assert batches_sent(driver.pass_s(0.001)) == [[2, 3]]


def test_without_a_wait_there_is_none_and_what_has_gathered_goes_together() -> None:
    driver = batching(wait_s=0.0)
    first = driver.submit()
    assert batches_sent(driver.effects) == [[first]]

    driver.submit_many(4)

    assert batches_sent(driver.report(first)) == [[3, 4, 5]]


def test_what_has_waited_for_a_place_does_not_wait_again() -> None:
    driver, jobs = running(size=2)
    driver.submit()
    driver.pass_s(0.05)
    driver.report(jobs[0])

    assert batches_sent(driver.report(jobs[1])) == [[4]]


def test_a_batch_is_full_when_no_more_can_be_queued() -> None:
    driver = batching(size=100, max_pending_tasks=3)

    driver.submit_many(3)

    assert batches_sent(driver.effects) == [[2, 3, 4]]


def test_an_executor_starts_with_the_first_input_and_loads_while_others_come() -> None:
    driver = Driver(batch=BatchPolicy(3, 1.0))

    driver.submit()

    assert kinds(driver.effects) == ["StartExecutor"]
    assert driver.loaded() == []
    driver.submit_many(2)
    assert batches_sent(driver.effects) == [[1, 2, 3]]


def test_waiting_inputs_fail_when_no_executor_can_load() -> None:
    driver = Driver(batch=BatchPolicy(3, 1.0))
    job = driver.submit()

    driver.step(LoadFailed(1, ErrorInfo("setup_failed", "no module")))

    assert driver.status(job) == "failed"


def test_a_batch_that_is_due_takes_one_place_of_an_executor() -> None:
    driver, _ = running(size=2)

    driver.submit_many(2)
    assert batches_sent(driver.effects) == []


def test_with_several_places_as_many_batches_run_at_once() -> None:
    driver, _ = running(size=2, concurrent_requests=2)

    driver.submit_many(2)
    assert batches_sent(driver.effects) == [[4, 5]]
    driver.submit_many(2)
    assert batches_sent(driver.effects) == []


def test_another_executor_starts_when_a_batch_is_due_and_none_is_free() -> None:
    driver, _ = running(size=2, max_containers=3)
    driver.submit()
    assert only(driver.effects, StartExecutor) == []

    driver.submit()

    assert len(only(driver.effects, StartExecutor)) == 1


def test_a_starting_executor_counts_with_a_whole_batch() -> None:
    driver, _ = running(size=4, max_containers=9)
    driver.submit_many(4)
    driver.submit_many(4)

    assert len(driver.plane.ledger.executors) == 3


def test_nothing_is_sent_ahead_of_time() -> None:
    driver, jobs = running(size=2)
    for job in jobs:
        driver.report(job)  # at once: the quickest of calls
    driver.submit_many(2)

    driver.submit_many(2)

    assert batches_sent(driver.effects) == []


def test_deeper_callers_go_first() -> None:
    driver, jobs = running(size=2, max_containers=1)
    driver.submit_many(2)
    child = driver.submit(origin=driver.inside(jobs[0]))
    driver.wait(child, driver.inside(jobs[0]))
    effects = driver.effects

    assert batches_sent([*effects, *driver.loaded(2)])[0][0] == child


# --- outcomes ---------------------------------------------------------------------------------


def test_each_input_has_an_outcome_of_its_own() -> None:
    driver, jobs = running()

    driver.report(jobs[1], error=RAISED)
    driver.report(jobs[0])

    assert statuses(driver, jobs) == ["succeeded", "failed", "running"]


def test_a_retried_input_meets_others() -> None:
    driver, jobs = running(size=2, retries=1)
    driver.report(jobs[0], error=RAISED)
    driver.report(jobs[1])

    driver.submit()

    assert batches_sent(driver.effects) == [[jobs[0], 4]]


def test_a_retry_waits_for_company_from_the_moment_it_may_run() -> None:
    driver, jobs = running(size=2, retries=1, delay_s=1.0, wait_s=0.05)
    driver.report(jobs[0], error=RAISED)
    driver.report(jobs[1])

    assert batches_sent(driver.pass_s(1.04)) == []
    assert batches_sent(driver.pass_s(0.02)) == [[jobs[0]]]


def test_when_the_call_raises_each_input_runs_again_alone_and_spends_no_retry() -> None:
    driver, jobs = running(size=3, max_containers=1)
    sent: list[Effect] = []
    for job in jobs:
        sent += driver.report(job, error=SPLIT)
    assert batches_sent(sent) == [[jobs[0]]]

    assert batches_sent(driver.report(jobs[0])) == [[jobs[1]]]
    assert batches_sent(driver.report(jobs[1], error=RAISED)) == [[jobs[2]]]
    driver.report(jobs[2])

    assert statuses(driver, jobs) == ["succeeded", "failed", "succeeded"]
    assert driver.look(jobs[0]).attempt == 2


def test_an_input_that_ran_alone_and_raised_says_so_only_once() -> None:
    driver, jobs = running(size=2)
    for job in jobs:
        driver.report(job, error=SPLIT)

    driver.report(jobs[0], error=SPLIT)

    assert driver.status(jobs[0]) == "failed"


def test_those_who_run_alone_do_not_wait_behind_those_who_wait_for_company() -> None:
    driver, jobs = running(size=2, retries=1, wait_s=5.0)
    driver.report(jobs[0], error=RAISED)  # back in the queue, before the other
    driver.submit()
    assert batches_sent(driver.effects) == []

    effects = driver.report(jobs[1], error=SPLIT)

    assert batches_sent(effects) == [[jobs[0], 4]]
    driver.report(jobs[0])
    assert batches_sent(driver.report(4)) == [[jobs[1]]]


def test_one_alone_passes_a_batch_that_is_not_due() -> None:
    driver, jobs = running(size=3, retries=1, wait_s=5.0)
    driver.report(jobs[0], error=RAISED)
    driver.report(jobs[1])

    assert batches_sent(driver.report(jobs[2], error=SPLIT)) == [[jobs[2]]]


def test_one_alone_that_has_no_place_is_in_nobodys_way() -> None:
    driver, jobs = running(size=2, max_containers=1)
    for job in jobs:
        driver.report(job, error=SPLIT)
    inside = driver.inside(jobs[0])
    child = driver.submit(origin=inside)
    driver.wait(child, inside)
    driver.loaded(2)

    assert batches_sent(driver.pass_s(0.05)) == [[child]]


def test_results_that_do_not_fit_are_not_tried_again() -> None:
    driver, jobs = running(size=2, retries=3)

    for job in jobs:
        driver.report(job, error=MISMATCH)

    assert statuses(driver, jobs) == ["failed", "failed"]


# --- stops ------------------------------------------------------------------------------------


def test_a_queued_input_is_cancelled_at_once() -> None:
    driver = batching()
    first, second = driver.submit_many(2)

    driver.cancel(first)

    assert driver.status(first) == "cancelled"
    assert batches_sent(driver.pass_s(0.05)) == [[second]]


def test_a_cancelled_input_ends_with_its_batch_and_stops_nobody() -> None:
    driver, jobs = running()

    driver.cancel(jobs[1])

    assert driver.effects == []
    for job in jobs:
        driver.report(job)
    assert statuses(driver, jobs) == ["succeeded", "cancelled", "succeeded"]


def test_a_batch_that_nobody_needs_is_stopped() -> None:
    driver, jobs = running(size=2)
    driver.cancel(jobs[0])
    driver.cancel(jobs[1])
    assert kinds(driver.effects) == ["Recall", "DumpStack"]

    driver.died(1)

    assert statuses(driver, jobs) == ["cancelled", "cancelled"]


def test_one_of_several_batches_is_asked_to_stop_by_its_first_input() -> None:
    driver, jobs = running(size=2, concurrent_requests=2)
    others = driver.submit_many(2)
    driver.cancel(others[1])
    driver.cancel(others[0])

    assert driver.effects == [Interrupt(1, others[0])]
    for job in others:
        driver.report(job, error=SPLIT)
    assert statuses(driver, [*others, *jobs]) == ["cancelled", "cancelled", "running", "running"]


def test_a_batch_that_does_not_listen_takes_its_executor_with_it() -> None:
    driver, jobs = running(size=2, concurrent_requests=2)
    others = driver.submit_many(2)
    for job in others:
        driver.cancel(job)

    assert kinds(driver.pass_s(1.0)) == ["Recall", "DumpStack"]
    driver.died(1)
    assert statuses(driver, [*others, *jobs]) == ["cancelled", "cancelled", "lost", "lost"]


def test_a_cancelled_mate_of_a_neighbour_does_not_keep_an_executor_stopping() -> None:
    driver, jobs = running(size=2, concurrent_requests=2)
    others = driver.submit_many(2)
    driver.cancel(jobs[0])
    for job in others:
        driver.cancel(job)
    driver.pass_s(1.0)
    driver.recalled(1)

    for job in others:
        driver.report(job, error=SPLIT)

    assert only(driver.pass_s(5.0), Kill) == []
    assert driver.status(jobs[1]) == "running"


@pytest.mark.parametrize("cancelled", [0, 1])
def test_a_time_out_bounds_the_call_of_a_batch(cancelled: int) -> None:
    driver, jobs = running(size=2, timeout_s=1.0)
    driver.cancel(jobs[cancelled])

    effects = driver.pass_s(1.0)

    assert len(only(effects, DumpStack)) == 1
    driver.step(StackDumped(1, "the stack"))
    driver.died(1)
    assert driver.status(jobs[cancelled]) == "cancelled"
    assert driver.status(jobs[1 - cancelled]) == "timed_out"


def test_a_time_out_of_one_of_several_batches_leaves_the_others_alone() -> None:
    driver, jobs = running(size=2, timeout_s=1.0, concurrent_requests=2)
    driver.pass_s(0.5)
    others = driver.submit_many(2)
    driver.cancel(jobs[1])

    effects = driver.pass_s(0.5)

    assert effects == [Interrupt(1, jobs[0])]
    for job in jobs:
        driver.report(job, error=SPLIT)
    assert statuses(driver, [*jobs, *others]) == ["timed_out", "cancelled", "running", "running"]


def test_an_input_that_timed_out_in_company_is_tried_again_alone() -> None:
    driver, jobs = running(size=2, timeout_s=1.0, retries=1)
    driver.pass_s(1.0)

    assert batches_sent([*driver.died(1), *driver.loaded(2)]) == [[jobs[0]]]


def test_a_dispatched_input_is_cancelled_when_its_batch_has_been_taken_back() -> None:
    driver = Driver(batch=BatchPolicy(2, 0.05))
    first, second = driver.submit_many(2)
    driver.cancel(first)
    assert driver.effects == [Recall(1)]

    driver.recalled(1, first, second)

    assert driver.status(first) == "cancelled"
    assert batches_sent(driver.pass_s(0.05)) == [[second]]


def test_a_cancelled_input_that_could_not_be_taken_back_stops_nobody() -> None:
    driver = Driver(batch=BatchPolicy(2, 0.05))
    first, second = driver.submit_many(2)
    driver.cancel(first)
    driver.recalled(1)

    assert driver.loaded() == []
    assert statuses(driver, [first, second]) == ["running", "running"]


def test_a_report_before_the_line_was_taken_back_begins_the_whole_batch() -> None:
    driver = Driver(batch=BatchPolicy(2, 0.05))
    first, second = driver.submit_many(2)
    driver.cancel(first)
    driver.loaded()

    driver.report(second)

    assert statuses(driver, [first, second]) == ["running", "succeeded"]


# --- losses -----------------------------------------------------------------------------------


def test_a_killed_process_loses_all_of_its_batch() -> None:
    driver, jobs = running(size=2)

    driver.died(1)

    assert statuses(driver, jobs) == ["lost", "lost"]


def test_after_a_loss_inputs_run_alone_so_that_only_the_poison_is_given_up() -> None:
    driver, jobs = running(size=3, retries=1)
    effects = driver.died(1)

    for _ in range(20):
        for executor in driver.plane.ledger.executors.copy():
            effects += driver.loaded(executor)
        for sent in batches_sent(effects):
            assert len(sent) == 1
            executor = driver.job(sent[0]).executor
            effects = driver.died(executor) if sent[0] == jobs[1] else driver.report(sent[0])

    assert statuses(driver, jobs) == ["succeeded", "lost", "succeeded"]


def test_what_never_reached_the_process_meets_others_again() -> None:
    driver, jobs = running(size=2, retries=1)

    effects = driver.died(1, unstarted=jobs)

    assert batches_sent(effects) == [jobs]


def test_a_batch_that_was_not_sent_before_its_executor_ended_is_not_lost() -> None:
    driver = batching(size=2)
    first = driver.submit()
    submit: Any = SubmitJob(driver.function, Payload(b""))

    driver.step(Asked(submit, "second"), Ended(1, "signal", signal=9))

    assert statuses(driver, [first, first + 1]) == ["dispatched", "dispatched"]
    assert driver.job(first).executor == 2


def test_jobs_whose_function_cannot_be_loaded_leave_their_batches() -> None:
    driver = Driver(batch=BatchPolicy(2, 0.05))
    jobs = driver.submit_many(2)

    driver.step(LoadFailed(1, ErrorInfo("setup_failed", "no module")))

    assert statuses(driver, jobs) == ["failed", "failed"]


# --- callers ----------------------------------------------------------------------------------


def test_a_batch_whose_code_waits_lends_its_place() -> None:
    driver, jobs = running(size=2, max_containers=1)
    inside = driver.inside(jobs[0])
    child = driver.submit(origin=inside)
    assert only(driver.pass_s(0.05), StartExecutor) == []

    driver.wait(child, inside)

    assert len(only(driver.effects, StartExecutor)) == 1


def test_a_batch_whose_code_waits_is_not_working() -> None:
    driver, jobs = running(size=2)
    executor = driver.plane.ledger.executors[1]
    assert executor.is_working

    driver.wait(driver.submit(driver.register("g")), driver.inside(jobs[0]))

    assert not executor.is_working


def test_a_place_that_is_not_parked_is_not_lent() -> None:
    driver, jobs = running(size=2, max_containers=1, concurrent_requests=2)
    driver.submit_many(2)
    inside = driver.inside(jobs[0])

    driver.wait(driver.submit(origin=inside), inside)

    assert only(driver.pass_s(0.05), StartExecutor) == []


def test_code_that_waits_for_a_mate_would_wait_for_itself() -> None:
    driver, jobs = running(size=2)

    driver.wait(jobs[1], driver.inside(jobs[0]))

    assert isinstance(driver.answers[driver._last_token], SlotDeadlock)


def test_whoever_waits_for_one_input_waits_for_all_that_its_batch_waits_for() -> None:
    driver, jobs = running(size=2)
    other = driver.register("g")
    child = driver.submit(other, driver.inside(jobs[0]))
    driver.wait(child, driver.inside(jobs[0]))
    caller = driver.submit(driver.register("h"))
    driver.loaded(max(driver.plane.ledger.executors))
    driver.job(caller).level = 7

    driver.wait(jobs[1], driver.inside(caller))

    assert [driver.job(job).level for job in (*jobs, child)] == [8, 8, 9]


# --- refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [BatchPolicy(0), BatchPolicy(1001), BatchPolicy(1, -0.1)])
def test_sizes_and_waits_out_of_range_are_refused(policy: BatchPolicy) -> None:
    with pytest.raises(InvalidOption, match="it must be from"):
        Driver(batch=policy)


# --- any course -------------------------------------------------------------------------------

GAPS = st.lists(st.sampled_from([0.0, 0.01, 0.02, 0.05, 0.2]), max_size=30)


@settings(deadline=None)
@given(gaps=GAPS, size=st.integers(1, 5), wait_s=st.sampled_from([0.0, 0.02, 0.05]))
def test_with_a_free_executor_nobody_waits_longer_than_allowed_or_less_in_vain(
    gaps: list[float], size: int, wait_s: float
) -> None:
    driver = batching(size, wait_s, concurrent_requests=50)
    came: dict[int, float] = {}
    for gap in gaps:
        _judge(driver, driver.pass_s(gap), came, size, wait_s)
        driver.submit()
        came[max(driver.plane.ledger.jobs)] = driver.now
        _judge(driver, driver.effects, came, size, wait_s)
    _judge(driver, driver.pass_s(wait_s), came, size, wait_s)

    assert came == {}


def _judge(
    driver: Driver, effects: list[Effect], came: dict[int, float], size: int, wait_s: float
) -> None:
    """Each batch left when it was full or its first had waited, to the instant."""
    for jobs in batches_sent(effects):
        first = came[jobs[0]]
        assert len(jobs) <= size
        if len(jobs) < size:
            assert driver.job(jobs[0]).started_at == first + wait_s
        for job in jobs:
            del came[job]
    assert all(driver.now < at + wait_s for at in came.values())
