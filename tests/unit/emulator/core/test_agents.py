from __future__ import annotations

import pytest

from apothic_backends.commands import ReadEvents, SubmitJob
from apothic_backends.model.agents import AgentSuperseded, StaleSession
from apothic_backends.model.functions import BatchPolicy, MountSpec
from apothic_backends.model.images import ImageSpec
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.effects import (
    Attach,
    Detach,
    Dispatch,
    DispatchBatch,
    Go,
    Kill,
    Recall,
    Retire,
    StartExecutor,
)
from apothic_emulator.core.executors import FETCH_S, LOAD_S
from apothic_emulator.core.facts import (
    Accepted,
    Ended,
    Loaded,
    LoadFailed,
    Prepared,
    Recalled,
    Refused,
    Reported,
    Tick,
)
from apothic_emulator.core.hellos import BEGUN, Capacity, Cut, Heard, Join
from apothic_emulator.core.plane import Plane
from tests.unit.emulator.core.agents import GRACE_S, LARGE, LEASE_S, SMALL, Far
from tests.unit.emulator.core.driving import RAISED, RESULT, Driver, jobs_sent, kinds, only


def test_work_waits_for_an_agent() -> None:
    driver = Far()
    job = driver.submit()
    assert driver.effects == []

    driver.join()

    assert kinds(driver.effects) == ["Attach", "StartExecutor", "Dispatch"]
    assert driver.agents_of(driver.effects) == [1]
    assert driver.status(job) == "dispatched"


def test_whoever_fetches_volumes_first_gets_longer_to_load() -> None:
    driver = Far()
    driver.join()
    mounts = MountSpec("volume", "data", "/data"), MountSpec("bucket", "data", "/data")
    for mount in mounts:
        driver.submit(driver.register(mount.kind, mounts=(mount,), timeout_s=5))

    due = [it.step_at - driver.now for it in driver.plane.ledger.executors.values()]
    assert due == [FETCH_S, LOAD_S]


def test_at_home_nobody_is_asked_before_a_job_begins() -> None:
    driver = Driver()
    job = driver.submit()
    driver.loaded()

    assert driver.status(job) == "running"


def test_a_job_begins_when_its_agent_has_accepted_it() -> None:
    driver = Far()
    driver.join()
    job = driver.submit()
    driver.loads()
    assert driver.status(job) == "dispatched"

    effects = driver.accepts(job)

    assert effects == [Go(1, job)]
    assert driver.status(job) == "running"
    assert driver.job(job).started_at == driver.now


def test_a_job_that_is_accepted_while_its_executor_loads_begins_when_that_has_loaded() -> None:
    driver = Far()
    driver.join()
    job = driver.submit()
    assert driver.accepts(job) == []

    assert driver.loads() == [Go(1, job)]


def test_an_executor_has_the_whole_time_to_load_once_its_agent_has_built_its_image() -> None:
    driver = Far(image=ImageSpec("python:3.12-slim", "3.12"))
    driver.join()
    driver.submit()
    driver.cut()
    driver.pass_s(1)
    driver.join()
    driver.step(Prepared(1))

    executor = driver.plane.ledger.executors[1]
    assert executor.step_at == driver.now + executor.load_s


def test_jobs_behind_another_begin_when_they_move_up() -> None:
    driver = Far()
    driver.join()
    first = driver.begun()
    driver.plane.pools[1].mean_s = 0.001
    second = driver.submit()
    assert jobs_sent(driver.effects) == [second]
    assert only(driver.accepts(second), Go) == []

    effects = driver.report(first)

    assert only(effects, Go) == [Go(1, second)]


def test_a_job_that_nobody_told_to_begin_cannot_have_ended() -> None:
    driver = Far()
    driver.join()
    job = driver.submit()
    driver.loads()

    driver.report(job)

    assert driver.status(job) == "dispatched"
    assert kinds(driver.effects) == []


