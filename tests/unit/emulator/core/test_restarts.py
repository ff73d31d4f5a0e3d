from __future__ import annotations

import pytest

from apothic_backends.commands import (
    GetDurability,
    GetJobInput,
    KeepJob,
    ListSchedules,
    OpenItems,
    ReadEvents,
    RegisterFunction,
    ReleaseJob,
    RunJob,
    StartSchedule,
    StopSchedule,
    SubmitJob,
)
from apothic_backends.model.errors import IdempotencyConflict, JobGone, NotFound
from apothic_backends.model.functions import BatchPolicy, FunctionSpec, RetryPolicy
from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.payloads import Payload
from apothic_backends.model.schedules import CronSchedule, PeriodSchedule
from apothic_emulator.core import ledger
from apothic_emulator.core.effects import StartExecutor
from apothic_emulator.core.keeping import KEPT_AFTER_S
from apothic_emulator.core.plane import Plane
from tests.unit.emulator.core.driving import RAISED, RESULT, jobs_sent, only
from tests.unit.emulator.core.restarting import NOON, Restarting

MINUTE = PeriodSchedule(seconds=60.0)
OTHERS = Payload(b"other", (b"buffer",))


def test_queued_jobs_are_queued_again() -> None:
    driver = Restarting()
    driver.ran()
    jobs = driver.submit_many(40)
    queued = [job for job in jobs if driver.status(job) == "queued"]
    assert len(queued) > 20

    effects = driver.restart()

    assert jobs_sent(effects) == [queued[0]]
    left = [job.number for job in driver.plane.pools[1].queue]
    assert left == queued[1:]
    assert driver.job(queued[0]).arguments == Payload(b"arguments")


def test_a_job_that_was_under_way_is_lost_without_retries() -> None:
    driver = Restarting()
    job = driver.ran()

    driver.restart()

    outcome = driver.outcome(job)
    assert outcome.status.value == "lost"
    assert outcome.error is not None
    assert outcome.error.code == "worker_lost"
    assert outcome.error.data["reason"] == "restart"
    assert outcome.error.data["maybe_ran"] is True
    assert "ended with its control plane; retries=1 would run it again" in outcome.error.message


def test_a_job_that_was_dispatched_never_begins_a_second_time_without_retries() -> None:
    driver = Restarting()
    job = driver.submit()

    effects = driver.restart()

    assert jobs_sent(effects) == []
    assert driver.status(job) == "lost"


def test_a_job_that_was_under_way_runs_again_with_retries() -> None:
    driver = Restarting(retries=1)
    job = driver.ran()

    effects = driver.restart()

    assert jobs_sent(effects) == [job]
    assert driver.look(job).attempt == 2
    driver.loaded()
    driver.report(job)
    assert driver.outcome(job).result == RESULT


def test_a_job_takes_no_more_control_planes_down_than_executors() -> None:
    driver = Restarting(retries=1)
    job = driver.ran()

    for _ in range(3):
        driver.restart()
    assert driver.status(job) == "dispatched"
    driver.restart()

    assert driver.status(job) == "lost"


def test_what_was_being_cancelled_is_cancelled() -> None:
    driver = Restarting(retries=1)
    job = driver.ran()
    driver.cancel(job)

    driver.restart()

    assert driver.status(job) == "cancelled"


def test_what_was_cancelled_in_the_queue_stays_cancelled() -> None:
    driver = Restarting()
    driver.ran()
    driver.submit_many(4)
    job = driver.submit()
    driver.cancel(job)

    driver.restart()

    assert driver.status(job) == "cancelled"


def test_a_retry_waits_for_its_time_after_a_restart() -> None:
    driver = Restarting(retries=2, delay_s=30.0)
    job = driver.ran()
    driver.report(job, error=RAISED)

    assert jobs_sent(driver.restart(after_s=10.0)) == []
    assert driver.status(job) == "queued"
    assert jobs_sent(driver.pass_s(19.0)) == []
    assert jobs_sent(driver.pass_s(1.0)) == [job]


