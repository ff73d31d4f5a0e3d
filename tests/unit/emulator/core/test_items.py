from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.commands import CancelJob, OpenItems, ReadItems, ReleaseJob, RunJob, SubmitJob
from apothic_backends.model.errors import JobGone, QueueFull, SlotDeadlock, UsageError
from apothic_backends.model.jobs import ItemBatch
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.attempts import INTERRUPT_S
from apothic_emulator.core.effects import Credit, Effect, Interrupt, Kill
from apothic_emulator.core.facts import GivenUp, Origin, Produced
from apothic_emulator.core.streams import MOST_AHEAD, MOST_AHEAD_BYTES
from tests.unit.emulator.core.driving import RAISED, Driver, kinds, only


class Generators(Driver):
    """A driver whose function is a generator."""

    def __init__(self, **limits: Any) -> None:
        super().__init__(is_generator=True, **limits)

    def open(self, origin: Origin | None = None, function: str = "") -> int:
        command = OpenItems(function or self.function, Payload(b"arguments"))
        return int(self.ask(command, origin)[5:])

    def opened(self) -> int:
        """Open a generator and have it run in a fresh executor."""
        job = self.open()
        self.loaded(max(self.plane.ledger.executors))
        return job

    def yields(
        self, job: int, after: int, count: int = 1, size: int = 8, /, **lie: int
    ) -> list[Effect]:
        held = self.job(job)
        told = {"executor": held.executor, "job": job, "attempt": held.attempt, **lie}
        items = Payload(b"x" * (size * count))
        return self.step(Produced(after=after, count=count, items=items, **told))

    def read(self, job: int, after: int = 0, origin: Origin | None = None) -> int:
        return self.start(ReadItems(f"jobs:{job}", after), origin)

    def batch(self, job: int, after: int = 0) -> ItemBatch:
        return self.ask(ReadItems(f"jobs:{job}", after))

    def release(self, job: int) -> None:
        self.ask(ReleaseJob(f"jobs:{job}"))


def test_items_are_given_in_chunks_as_they_came() -> None:
    driver = Generators()
    job = driver.opened()
    driver.yields(job, 0, 1)
    driver.yields(job, 1, 5)

    assert [driver.batch(job, 0).count, driver.batch(job, 1).count] == [1, 5]


def test_a_reader_that_waits_gets_the_next_items() -> None:
    driver = Generators()
    job = driver.opened()
    token = driver.read(job)
    driver.yields(job, 0, 2)

    assert driver.answers[token].count == 2
    assert driver.answers[token].outcome is None


def test_taking_items_gives_credit_for_more() -> None:
    driver = Generators()
    job = driver.opened()
    driver.yields(job, 0, 3)
    driver.read(job, 0)

    assert only(driver.effects, Credit) == []
    driver.read(job, 3)
    assert driver.effects == [Credit(1, job, 1, 3)]


def test_nobody_gives_credit_to_a_generator_that_has_ended() -> None:
    driver = Generators()
    job = driver.opened()
    driver.yields(job, 0, 1)
    driver.yields(job, 1, 1)
    driver.report(job)
    driver.read(job, 1)

    assert driver.effects == []


def test_the_end_comes_with_the_last_items_and_lets_the_job_go() -> None:
    driver = Generators()
    job = driver.opened()
    driver.yields(job, 0, 1)
    driver.yields(job, 1, 1)
    driver.report(job)

    assert driver.batch(job, 0).outcome is None
    last = driver.batch(job, 1)
    assert last.outcome is not None
    assert last.outcome.status.value == "succeeded"
    with pytest.raises(JobGone):
        driver.batch(job, 2)


def test_the_end_comes_alone_to_a_reader_that_waits_for_more() -> None:
    driver = Generators()
    job = driver.opened()
    token = driver.read(job)
    driver.report(job, error=RAISED)

    assert (driver.answers[token].items, driver.answers[token].outcome.error) == (None, RAISED)
    assert not driver.job(job).held


def test_the_end_of_a_generator_without_items_comes_alone() -> None:
    driver = Generators()
    job = driver.opened()
    driver.report(job)

    assert driver.batch(job).items is None


def test_a_released_generator_drops_its_items_at_its_end() -> None:
    driver = Generators()
    job = driver.opened()
    driver.yields(job, 0, 1)
    driver.release(job)
    driver.report(job)

    stream = driver.job(job).stream
    assert stream is not None
    assert (len(stream.chunks), stream.nbytes) == (0, 0)


