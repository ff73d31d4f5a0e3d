"""Calls that are tried again, and those that say it is pointless. Attempts are lines of a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from apothic import Job, NonRetryable, Retries
from apothic._connect import connect
from tests.integration.support import runner

pytestmark = pytest.mark.usefixtures("clean")
NOW = Retries(max_retries=3, initial_delay=0)


class NoSuchOrder(NonRetryable):
    """Takes more than its message, as errors of users do."""

    def __init__(self, order: str, *, shop: str) -> None:
        super().__init__(f"{order} in {shop}")
        self.shop = shop


def attempts(path: Path) -> int:
    """How often the code ran."""
    return len(path.read_text().splitlines())


def begin(path: Path) -> int:
    """Count this attempt; which it is."""
    with path.open("a") as file:
        file.write("ran\n")
    return attempts(path)


def fail_until(path: Path, good: int) -> int:
    attempt = begin(path)
    if attempt < good:
        raise ConnectionError(attempt)
    return attempt


def give_up(path: Path) -> None:
    begin(path)
    try:
        {}["order-17"]
    except KeyError as error:
        raise NonRetryable("no such order") from error


def give_up_with_a_class_of_ones_own(path: Path) -> None:
    begin(path)
    raise NoSuchOrder("order-17", shop="here")


def give_up_at_last(path: Path) -> None:
    if begin(path) == 2:
        raise NonRetryable("now it is certain")
    raise ConnectionError


def test_a_call_is_tried_again_until_it_succeeds(tmp_path: Path) -> None:
    assert runner(retries=NOW).remote(fail_until, tmp_path / "runs", 3) == 3
    assert attempts(tmp_path / "runs") == 3


def test_the_last_failure_is_raised_when_no_retry_is_left(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match="4"):
        runner(retries=NOW).remote(fail_until, tmp_path / "runs", 9)

    assert attempts(tmp_path / "runs") == 4


def test_a_failure_that_is_final_is_not_tried_again(tmp_path: Path) -> None:
    with pytest.raises(NonRetryable, match="no such order") as caught:
        runner(retries=NOW).remote(give_up, tmp_path / "runs")

    assert type(caught.value) is NonRetryable
    assert "KeyError: 'order-17'" in str(caught.value.__cause__)
    assert attempts(tmp_path / "runs") == 1


def test_a_final_failure_arrives_as_its_own_type(tmp_path: Path) -> None:
    with pytest.raises(NoSuchOrder) as caught:
        runner(retries=NOW).remote(give_up_with_a_class_of_ones_own, tmp_path / "runs")

    assert caught.value.shop == "here"
    assert attempts(tmp_path / "runs") == 1


def test_retries_end_at_the_attempt_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(NonRetryable, match="now it is certain"):
        runner(retries=NOW).remote(give_up_at_last, tmp_path / "runs")

    assert attempts(tmp_path / "runs") == 2


def delay_of(job: Job[object]) -> float:
    """How long the first retry of a job waits."""
    for event in connect().watch(job.job_id):
        if event.event == "job.retry":
            return float(event.data["delay_s"])
    raise AssertionError("no retry")


def test_a_number_of_retries_means_a_second_between_them(tmp_path: Path) -> None:
    job = runner(retries=1).spawn(fail_until, tmp_path / "runs", 2)

    assert delay_of(job) == 1.0
    job.cancel()


def test_jitter_makes_a_delay_longer_or_shorter(tmp_path: Path) -> None:
    policy = Retries(max_retries=1, initial_delay=10, jitter=0.5)
    job = runner(retries=policy).spawn(fail_until, tmp_path / "runs", 2)

    assert 5.0 <= delay_of(job) <= 15.0
    assert delay_of(job) != 10.0
    job.cancel()