def test_what_an_agent_says_again_does_no_harm() -> None:
    driver = Far()
    driver.join()
    job = driver.begun()
    report = Reported(1, job, 1, RESULT)
    driver.step(report)

    effects = driver.step(report, Accepted(1, job, 1))

    assert effects == []
    assert driver.status(job) == "succeeded"


def test_the_acceptance_of_an_earlier_attempt_counts_for_nothing() -> None:
    driver = Far(max_containers=2)
    driver.join()
    job = driver.submit()
    driver.loads()
    before = driver.acceptance(job)
    driver.step(Recalled(1, (job,)))

    assert driver.step(before) == []
    assert only(driver.accepts(job), Go) == [Go(1, job)]


def test_the_acceptance_of_what_was_refused_counts_for_nothing() -> None:
    driver = Far()
    driver.join()
    first = driver.begun()
    driver.plane.pools[1].mean_s = 0.001
    job = driver.submit()
    driver.accepts(job)

    driver.step(Refused(1, (job,)))

    assert driver.plane.ledger.executors[1].accepted == set()
    assert driver.status(first) == "running"


def test_a_job_that_is_cancelled_before_it_begins_is_taken_back() -> None:
    driver = Far()
    driver.join()
    job = driver.submit()
    driver.loads()
    driver.cancel(job)
    assert kinds(driver.effects) == ["Recall"]
    assert only(driver.accepts(job), Go) == []

    driver.recalled(1, job)

    assert driver.status(job) == "cancelled"


def test_a_batch_begins_as_a_whole() -> None:
    driver = Far(batch=BatchPolicy(2, 0.0))
    driver.join()
    driver.step(*[])
    first, second = driver.submit_many(2)
    driver.loads()
    sent = [job for job in (first, second) if driver.status(job) == "dispatched"]

    effects = driver.accepts(first)

    assert only(effects, Go) == [Go(1, first)]
    assert {driver.status(job) for job in sent} == {"running"}


def full_batch(driver: Far) -> list[int]:
    """Two inputs in one call on an agent."""
    driver.submit()
    driver.loads()
    assert driver.accepts(1) == [Go(1, 1)]
    driver.report(1)
    tokens = [driver.start(SubmitJob(driver.function, Payload(b"x"))) for _ in range(2)]
    return [int(driver.answers[token][5:]) for token in tokens]


def test_both_inputs_of_a_batch_begin_with_the_one_that_stands_for_it() -> None:
    driver = Far(batch=BatchPolicy(2, 10.0))
    driver.join()
    first, second = driver.submit_many(2)
    driver.loads()
    assert {driver.status(first), driver.status(second)} == {"dispatched"}
    assert only(driver.accepts(first), Go) == [Go(1, first)]

    assert {driver.status(first), driver.status(second)} == {"running"}


# --- ends ----------------------------------------------------------------------------------------


def test_what_was_not_told_to_begin_is_dispatched_again_for_nothing() -> None:
    driver = Far()
    driver.join()
    job = driver.submit()
    driver.loads()
    driver.accepts()

    driver.died(1)

    assert driver.status(job) == "dispatched"
    assert driver.job(job).losses == 0
    assert driver.job(job).attempt == 2


def test_what_had_begun_is_lost_with_its_executor() -> None:
    driver = Far()
    driver.join()
    job = driver.begun()

    driver.died(1)

    assert driver.status(job) == "lost"
    assert driver.outcome(job).error.data["maybe_ran"] is True  # type: ignore[union-attr]


def test_the_executors_of_an_agent_that_leaves_end_at_once() -> None:
    driver = Far(retries=1)
    driver.join("a")
    job = driver.begun()
    driver.join("b")

    effects = driver.leave("a")

    assert only(effects, Detach) == [Detach(1)]
    assert driver.agents_of(effects) == [2]
    assert driver.status(job) == "dispatched"
    assert driver.job(job).losses == 1