def test_a_retry_whose_time_has_passed_is_made_at_once() -> None:
    driver = Restarting(retries=2, delay_s=30.0)
    job = driver.ran()
    driver.report(job, error=RAISED)

    assert jobs_sent(driver.restart(after_s=40.0)) == [job]


def test_spent_retries_stay_spent() -> None:
    driver = Restarting(retries=1)
    job = driver.ran()
    driver.report(job, error=RAISED)
    driver.restart()
    driver.loaded()

    driver.report(job, error=RAISED)

    assert driver.status(job) == "failed"


def test_results_and_errors_can_be_had_after_a_restart() -> None:
    driver = Restarting()
    good, bad = driver.submit_many(2)
    driver.loaded()
    driver.report(good)
    error = ErrorInfo("user_error", "boom", "ValueError", "trace", Payload(b"pickle"), {"a": [1]})
    driver.report(bad, error=error)

    driver.restart(after_s=60.0)

    assert driver.outcome(good).result == RESULT
    assert driver.outcome(bad).error == error


def test_times_of_a_job_stay_what_they_were() -> None:
    driver = Restarting()
    job = driver.ran()
    driver.pass_s(3.0)
    driver.report(job)
    before = driver.look(job)

    driver.restart(after_s=1000.0)

    assert driver.look(job) == before
    assert before.submitted_at == NOON
    assert before.ended_at == NOON + 3.0


def test_a_result_that_nobody_fetches_is_dropped_in_the_end() -> None:
    driver = Restarting()
    job = driver.ran()
    driver.report(job)

    driver.restart(after_s=KEPT_AFTER_S + 1.0)

    with pytest.raises(JobGone):
        driver.outcome(job)


def test_what_was_let_go_is_not_held_again() -> None:
    driver = Restarting()
    early, late = driver.submit_many(2)
    driver.ask(ReleaseJob(f"jobs:{late}"))
    driver.loaded()
    driver.report(early)
    driver.ask(ReleaseJob(f"jobs:{early}"))
    driver.report(late)

    driver.restart()

    for job in (early, late):
        assert driver.status(job) == "succeeded"
        with pytest.raises(JobGone, match="dropped"):
            driver.outcome(job)


def test_what_is_forgotten_leaves_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "KEPT_JOBS", 0)
    driver = Restarting()
    job = driver.ran()
    driver.report(job)

    driver.ask(ReleaseJob(f"jobs:{job}"))

    assert set(driver.records) == {"function/1", "last/1", "cost/1"}


def test_large_arguments_go_with_the_end_of_their_job() -> None:
    driver = Restarting()
    job = int(driver.ask(SubmitJob(driver.function, OTHERS))[5:])
    driver.loaded()
    driver.restart()
    assert driver.status(job) == "lost"

    driver.restart()

    with pytest.raises(NotFound, match="11 bytes"):
        driver.ask(GetJobInput(f"jobs:{job}"))


def test_arguments_with_large_buffers_come_back() -> None:
    driver = Restarting(retries=1)
    job = int(driver.ask(SubmitJob(driver.function, OTHERS))[5:])

    driver.restart()

    assert driver.job(job).arguments == OTHERS


def test_keys_stand_for_the_same_jobs_after_a_restart() -> None:
    driver = Restarting()
    command = SubmitJob(driver.function, OTHERS, key="once")
    job = driver.ask(command)

    driver.restart()

    assert driver.ask(SubmitJob(driver.function, OTHERS, key="once")) == job
    driver.submit_many(3)
    driver.restart()
    assert driver.ask(command) == job


def test_a_key_with_other_arguments_is_refused_after_a_restart() -> None:
    driver = Restarting(retries=1)
    driver.ask(SubmitJob(driver.function, OTHERS, key="once"))

    driver.restart()

    with pytest.raises(IdempotencyConflict):
        driver.ask(SubmitJob(driver.function, Payload(b"else"), key="once"))


def test_numbers_of_jobs_go_on_rising() -> None:
    driver = Restarting()
    driver.start(RunJob(driver.function, Payload(b"")))
    driver.start(RunJob(driver.function, Payload(b"")))

    driver.restart()

    assert driver.submit() > 2


