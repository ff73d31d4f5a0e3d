from __future__ import annotations

import pytest

from apothic_backends.commands import RunJob
from apothic_backends.model.functions import BatchPolicy
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.effects import Attach, Go, Interrupt, Retire
from apothic_emulator.core.facts import Recalled
from apothic_emulator.core.hellos import BACK, BEGUN, DONE, HeldExecutor, HeldJob
from tests.unit.emulator.core.agents import GRACE_S, LARGE, LEASE_S, Far
from tests.unit.emulator.core.driving import jobs_sent, kinds, only


def test_an_agent_that_comes_back_goes_on_with_what_it_has() -> None:
    driver = Far()
    driver.join()
    job = driver.begun()
    held = driver.held(job, BEGUN)
    driver.restart()
    assert driver.status(job) == "running"

    welcome = driver.join("a", LARGE, held)
    driver.beat()

    assert not welcome.resumes
    assert welcome.kills == ()
    driver.report(job)
    assert driver.status(job) == "succeeded"
    assert driver.job(job).attempt == 1


def test_a_report_that_was_on_its_way_counts() -> None:
    driver = Far()
    driver.join()
    job = driver.begun()
    held = driver.held(job, DONE)
    driver.restart()
    driver.join("a", LARGE, held)

    driver.report(job)

    assert driver.status(job) == "succeeded"


@pytest.mark.parametrize(("phase", "wanted"), [(BEGUN, ["Recall", "DumpStack"]), (DONE, [])])
def test_a_cancel_that_was_written_down_is_carried_out_by_the_next_control_plane(
    phase: str, wanted: list[str]
) -> None:
    driver = Far()
    driver.join()
    job = driver.begun()
    held = driver.held(job, phase)
    driver.cancel(job)
    driver.restart()

    driver.join("a", LARGE, held)

    assert kinds(driver.effects) == ["Attach", *wanted]


def test_what_has_never_begun_is_dispatched_again_for_nothing() -> None:
    driver = Far()
    driver.join()
    job = driver.submit()
    driver.loads()
    held = driver.held(job, BACK)
    driver.restart()

    driver.join("a", LARGE, held)
    driver.beat()

    assert driver.job(job).losses == 0
    assert driver.job(job).attempt == 2


def test_what_was_told_to_begin_and_never_heard_of_it_is_dispatched_again_for_nothing() -> None:
    driver = Far()
    driver.join()
    job = driver.begun()
    held = driver.held(job, BACK)
    driver.restart()

    driver.join("a", LARGE, held)
    assert driver.status(job) == "queued"
    driver.beat()

    assert driver.job(job).losses == 0
    assert jobs_sent(driver.effects) == [job]


def test_what_an_agent_does_not_have_any_more_is_lost() -> None:
    driver = Far()
    driver.join()
    job = driver.begun()
    driver.restart()

    driver.join("a", LARGE)

    assert driver.status(job) == "lost"


def test_what_an_executor_does_not_have_any_more_is_lost() -> None:
    driver = Far()
    driver.join()
    job = driver.begun()
    held = driver.held(job, BEGUN).replace(jobs=())
    driver.restart()

    driver.join("a", LARGE, held)

    assert driver.status(job) == "lost"


def test_an_executor_of_another_function_is_none_of_ours() -> None:
    driver = Far()
    driver.join()
    job = driver.begun()
    held = driver.held(job, BEGUN).replace(function=7)
    driver.restart()

    driver.join("a", LARGE, held)

    assert driver.status(job) == "lost"


def test_executors_that_nobody_knows_any_more_are_killed() -> None:
    driver = Far()
    driver.join()
    driver.start(RunJob(driver.function, Payload(b"x")))
    driver.loads()
    driver.accepts(1)
    held = driver.held(1, BEGUN)
    driver.restart()

    assert driver.join("a", LARGE, held).kills == (1,)


def test_jobs_that_nobody_knows_any_more_are_stopped_beside_one_that_goes_on() -> None:
    driver = Far(concurrent_requests=2)
    driver.join()
    job = driver.begun()
    held = driver.held(job, BEGUN)
    stranger = HeldJob(2, 1, BEGUN)
    driver.restart()

    driver.join("a", LARGE, held.replace(jobs=(*held.jobs, stranger)))
    assert only(driver.effects, Interrupt) == [Interrupt(1, 2)]
    driver.beat()
    driver.step(Recalled(1, ()))

    assert driver.report(job) == [Retire(1)]