def test_idle_executors_that_go_with_their_machine_say_nothing_of_their_function() -> None:
    driver = Far()
    for _ in range(6):
        driver.join("a")
        job = driver.submit()
        driver.loads()
        driver.cancel(job)
        driver.recalled(max(driver.plane.ledger.executors), job)
        driver.leave("a")

    assert driver.plane.pools[1].failed_starts == 0


# --- cuts and leases -----------------------------------------------------------------------------


def test_nothing_is_lost_by_a_cut_that_is_shorter_than_the_lease() -> None:
    driver = Far()
    driver.join()
    job = driver.begun()
    driver.cut()
    driver.pass_s(LEASE_S - 1)

    welcome = driver.join()
    driver.report(job)

    assert welcome.resumes
    assert welcome.session == 2
    assert driver.effects == []
    assert driver.status(job) == "succeeded"


def test_what_was_not_told_to_begin_runs_elsewhere_at_once_after_a_cut() -> None:
    driver = Far(max_containers=2)
    driver.join("a")
    job = driver.submit()
    driver.accepts(job)
    driver.join("b")

    effects = driver.cut("a")

    assert only(effects, Recall) == [Recall(1)]
    assert driver.agents_of(effects) == [2]
    assert jobs_sent(effects) == [job]
    kept = driver.job(job)
    assert (kept.executor, kept.attempt, kept.losses) == (2, 2, 0)
    assert driver.plane.ledger.executors[1].accepted == set()


def test_an_agent_that_comes_back_gives_back_what_it_was_not_told_to_begin() -> None:
    driver = Far()
    driver.join()
    job = driver.submit()
    driver.loads()
    driver.cut()
    assert driver.status(job) == "queued"
    driver.join()
    driver.beat()
    assert only(driver.accepts(), Go) == []

    effects = driver.step(Recalled(1, (job,)))

    assert jobs_sent(effects) == [job]
    assert driver.job(job).attempt == 2


def test_what_was_to_be_stopped_behind_a_cut_stays_where_it_is() -> None:
    driver = Far(timeout_s=10.0)
    driver.join()
    first = driver.begun()
    driver.plane.pools[1].mean_s = 0.001
    second = driver.submit()
    assert driver.job(second).executor == 1
    driver.cancel(first)

    driver.cut()

    assert driver.status(second) == "dispatched"


def test_the_late_outcome_of_an_attempt_that_was_given_up_is_told_and_changes_nothing() -> None:
    driver = Far(retries=1)
    driver.join()
    job = driver.begun()
    driver.cut()
    driver.pass_s(LEASE_S)
    driver.join()

    driver.step(Reported(1, job, 1, RESULT), Reported(1, job, 1, None, RAISED))

    told = driver.ask(ReadEvents(f"jobs:{job}")).events
    late = [event.data for event in told if event.event == "job.late_report"]
    assert [(it["attempt"], it["status"], it.get("error")) for it in late] == [
        (1, "succeeded", None),
        (1, "failed", RAISED.code),
    ]
    assert driver.status(job) == "dispatched"


def test_nothing_is_told_of_a_job_after_its_end() -> None:
    driver = Far(retries=1)
    driver.join()
    job = driver.begun()
    driver.cut()
    driver.pass_s(LEASE_S)
    driver.cancel(job)
    driver.join()

    driver.step(Reported(1, job, 1, RESULT), Reported(1, 99, 1, RESULT))

    told = [event.event for event in driver.ask(ReadEvents(f"jobs:{job}")).events]
    assert told[-1] == "job.end"


def test_executors_behind_a_cut_get_no_jobs_until_their_agent_is_heard() -> None:
    driver = Far(max_containers=2)
    driver.join()
    driver.report(driver.begun())
    driver.cut()
    driver.submit_many(2)
    assert driver.effects == []

    driver.join()
    assert jobs_sent(driver.effects) == [2]  # to one that it starts

    assert jobs_sent(driver.beat()) == [3]


