from __future__ import annotations

import re
from typing import Any

import pytest

from apothic_backends.commands import (
    Command,
    GetJob,
    RegisterFunction,
    ReleaseJob,
)
from apothic_backends.model.errors import (
    InternalError,
    InvalidOption,
    JobGone,
    NotFound,
    QueueFull,
    UsageError,
)
from apothic_backends.model.functions import FunctionSpec, RetryPolicy
from apothic_backends.model.jobs import JobStatus
from apothic_backends.model.payloads import Payload
from apothic_emulator.core import jobs, ledger
from apothic_emulator.core.check import check
from apothic_emulator.core.facts import Printed
from apothic_emulator.core.jobs import MOVES, Job
from tests.unit.emulator.core.driving import RAISED, Driver, jobs_sent


def ended(driver: Driver) -> int:
    job = driver.ran()
    driver.report(job)
    return job


# --- the table of a job's life --------------------------------------------------------------------


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("status", JobStatus)
def test_a_job_moves_only_by_the_table(move: str, status: JobStatus) -> None:
    driver = Driver()
    job = Job(1, driver.plane.pools[1].function, Payload(b""), now=0.0)
    job.status = status
    allowed, after = MOVES[move]

    if status in allowed:
        job.move(move)
        assert job.status is after
    else:
        with pytest.raises(InternalError):
            job.move(move)


def test_nothing_happens_to_a_job_that_has_ended() -> None:
    assert not any(status.is_final for allowed, _ in MOVES.values() for status in allowed)


def test_the_picture_shows_every_status_and_the_moves_that_lead_back() -> None:
    picture = str(jobs.__doc__)

    assert all(status.value in picture for status in JobStatus)
    back = {move for move, (_, after) in MOVES.items() if after is JobStatus.QUEUED}
    assert back == set(re.findall(r"├?└?─+ (recall|retry) ─", picture))


# --- functions ------------------------------------------------------------------------------------


def test_the_same_function_registered_twice_is_one_function() -> None:
    driver = Driver()

    assert driver.register("g") == driver.register("g")
    assert driver.register("g") != driver.function


@pytest.mark.parametrize(
    "limits",
    [
        {"max_containers": 0},
        {"timeout_s": 0.0},
        {"timeout_s": float("nan")},
        {"retries": RetryPolicy(-1)},
        {"retries": RetryPolicy(1, float("nan"))},
    ],
)
def test_limits_under_which_nothing_can_run_are_refused(limits: dict[str, Any]) -> None:
    spec = FunctionSpec("app", "f", **limits)

    with pytest.raises(InvalidOption):
        Driver().ask(RegisterFunction(spec, Payload(b"")))


# --- looking things up ----------------------------------------------------------------------------


@pytest.mark.parametrize("job_id", ["jobs:1", "jobs:0"])
def test_a_job_that_never_was_is_not_found(job_id: str) -> None:
    with pytest.raises(NotFound):
        Driver().ask(GetJob(job_id))


@pytest.mark.parametrize("job_id", ["job:1", "jobs:", "jobs:-1", "jobs:١", "jobs:" + "1" * 5000])  # noqa: RUF001
def test_what_is_no_id_is_refused(job_id: str) -> None:
    with pytest.raises(UsageError):
        Driver().ask(GetJob(job_id))


def test_a_function_that_never_was_is_not_found() -> None:
    with pytest.raises(NotFound):
        Driver().submit("functions:9")


def test_a_command_without_a_rule_is_our_mistake() -> None:
    class Unheard(Command[None]):
        """A command that nobody has written a rule for."""

    with pytest.raises(InternalError):
        Driver().ask(Unheard())


# --- handles and results --------------------------------------------------------------------------


def test_a_result_can_be_waited_for_again() -> None:
    driver = Driver()
    job = ended(driver)

    assert driver.outcome(job) == driver.outcome(job)


def test_a_result_goes_with_its_last_handle() -> None:
    driver = Driver()
    job = ended(driver)
    driver.answers[driver.wait(job, last=True)]

    with pytest.raises(JobGone):
        driver.outcome(job)


def test_a_result_goes_when_nobody_will_ask_for_it() -> None:
    driver = Driver()
    job = driver.ran()
    driver.ask(ReleaseJob(f"jobs:{job}"))
    driver.report(job)

    assert driver.job(job).result is None
    assert driver.status(job) == "succeeded"


def test_releasing_twice_or_what_is_gone_changes_nothing() -> None:
    driver = Driver()
    job = ended(driver)
    for job_id in (f"jobs:{job}", f"jobs:{job}", "jobs:99"):
        driver.ask(ReleaseJob(job_id))

    assert len(driver.plane.ledger.let_go) == 1


def test_an_old_job_that_nobody_holds_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "KEPT_JOBS", 1)
    driver = Driver()
    first = driver.ran()
    second = driver.submit()
    for job in (first, second):
        driver.report(job)
        driver.ask(ReleaseJob(f"jobs:{job}"))

    with pytest.raises(JobGone):
        driver.look(first)
    assert driver.status(second) == "succeeded"


def test_a_job_is_forgotten_after_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver()
    first = ended(driver)
    driver.ask(ReleaseJob(f"jobs:{first}"))
    driver.now += ledger.KEPT_S + 1.0
    second = driver.submit()
    driver.report(second)
    driver.ask(ReleaseJob(f"jobs:{second}"))

    assert first not in driver.plane.ledger.jobs


def test_jobs_that_printed_much_are_forgotten_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "KEPT_CHARS", 5)
    driver = Driver()
    first = driver.ran()
    driver.step(Printed(1, first, "stdout", "123456"))
    driver.report(first)
    driver.ask(ReleaseJob(f"jobs:{first}"))

    assert first not in driver.plane.ledger.jobs


def test_the_queue_is_bounded_by_number() -> None:
    driver = Driver(max_pending_tasks=1)
    driver.submit_many(2)

    with pytest.raises(QueueFull, match="max_pending_tasks=1"):
        driver.submit()


# --- the check ------------------------------------------------------------------------------------


def test_the_check_names_what_is_wrong() -> None:
    driver = Driver()
    job = driver.job(driver.ran())
    job.executor = 7

    with pytest.raises(AssertionError, match=r"in a foreign line: jobs:1 \(running\), executor 1"):
        check(driver.plane)


def test_the_check_counts() -> None:
    driver = Driver()
    driver.plane.ledger.payload_bytes = 5

    with pytest.raises(AssertionError, match="payload bytes: 0, 5"):
        check(driver.plane)


def test_the_check_sees_what_is_left() -> None:
    driver = Driver()
    driver.plane.ledger.replies.append(("token", None, None))

    with pytest.raises(AssertionError, match="left from a step"):
        check(driver.plane)


def test_a_retry_of_a_quick_failure_goes_ahead_of_younger_jobs() -> None:
    driver = Driver(retries=1)
    first, _ = driver.submit_many(2)
    driver.loaded()
    driver.pass_s(1.0)

    assert jobs_sent(driver.report(first, error=RAISED)) == [first]