def test_an_agent_that_does_not_come_back_is_given_up_after_a_lease() -> None:
    driver = Far(retries=1)
    driver.join("a")
    job = driver.begun()
    driver.restart(after_s=1000.0)
    driver.join("b")
    driver.pass_s(LEASE_S / 2)
    driver.beat("b")

    effects = driver.pass_s(LEASE_S / 2)

    assert driver.agents_of(effects) == [2]
    assert driver.job(job).losses == 1


def test_what_must_not_run_twice_is_lost_after_the_grace() -> None:
    driver = Far()
    driver.join()
    job = driver.begun()
    driver.restart()

    driver.pass_s(LEASE_S + GRACE_S - 1)
    assert driver.status(job) == "running"
    driver.pass_s(1)

    assert driver.status(job) == "lost"


def test_an_agent_may_still_come_back_in_the_grace() -> None:
    driver = Far()
    driver.join()
    job = driver.begun()
    held = driver.held(job, DONE)
    driver.restart()
    driver.pass_s(LEASE_S + 1)

    driver.join("a", LARGE, held)
    driver.report(job)

    assert driver.status(job) == "succeeded"


def test_the_time_that_a_job_has_had_counts() -> None:
    driver = Far(timeout_s=10.0)
    driver.join()
    job = driver.begun()
    driver.pass_s(6.0)
    held = driver.held(job, BEGUN)
    driver.restart(after_s=1.0)
    driver.join("a", LARGE, held)
    driver.beat()

    assert kinds(driver.pass_s(2.9)) == []
    assert "DumpStack" in kinds(driver.pass_s(0.2))


def test_executors_get_numbers_that_none_has_had() -> None:
    driver = Far()
    driver.join()
    driver.begun()
    driver.died(1)
    driver.restart()
    driver.join()

    job = driver.submit()

    assert driver.job(job).executor == 2


def test_a_batch_is_found_as_it_was() -> None:
    driver = Far(batch=BatchPolicy(2, 10.0))
    driver.join()
    first, second = driver.submit_many(2)
    driver.loads()
    assert only(driver.accepts(first), Go) == [Go(1, first)]
    held = driver.held(first, BEGUN)
    both = (*held.jobs, HeldJob(second, 1, BEGUN))
    driver.restart()

    driver.join("a", LARGE, held.replace(jobs=both))
    driver.beat()

    driver.report(second)
    driver.report(first)
    assert [driver.status(job) for job in (first, second)] == ["succeeded"] * 2


def test_a_job_of_an_agent_that_was_forgotten_went_down() -> None:
    driver = Far(retries=1)
    driver.join()
    job = driver.begun()
    del driver.records["agent/1"]

    driver.restart()

    assert driver.status(job) == "queued"
    assert driver.job(job).losses == 1


def test_channels_of_the_plane_before_are_not_resumed() -> None:
    driver = Far()
    first = driver.join()
    driver.restart()

    second = driver.join()

    assert not second.resumes
    assert second.agent == first.agent
    assert second.channel != first.channel
    assert only(driver.effects, Attach) == [Attach(1, second.channel, resumes=False)]


@pytest.mark.parametrize("loaded", [True, False])
def test_an_executor_may_have_been_loading(*, loaded: bool) -> None:
    driver = Far()
    driver.join()
    job = driver.submit()
    held = driver.held(job, BACK, loaded=loaded)
    driver.restart()

    driver.join("a", LARGE, held)
    driver.beat()

    assert driver.job(job).executor == 1
    assert jobs_sent(driver.effects) == [job]


def test_an_executor_that_the_agent_never_got_is_no_loss() -> None:
    driver = Far()
    driver.join()
    job = driver.submit()
    driver.restart()

    driver.join("a", LARGE, HeldExecutor(99, 1, loaded=True))

    assert driver.job(job).losses == 0
    assert driver.job(job).executor > 99
    assert driver.welcomes["a"].kills == (99,)