def test_an_executor_behind_a_cut_has_its_place_until_its_agent_is_given_up() -> None:
    driver = Far()
    driver.join("a")
    driver.report(driver.begun())
    driver.join("b")
    driver.cut("a")
    job = driver.submit()
    assert driver.status(job) == "queued"
    driver.pass_s(LEASE_S / 2)
    driver.beat("b")

    driver.pass_s(LEASE_S / 2)

    assert driver.job(job).executor == 2


def test_a_job_behind_a_cut_is_not_stopped_before_its_agent_can_have_said_that_it_is_done() -> None:
    driver = Far(timeout_s=10.0)
    driver.join()
    job = driver.begun()
    driver.cut()
    driver.pass_s(20.0)
    driver.join()
    driver.report(job)

    driver.beat()
    driver.pass_s(1.0)

    assert driver.status(job) == "succeeded"


def test_a_job_behind_a_cut_that_has_run_too_long_is_stopped_once_its_agent_is_heard() -> None:
    driver = Far(timeout_s=10.0)
    driver.join()
    driver.begun()
    driver.cut()
    assert driver.pass_s(20.0) == []
    driver.join()
    driver.beat()

    assert "DumpStack" in kinds(driver.step(Tick()))


def test_an_executor_that_was_starting_behind_a_cut_gets_its_whole_time() -> None:
    driver = Far(timeout_s=1.0)
    driver.join()
    driver.submit()
    driver.cut()
    driver.pass_s(LEASE_S - 1)
    driver.join()
    driver.beat()

    assert driver.plane.ledger.executors[1].step_at == driver.now + 60.0


@pytest.mark.parametrize("is_good", [True, False])
def test_an_executor_may_have_loaded_behind_a_cut(is_good: bool) -> None:
    driver = Far()
    driver.join()
    job = driver.submit()
    driver.cut()
    driver.join()

    driver.step(Loaded(1) if is_good else LoadFailed(1, RAISED))
    driver.recalled(1, job)

    assert driver.status(job) == ("dispatched" if is_good else "failed")


def test_what_may_run_again_does_so_elsewhere_when_the_lease_has_ended() -> None:
    driver = Far(retries=1)
    driver.join("a", SMALL)
    job = driver.begun()
    driver.join("b")
    driver.cut("a")
    driver.pass_s(LEASE_S / 2)
    driver.beat("b")

    effects = driver.pass_s(LEASE_S / 2)

    assert driver.agents_of(effects) == [2]
    assert only(effects, Kill) == [Kill(1)]
    assert driver.job(job).losses == 1
    assert driver.job(job).attempt == 2


def test_an_agent_that_is_mute_is_given_up_as_one_that_is_cut_off() -> None:
    driver = Far(retries=1)
    driver.join()
    job = driver.begun()

    driver.pass_s(LEASE_S - 0.001)
    assert driver.status(job) == "running"
    driver.pass_s(0.001)

    assert driver.status(job) == "queued"
    with pytest.raises(StaleSession):
        driver.beat()


def test_whoever_is_heard_of_keeps_its_lease() -> None:
    driver = Far(retries=1)
    driver.join()
    job = driver.begun()
    for _ in range(10):
        driver.pass_s(LEASE_S * 2 / 3)
        driver.beat()

    assert driver.status(job) == "running"


def test_what_must_not_run_twice_waits_for_its_outcome_in_a_grace() -> None:
    driver = Far()
    driver.join()
    job = driver.begun()
    driver.cut()
    driver.pass_s(LEASE_S + GRACE_S - 1)
    assert driver.status(job) == "running"

    assert driver.join().resumes
    driver.report(job)

    assert driver.status(job) == "succeeded"