def test_numbers_of_jobs_have_no_gap_when_the_program_ends_in_order() -> None:
    driver = Restarting()
    driver.submit()
    driver.start(RunJob(driver.function, Payload(b"")))
    driver.end()

    driver.restart()

    driver.function = driver.register("f")
    assert driver.submit() == 3


def test_a_call_whose_caller_waits_is_its_callers_alone() -> None:
    driver = Restarting(retries=1)
    driver.start(RunJob(driver.function, Payload(b"")))

    assert only(driver.restart(), StartExecutor) == []
    with pytest.raises(JobGone):
        driver.look(1)


def test_a_call_of_a_job_that_waits_for_it_goes_with_that_job() -> None:
    driver = Restarting(retries=1)
    driver.ask(SubmitJob(driver.function, Payload(b""), owned=True))

    assert only(driver.restart(), StartExecutor) == []
    with pytest.raises(JobGone):
        driver.look(1)


def test_a_call_of_a_job_that_stops_waiting_is_kept() -> None:
    driver = Restarting(retries=1)
    driver.ask(SubmitJob(driver.function, Payload(b""), owned=True))
    driver.ask(KeepJob("jobs:1"))

    assert jobs_sent(driver.restart()) == [1]


def test_a_call_whose_caller_stops_waiting_is_kept() -> None:
    driver = Restarting(retries=1)
    driver.start(RunJob(driver.function, Payload(b"")))
    driver.ask(KeepJob("jobs:1"))
    driver.ask(KeepJob("jobs:1"))

    effects = driver.restart()

    assert jobs_sent(effects) == [1]


def test_a_generator_is_never_kept() -> None:
    driver = Restarting(retries=1)
    gives = driver.register("g", is_generator=True)
    driver.ask(OpenItems(gives, Payload(b"")))
    driver.ask(KeepJob("jobs:1"))

    driver.restart()

    with pytest.raises(JobGone):
        driver.look(1)


def test_a_function_has_the_same_number_after_a_restart() -> None:
    driver = Restarting()
    spec = FunctionSpec(
        "app", "g", retries=RetryPolicy(3, jitter=0.5), preload=("json",), batch=BatchPolicy(4, 0.5)
    )
    other = driver.ask(RegisterFunction(spec, OTHERS))

    driver.restart()

    assert driver.ask(RegisterFunction(spec, OTHERS)) == other
    assert driver.register("new") == "functions:3"


def test_functions_that_nothing_needs_go_when_the_program_ends_in_order() -> None:
    driver = Restarting()
    driver.register("scheduled")
    driver.ask(StartSchedule("functions:2", MINUTE))
    driver.register("unused")
    driver.submit()

    driver.end()

    kept = {key for key in driver.records if key.startswith("function/")}
    assert kept == {"function/1", "function/2"}
    driver.restart()
    assert driver.register("new") == "functions:3"


def test_batches_are_lost_one_by_one() -> None:
    driver = Restarting()
    pairs = driver.register("pairs", batch=BatchPolicy(2, 10.0), retries=RetryPolicy(1))
    first, second = driver.submit(pairs), driver.submit(pairs)
    driver.loaded()

    driver.restart()

    assert driver.look(first).attempt == 2
    assert driver.status(second) == "queued"  # it runs alone, after the other


def test_schedules_fire_on_after_a_restart() -> None:
    driver = Restarting()
    arguments = Payload(b"args", (b"more",))
    driver.ask(StartSchedule(driver.function, MINUTE, arguments))
    [due] = driver.pass_s(60.0)[1:]
    driver.loaded()
    driver.report(due.job)  # type: ignore[union-attr]

    driver.restart(after_s=30.0)

    [found] = driver.ask(ListSchedules())
    assert (found.fired, found.last_job_id, found.last_at) == (1, "jobs:1", NOON + 60.0)
    assert found.next_at == NOON + 120.0
    assert jobs_sent(driver.pass_s(29.0)) == []
    [job] = jobs_sent(driver.pass_s(1.0))
    assert driver.job(job).arguments == arguments