def test_a_wait_for_items_can_be_given_up() -> None:
    driver = Generators()
    job = driver.opened()
    driver.step(GivenUp(driver.read(job)))
    driver.yields(job, 0)

    assert driver.batch(job).count == 1


# --- what an executor cannot have done ------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "count", "size", "lie"),
    [
        (1, 1, 8, {}),
        (0, 0, 8, {}),
        (0, -1, 8, {}),
        (0, MOST_AHEAD + 1, 8, {}),
        (0, 2, MOST_AHEAD_BYTES // 2 + 1, {}),
        (0, 1, 8, {"attempt": 2}),
        (0, 1, 8, {"job": 77}),
    ],
)
def test_impossible_items_are_a_breach(after: int, count: int, size: int, lie: Any) -> None:
    driver = Generators()
    job = driver.opened()

    assert kinds(driver.yields(job, after, count, size, **lie)) == ["Kill"]


def test_items_of_a_plain_function_are_a_breach() -> None:
    driver = Driver()
    job = driver.ran()

    assert kinds(driver.step(Produced(1, job, 1, 0, 1, Payload(b"")))) == ["Kill"]


def test_items_of_another_executors_job_are_a_breach() -> None:
    driver = Generators(max_containers=2)
    job = driver.opened()
    driver.opened()

    assert only(driver.yields(job, 0, executor=2), Kill) == [Kill(2)]


def test_items_after_the_end_are_a_breach() -> None:
    driver = Generators()
    job = driver.opened()
    driver.report(job)

    assert kinds(driver.yields(job, 0, executor=1)) == ["Kill"]


def test_credit_is_for_a_number_of_items_beyond_those_taken() -> None:
    driver = Generators()
    job = driver.opened()

    assert driver.yields(job, 0, MOST_AHEAD) == []
    driver.read(job, 0)
    driver.read(job, MOST_AHEAD)
    assert driver.yields(job, MOST_AHEAD, MOST_AHEAD) == []
    assert kinds(driver.yields(job, 2 * MOST_AHEAD, 1)) == ["Kill"]


def test_a_larger_item_travels_alone() -> None:
    driver = Generators()
    job = driver.opened()

    assert driver.yields(job, 0, 1, 10 * MOST_AHEAD_BYTES) == []
    assert kinds(driver.yields(job, 1, 1, 1)) == ["Kill"]


# --- attempts -------------------------------------------------------------------------------------


def test_an_attempt_is_repeated_while_no_item_was_given() -> None:
    driver = Generators(retries=1)
    job = driver.opened()
    driver.yields(job, 0, 4)
    driver.report(job, error=RAISED)
    driver.yields(job, 0, 1)

    assert driver.job(job).attempt == 2
    assert driver.batch(job).count == 1


def test_an_attempt_is_not_repeated_once_an_item_was_given() -> None:
    driver = Generators(retries=1)
    job = driver.opened()
    driver.yields(job, 0, 1)
    driver.read(job, 0)
    driver.report(job, error=RAISED)

    assert driver.status(job) == "failed"


@pytest.mark.parametrize(("is_given", "status"), [(False, "dispatched"), (True, "lost")])
def test_a_lost_generator_runs_again_while_no_item_was_given(is_given: bool, status: str) -> None:
    driver = Generators(retries=1)
    job = driver.opened()
    driver.yields(job, 0, 1)
    if is_given:
        driver.read(job, 0)
    driver.died()

    assert driver.status(job) == status


def test_whoever_loses_a_generator_is_told_why_it_does_not_run_again() -> None:
    driver = Generators(retries=1)
    job = driver.opened()
    driver.yields(job, 0, 1)
    driver.read(job, 0)
    driver.died()
    outcome = driver.batch(job, 1).outcome

    assert outcome is not None
    assert outcome.error is not None
    assert "items of it had been taken" in outcome.error.message


# --- stops ----------------------------------------------------------------------------------------


def test_a_cancelled_generator_is_asked_before_its_process_is_stopped() -> None:
    driver = Generators()
    job = driver.opened()
    driver.ask(CancelJob(f"jobs:{job}"))

    assert driver.effects == [Interrupt(1, job)]
    assert kinds(driver.pass_s(INTERRUPT_S)) == ["Recall", "DumpStack"]