def test_it_is_lost_when_the_grace_has_ended() -> None:
    driver = Far()
    driver.join()
    job = driver.begun()
    driver.cut()

    effects = driver.pass_s(LEASE_S + GRACE_S)

    error = driver.outcome(job).error
    assert error is not None
    assert error.data["reason"] == "disconnect"
    assert error.data["maybe_ran"] is True
    assert "not heard of" in error.message
    assert only(effects, Detach) == [Detach(1)]


def test_an_agent_that_comes_back_within_the_grace_is_not_given_more_of_its_old_work() -> None:
    driver = Far(concurrent_requests=2)
    driver.join()
    driver.begun()
    driver.cut()
    driver.pass_s(LEASE_S)
    driver.join()
    driver.beat()

    other = driver.submit()

    assert driver.job(other).executor == 2
    driver.step(Ended(1, "signal", signal=9))
    assert driver.status(1) == "lost"


def test_what_was_not_told_to_begin_runs_elsewhere_when_the_lease_has_ended() -> None:
    driver = Far()
    driver.join()
    job = driver.submit()
    driver.loads()
    driver.cut()

    driver.pass_s(LEASE_S)

    assert driver.status(job) == "queued"
    assert driver.job(job).losses == 0


def test_a_job_that_is_cancelled_behind_a_cut_ends_with_the_lease() -> None:
    driver = Far()
    driver.join()
    job = driver.begun()
    driver.cut()
    driver.cancel(job)
    driver.pass_s(LEASE_S - 1)
    assert driver.status(job) == "running"

    driver.pass_s(1)

    assert driver.status(job) == "cancelled"


def test_the_end_of_an_executor_that_was_given_up_is_no_news() -> None:
    driver = Far(retries=1)
    driver.join()
    job = driver.begun()
    driver.cut()
    driver.pass_s(LEASE_S)
    driver.join()

    driver.step(Ended(1, "signal", signal=9), Reported(1, job, 1, RESULT))

    assert driver.status(job) == "dispatched"


def test_nobody_is_given_up_because_the_control_plane_stood_still() -> None:
    driver = Far(retries=1)
    driver.join()
    job = driver.begun()
    driver.now += 3 * LEASE_S

    driver.step(Tick())
    driver.pass_s(LEASE_S - 1)

    assert driver.status(job) == "running"


# --- who is who ----------------------------------------------------------------------------------


def test_a_stranger_begins_anew() -> None:
    driver = Far()

    welcome = driver.join()

    assert not welcome.resumes
    assert only(driver.effects, Attach) == [Attach(1, welcome.channel, resumes=False)]


def test_an_agent_that_was_forgotten_is_a_stranger_and_stops_what_it_has() -> None:
    driver = Far()
    driver.join()
    job = driver.begun()
    held = driver.held(job, BEGUN)
    driver.cut()
    driver.pass_s(LEASE_S + GRACE_S)

    welcome = driver.join("a", LARGE, held)

    assert not welcome.resumes
    assert welcome.agent == 2
    assert welcome.kills == (1,)


def test_whatever_another_incarnation_had_is_lost_with_it() -> None:
    driver = Far(retries=1)
    driver.join()
    job = driver.begun()

    welcome = driver.join(incarnation="2")

    assert not welcome.resumes
    assert driver.job(job).losses == 1
    assert driver.agents_of(driver.effects) == [2]


def test_an_incarnation_that_was_followed_by_another_is_told_so() -> None:
    driver = Far()
    driver.join()
    driver.join(incarnation="2")

    with pytest.raises(AgentSuperseded):
        driver.join(incarnation="1")


def test_what_is_said_in_an_old_session_is_refused() -> None:
    driver = Far()
    old = driver.join()
    driver.join()

    with pytest.raises(StaleSession):
        driver.ask(Heard(old.agent, old.session))


def test_the_end_of_an_old_session_cuts_nobody_off() -> None:
    driver = Far()
    old = driver.join()
    driver.join()

    driver.ask(Cut(old.agent, old.session))
    driver.ask(Cut(99, 1))

    driver.submit()
    assert driver.agents_of(driver.effects) == [1]