def test_nobody_holds_a_run_of_a_schedule_after_a_restart_either() -> None:
    driver = Restarting()
    driver.ran()
    driver.ask(StartSchedule(driver.function, MINUTE))
    driver.pass_s(59.0)
    driver.submit()
    driver.pass_s(1.0)
    [scheduled] = driver.plane.schedules.timetables.values()
    assert scheduled.job is not None
    assert scheduled.job.status.value == "queued"

    driver.restart()

    assert not driver.job(scheduled.job.number).held


def test_runs_that_were_missed_during_a_restart_are_made_up_for() -> None:
    driver = Restarting()
    every = CronSchedule(expression="* * * * *", missed="all", overlap="allow")
    driver.ask(StartSchedule(driver.function, every))

    driver.restart(after_s=180.0)

    [found] = driver.ask(ListSchedules())
    assert found.fired == 3


def test_a_schedule_that_was_stopped_stays_stopped() -> None:
    driver = Restarting()
    driver.ask(StartSchedule(driver.function, MINUTE))
    driver.ask(StopSchedule(driver.function))
    driver.ask(StopSchedule(driver.function))

    driver.restart()

    assert driver.ask(ListSchedules()) == ()


def test_the_schedule_of_an_earlier_version_ends_with_that_of_a_later_one() -> None:
    driver = Restarting()
    driver.ask(StartSchedule(driver.function, MINUTE))
    driver.restart()
    later = driver.register("f", timeout_s=7.0)
    other = driver.register("other")
    driver.ask(StartSchedule(other, MINUTE))

    driver.ask(StartSchedule(later, MINUTE))

    assert {it.function_id for it in driver.ask(ListSchedules())} == {later, other}
    driver.restart()
    assert {it.function_id for it in driver.ask(ListSchedules())} == {later, other}


def test_watchers_of_a_job_are_told_of_a_restart() -> None:
    driver = Restarting(retries=1)
    job = driver.submit()
    before = driver.ask(ReadEvents(f"jobs:{job}")).cursor
    driver.restart()

    fresh = driver.ask(ReadEvents(f"jobs:{job}"))
    assert [event.event for event in fresh.events] == ["stream.reset", "job.snapshot"]
    assert fresh.events[0].data["reason"] == "compacted"
    driver.plane.ledger.events.epoch = "another"
    resumed = driver.ask(ReadEvents(f"jobs:{job}", before))
    assert resumed.events[0].data["reason"] == "epoch_changed"


def test_jobs_of_after_a_restart_are_told_from_their_beginning() -> None:
    driver = Restarting(retries=1)
    driver.submit()
    driver.restart()
    driver.pass_s(1.0)
    driver.report(1)
    driver.pass_s(1.0)

    job = driver.submit()

    told = driver.ask(ReadEvents(f"jobs:{job}")).events
    assert [event.event for event in told] == ["job.queued"]


def test_the_first_job_after_a_restart_is_told_from_its_beginning() -> None:
    driver = Restarting()
    driver.report(driver.ran())
    driver.restart()
    driver.pass_s(1.0)

    job = driver.submit()

    told = driver.ask(ReadEvents(f"jobs:{job}")).events
    assert [event.event for event in told] == ["job.queued"]


def test_without_a_store_nothing_is_kept() -> None:
    driver = Restarting()

    assert driver.ask(GetDurability()) == "process"
    driver.plane.keeping = driver.plane.journal = None
    driver.submit()
    assert driver.plane.last_changes() == []


def test_executors_of_the_plane_before_are_strangers() -> None:
    driver = Restarting(retries=1)
    before = driver.plane.scheduler
    driver.ran()
    driver.restart()
    driver.plane.scheduler.number_after(before.last_executor)
    driver.died()

    [started] = only(driver.effects, StartExecutor)

    assert started.executor == 2


def test_revisions_of_shared_state_come_back() -> None:
    driver = Restarting()
    driver.records["rev"] = b"7"

    driver.restart()

    assert driver.plane.shared.next_rev() == 8


def test_a_plane_that_keeps_nothing_takes_back_what_it_is_given() -> None:
    plane = Plane("here")

    plane.load([("rev", b"7")], 0.0)

    assert plane.shared.next_rev() == 8