def test_a_generator_that_stops_when_asked_keeps_its_process() -> None:
    driver = Generators()
    job = driver.opened()
    driver.ask(CancelJob(f"jobs:{job}"))
    driver.yields(job, 0, 1)
    driver.report(job, error=RAISED)
    driver.pass_s(INTERRUPT_S)

    assert driver.status(job) == "cancelled"
    assert list(driver.plane.ledger.executors) == [1]


def test_a_generator_that_takes_too_long_is_stopped_at_once() -> None:
    driver = Generators(timeout_s=2.0)
    driver.opened()

    assert kinds(driver.pass_s(2.0)) == ["Recall", "DumpStack"]


# --- readers that are jobs ------------------------------------------------------------------------


def reader(driver: Generators) -> int:
    """A job of a plain function, which runs in executor 1."""
    other = driver.register("reader")
    job = driver.submit(other)
    driver.loaded()
    return job


def test_a_job_that_waits_for_items_lends_its_place() -> None:
    driver = Generators()
    outer = driver.opened()
    inner = driver.open(driver.inside(outer))
    assert driver.status(inner) == "queued"
    driver.read(inner, 0, driver.inside(outer))

    assert driver.status(inner) == "dispatched"
    assert (driver.job(inner).level, driver.job(outer).parked) == (1, 1)


def test_a_job_whose_items_have_come_goes_on() -> None:
    driver = Generators()
    outer = reader(driver)
    inner = driver.open(driver.inside(outer))
    driver.read(inner, 0, driver.inside(outer))
    driver.loaded(2)
    driver.yields(inner, 0)

    assert driver.job(outer).parked == 0


def test_a_generator_ends_with_the_process_that_has_opened_it() -> None:
    driver = Generators()
    outer = reader(driver)
    inner = driver.open(driver.inside(outer))
    driver.loaded(2)
    driver.died(1)

    assert driver.effects == [Interrupt(2, inner)]
    driver.report(inner, error=RAISED)
    assert driver.status(inner) == "cancelled"
    assert not driver.job(inner).held


def test_a_generator_does_not_end_with_a_process_that_is_done_with_it() -> None:
    driver = Generators()
    outer = reader(driver)
    inner = driver.open(driver.inside(outer))
    driver.loaded(2)
    driver.report(inner)
    driver.batch(inner)
    driver.died(1)

    assert driver.status(inner) == "succeeded"


def test_a_generator_does_not_wait_for_itself() -> None:
    driver = Generators()
    job = driver.opened()

    assert isinstance(driver.answers[driver.read(job, 0, driver.inside(job))], SlotDeadlock)


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [-1, 1, 4])
def test_only_the_end_of_a_chunk_is_a_position(after: int) -> None:
    driver = Generators()
    job = driver.opened()
    driver.yields(job, 0, 3)

    with pytest.raises(UsageError, match="no position"):
        driver.batch(job, after)


def test_what_was_taken_is_gone() -> None:
    driver = Generators()
    job = driver.opened()
    driver.yields(job, 0, 3)
    driver.yields(job, 3, 3)
    driver.read(job, 0)
    driver.read(job, 3)

    with pytest.raises(UsageError, match="no position"):
        driver.batch(job, 0)


def test_one_reader_waits_at_a_time() -> None:
    driver = Generators()
    job = driver.opened()
    driver.read(job)

    with pytest.raises(UsageError, match="already"):
        driver.batch(job)


def test_a_job_with_a_result_has_no_items() -> None:
    driver = Driver()
    job = driver.ran()

    with pytest.raises(UsageError, match="no items"):
        driver.ask(ReadItems(f"jobs:{job}"))


@pytest.mark.parametrize("command", [RunJob, SubmitJob])
def test_a_generator_is_not_asked_for_a_result(command: Any) -> None:
    driver = Generators()

    with pytest.raises(UsageError, match="generator"):
        driver.ask(command(driver.function, Payload(b"")))


def test_a_plain_function_is_not_asked_for_items() -> None:
    driver = Driver()

    with pytest.raises(UsageError, match="not a generator"):
        driver.ask(OpenItems(driver.function, Payload(b"")))


def test_a_full_queue_takes_no_generator() -> None:
    driver = Generators(max_pending_tasks=1)
    driver.opened()
    driver.open()

    with pytest.raises(QueueFull):
        driver.open()