def test_an_agent_whose_welcome_got_lost_begins_anew() -> None:
    driver = Far()
    driver.join()
    job = driver.submit()
    assert driver.status(job) == "dispatched"

    welcome = driver.join(channel="")

    assert not welcome.resumes
    assert driver.job(job).executor == 2
    assert driver.job(job).losses == 0


# --- places --------------------------------------------------------------------------------------


def test_executors_go_where_most_cores_are_free() -> None:
    driver = Far(max_containers=4)
    driver.join("a", Capacity(2, 9999))
    driver.join("b", Capacity(3, 9999))

    driver.submit_many(4)

    where = {e.number: e.agent for e in driver.plane.ledger.executors.values()}
    assert where == {1: 2, 2: 1, 3: 2, 4: 1}


def test_of_two_with_as_many_free_cores_the_one_with_more_memory_is_taken() -> None:
    driver = Far()
    driver.join("a", Capacity(2, 2000))
    driver.join("b", Capacity(2, 3000))

    driver.submit()

    assert driver.agents_of(driver.effects) == [2]


@pytest.mark.parametrize("limits", [{"cpu": 2}, {"memory_mb": 2000}])
def test_a_function_that_fits_nowhere_waits(limits: dict[str, int]) -> None:
    driver = Far(**limits)
    driver.join("a", Capacity(1, 1500))
    job = driver.submit()
    assert driver.status(job) == "queued"

    driver.join("b", Capacity(4, 4000))

    assert driver.agents_of(driver.effects) == [2]


def test_what_finds_no_place_gets_that_of_an_executor_that_ends() -> None:
    driver = Far()
    driver.join("a", SMALL)
    other = driver.register("g")
    first = driver.begun()
    second = driver.submit(other)
    assert driver.status(second) == "queued"

    driver.died(1)

    assert driver.status(first) == "lost"
    assert driver.status(second) == "dispatched"


def test_executors_without_work_make_room() -> None:
    driver = Far()
    driver.join("a", SMALL)
    other = driver.register("g")
    driver.report(driver.begun())

    second = driver.submit(other)
    assert driver.effects == [Retire(1)]
    third = driver.submit(other)
    assert driver.effects == []
    driver.step(Ended(1, "exit", exit_code=0))

    assert driver.status(second) == "dispatched"
    assert driver.status(third) == "queued"


def place_taken(driver: Far) -> int:
    """A job that waits for an idle executor to end, in whose place a smaller one begins then."""
    for name in ("a", "b"):
        driver.join(name, Capacity(2, 9999))
    wide, small = driver.register("wide", cpu=2.0), driver.register("small", max_containers=3)
    running = [driver.submit(small), driver.submit(small)]
    driver.loads()
    driver.accepts(*running)
    for job in running:
        driver.report(job)
    job = driver.submit(wide)
    assert driver.effects == [Retire(1)]
    return job


def test_what_loses_its_place_to_a_smaller_one_has_others_make_room() -> None:
    driver = Far()
    place_taken(driver)

    driver.submit(driver.register("other"))

    assert only(driver.effects, Retire) == [Retire(2)]


def test_nobody_makes_room_for_what_was_cancelled() -> None:
    driver = Far()
    driver.cancel(place_taken(driver))

    driver.submit(driver.register("other"))

    assert only(driver.effects, Retire) == []


def test_no_more_executors_end_than_have_to() -> None:
    driver = Far()
    driver.join("a", Capacity(3, 9999))
    names = [driver.register(name) for name in ("g", "h", "i")]
    for function in ("", *names[:2]):
        driver.report(driver.begun(function=function))
        driver.pass_s(1.0)

    driver.submit(names[2])

    assert driver.effects == [Retire(1)]


def test_nobody_ends_for_what_would_not_fit_even_then() -> None:
    driver = Far()
    driver.join("a", SMALL)
    driver.report(driver.begun())

    driver.submit(driver.register("g", cpu=2))

    assert driver.effects == []


def test_nobody_ends_on_an_agent_that_is_cut_off() -> None:
    driver = Far()
    driver.join("a", SMALL)
    driver.report(driver.begun())
    driver.cut("a")

    driver.submit(driver.register("g"))

    assert driver.effects == []


def test_an_older_job_that_finds_no_place_comes_before_younger_ones_of_others() -> None:
    driver = Far(max_pending_tasks=100)
    driver.join("a", SMALL)
    other = driver.register("g")
    first = driver.begun()
    waiting = driver.submit(other)
    driver.submit()

    driver.report(first)
    driver.step(Ended(1, "exit", exit_code=0))

    assert driver.status(waiting) == "dispatched"


def test_a_younger_one_waits_for_its_turn() -> None:
    driver = Far(max_pending_tasks=100)
    driver.join("a", SMALL)
    other = driver.register("g")
    first = driver.begun()
    second = driver.submit()
    waiting = driver.submit(other)

    driver.report(first)

    assert driver.status(second) == "dispatched"
    assert driver.status(waiting) == "queued"


def test_the_place_of_a_caller_that_waits_is_lent_to_what_it_waits_for() -> None:
    driver = Far()
    driver.join("a", SMALL)
    other = driver.register("g")
    caller = driver.begun()
    called = driver.submit(other, driver.inside(caller))
    assert driver.status(called) == "queued"

    driver.wait(called, driver.inside(caller), last=True, owned=True)

    assert driver.status(called) == "dispatched"


def test_home_takes_what_has_no_room_elsewhere() -> None:
    class Both(Far):
        has_home = True

    driver = Both(max_containers=2)
    driver.join("a", SMALL)

    driver.submit_many(2)

    assert [e.agent for e in driver.plane.ledger.executors.values()] == [1, 0]


def test_a_batch_that_finds_no_place_waits_for_one() -> None:
    driver = Far(batch=BatchPolicy(2, 0.0))
    driver.submit_many(2)
    assert driver.effects == []

    driver.join()

    assert [len(sent.jobs) for sent in only(driver.effects, DispatchBatch)] == [2]
    assert only(driver.effects, (StartExecutor, Dispatch, Recall)) != []  # type: ignore[arg-type]


def test_the_inputs_of_a_batch_that_is_not_full_wait_for_an_agent_too() -> None:
    driver = Far(batch=BatchPolicy(3, 5.0))
    driver.submit()

    driver.join()

    assert driver.agents_of(driver.effects) == [1]


def test_joining_again_tells_what_a_machine_has_to_give_now() -> None:
    driver = Far()
    driver.join("a", SMALL)
    job = driver.submit(driver.register("g", cpu=2))
    assert driver.status(job) == "queued"

    driver.join("a", LARGE)

    assert driver.status(job) == "dispatched"


def test_a_join_in_place_of_another_is_remembered() -> None:
    driver = Far()
    for i in range(20):
        driver.join(incarnation=str(i))

    assert len(driver.plane.fleet.agents.far[20].past) == 16
    assert driver.ask(Join("a", "2", LARGE)).agent == 21  # so long ago that nobody knows


def test_a_job_begins_once_however_often_it_is_accepted() -> None:
    driver = Far()
    driver.join()
    job = driver.begun()

    assert driver.accepts(job) == []


def test_agents_need_no_store() -> None:
    class Forgetful(Far):
        def new_plane(self, wall_offset: float) -> Plane:
            return Plane("here", wall_offset, has_home=False)

    driver = Forgetful()
    driver.join()
    job = driver.submit()
    driver.loads()
    assert driver.accepts(job) == [Go(1, job)]

    driver.leave()

    assert driver.status(job) == "lost"
