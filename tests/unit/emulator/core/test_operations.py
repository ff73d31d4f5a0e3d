"""Commands that come twice, because nobody knows whether the first has arrived."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.commands import OpenItems, ReadItems, RunJob, SubmitJob, WaitJob
from apothic_backends.commands.queues import PutItems, TakeItems
from apothic_backends.model.errors import IdempotencyConflict, QueueFull
from apothic_backends.model.payloads import Payload
from apothic_backends.model.queues import joined
from apothic_emulator.core import operations
from apothic_emulator.core.facts import Asked, GivenUp, Produced
from apothic_emulator.core.operations import ForgetOperations
from tests.unit.emulator.core.driving import Driver
from tests.unit.emulator.core.queueing import Queues
from tests.unit.emulator.core.restarting import Restarting

CALL = Payload(b"arguments")


def submit(driver: Driver, operation: str, data: bytes = b"x", **how: Any) -> Any:
    return driver.ask(SubmitJob(driver.function, Payload(data), **how), operation=operation)


def jobs(driver: Driver) -> list[int]:
    return list(driver.plane.ledger.jobs)


def put(queues: Queues, *texts: str, operation: str | None = None) -> Any:
    items = joined([text.encode() for text in texts])
    return queues.ask(PutItems("q", items, len(texts), timeout_s=0.0), operation=operation)


def take(queues: Queues, operation: str) -> int:
    return queues.start(TakeItems("q"), operation=operation)


def test_a_command_that_comes_twice_is_carried_out_once() -> None:
    driver = Driver()

    assert [submit(driver, "a"), submit(driver, "a"), submit(driver, "b")] == [
        "jobs:1",
        "jobs:1",
        "jobs:2",
    ]
    assert jobs(driver) == [1, 2]


def test_both_may_come_in_one_step() -> None:
    driver = Driver()
    command: Any = SubmitJob(driver.function, CALL)

    driver.step(Asked(command, "one", None, "a"), Asked(command, "two", None, "a"))

    assert driver.answers["one"] == driver.answers["two"] == "jobs:1"


def test_an_error_is_an_outcome_too() -> None:
    driver = Driver(max_pending_tasks=1)
    driver.submit_many(2)
    with pytest.raises(QueueFull):
        submit(driver, "a")
    driver.loaded()
    driver.report(1)

    with pytest.raises(QueueFull, match="max_pending_tasks=1 jobs of 'f' wait already") as caught:
        submit(driver, "a")
    assert caught.value.data == {"function": "f", "max_pending_tasks": 1}


def test_another_command_under_the_same_operation_is_a_conflict() -> None:
    driver = Driver()
    submit(driver, "a")

    with pytest.raises(IdempotencyConflict, match="the operation 'a' was another command before"):
        submit(driver, "a", b"y")
    assert jobs(driver) == [1]


def test_another_command_than_the_one_that_waits_is_a_conflict() -> None:
    driver = Driver()
    driver.start(RunJob(driver.function, CALL), operation="a")

    with pytest.raises(IdempotencyConflict):
        submit(driver, "a")


@pytest.mark.parametrize("buffers", [(b"x" * 70_000, b"y"), (b"x" * 70_001,), (b"z" * 70_000,)])
def test_large_buffers_tell_commands_apart(buffers: tuple[bytes, ...]) -> None:
    driver = Driver()
    first = SubmitJob(driver.function, Payload(b"", (b"x" * 70_000,)))
    driver.ask(first, operation="a")

    with pytest.raises(IdempotencyConflict):
        driver.ask(SubmitJob(driver.function, Payload(b"", buffers)), operation="a")


# --- waits ----------------------------------------------------------------------------------------


def test_whoever_repeats_takes_the_place_of_the_one_before() -> None:
    driver = Driver()
    first = driver.start(RunJob(driver.function, CALL), operation="a")
    second = driver.start(RunJob(driver.function, CALL), operation="a")
    driver.loaded()
    driver.report(1)

    assert first not in driver.answers
    assert driver.answers[second].status.value == "succeeded"
    assert jobs(driver) == [1]


def test_the_end_of_the_first_connection_does_not_concern_whoever_has_its_place() -> None:
    driver = Driver()
    first = driver.start(RunJob(driver.function, CALL), operation="a")
    second = driver.start(RunJob(driver.function, CALL), operation="a")

    driver.step(GivenUp(first, died=True))
    driver.loaded()
    driver.report(1)

    assert driver.answers[second].status.value == "succeeded"


def test_a_place_in_the_line_for_room_is_kept() -> None:
    driver = Driver(max_pending_tasks=1)
    driver.submit_many(2)
    first, other, again = (
        driver.start(SubmitJob(driver.function, CALL, wait_for_room=True), operation=operation)
        for operation in ("a", "b", "a")
    )
    driver.loaded()
    driver.report(1)

    assert (driver.answers[again], driver.answers[other]) == ("jobs:3", "jobs:4")
    assert first not in driver.answers


def test_a_place_in_the_line_for_items_is_kept() -> None:
    queues = Queues()
    first, other, again = (take(queues, operation) for operation in ("a", "b", "a"))

    put(queues, "x")

    assert queues.answers[again].count == 1
    assert first not in queues.answers
    assert other not in queues.answers


def test_what_was_given_up_is_carried_out_anew() -> None:
    queues = Queues()
    queues.step(GivenUp(take(queues, "a")))
    put(queues, "x")

    assert queues.answers[take(queues, "a")].count == 1


def test_a_reply_that_reached_nobody_is_forgotten_if_it_went_back() -> None:
    queues = Queues()
    first = take(queues, "a")
    put(queues, "x")

    queues.step(GivenUp(first, queues.answers[first]))

    assert queues.plane.operations.answers == {}
    assert queues.answers[take(queues, "b")].count == 1


@pytest.mark.parametrize("which", [0, 1])
def test_a_reply_that_was_repeated_does_not_go_back(which: int) -> None:
    queues = Queues()
    put(queues, "x")
    token = (take(queues, "a"), take(queues, "a"))[which]

    queues.step(GivenUp(token, queues.answers[token]))

    assert take(queues, "b") not in queues.answers
    assert queues.answers[take(queues, "a")].count == 1


def test_a_reply_that_nobody_wants_and_that_has_come_stays() -> None:
    queues = Queues()
    put(queues, "x")
    token = take(queues, "a")
    take(queues, "b")

    queues.step(GivenUp(token))

    assert queues.answers[take(queues, "a")].count == 1


def test_a_reply_that_could_go_back_is_forgotten_too() -> None:
    queues = Queues()
    put(queues, "x")
    take(queues, "a")

    queues.ask(ForgetOperations(("a",)))

    assert queues.plane.operations.answers == {}


def test_a_reply_that_cannot_go_back_stays() -> None:
    driver = Driver()
    token = driver.start(SubmitJob(driver.function, CALL), operation="a")
    driver.start(RunJob(driver.function, CALL), operation="b")

    driver.step(GivenUp(token, "jobs:1"))

    assert driver.ask(SubmitJob(driver.function, CALL), operation="a") == "jobs:1"


@pytest.mark.parametrize(("owned", "status"), [(True, "cancelled"), (False, "queued")])
def test_a_job_goes_with_whoever_it_belonged_to(owned: bool, status: str) -> None:
    driver = Driver(max_containers=1)
    driver.submit_many(2)
    token = driver.start(WaitJob("jobs:2", owned=owned))

    driver.step(GivenUp(token, died=True))

    assert driver.status(2) == status


# --- bounds ---------------------------------------------------------------------------------------


def test_an_outcome_that_has_come_is_forgotten() -> None:
    driver = Restarting()
    submit(driver, "a")
    submit(driver, "b")

    driver.ask(ForgetOperations(("a", "never heard of")))

    assert list(driver.plane.operations.answers) == ["b"]
    assert [key for key in driver.records if key.startswith("operation")] == ["operation/2"]


def test_the_oldest_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "MOST_ANSWERS", 2)
    driver = Driver()
    for operation in "abc":
        submit(driver, operation)

    assert list(driver.plane.operations.answers) == ["b", "c"]


def test_the_oldest_are_forgotten_when_they_are_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "MOST_BYTES", 10)
    driver = Driver()
    for operation in "abc":
        submit(driver, operation)

    assert list(driver.plane.operations.answers) == ["c"]


def test_an_outcome_is_known_for_a_day() -> None:
    driver = Driver()
    submit(driver, "a")
    driver.now += operations.KEPT_S
    submit(driver, "b")
    assert "a" in driver.plane.operations.answers
    driver.now += 1.0

    submit(driver, "c")

    assert list(driver.plane.operations.answers) == ["b", "c"]


# --- restarts -------------------------------------------------------------------------------------


def test_an_outcome_outlives_the_control_plane() -> None:
    driver = Restarting()
    submit(driver, "a")
    driver.restart()

    assert submit(driver, "a") == "jobs:1"
    with pytest.raises(IdempotencyConflict):
        submit(driver, "a", b"y")
    assert jobs(driver) == [1]


def test_a_wait_does_not_outlive_the_control_plane() -> None:
    driver = Restarting(max_pending_tasks=1)
    driver.submit_many(2)
    driver.start(SubmitJob(driver.function, CALL, wait_for_room=True), operation="a")
    driver.restart()

    token = driver.start(SubmitJob(driver.function, CALL, wait_for_room=True), operation="a")

    assert token in driver.answers or token in driver.plane.ledger.waits


def test_outcomes_after_a_restart_do_not_take_the_place_of_those_before() -> None:
    driver = Restarting()
    submit(driver, "a")
    driver.restart()
    submit(driver, "b")
    driver.restart()

    assert list(driver.plane.operations.answers) == ["a", "b"]


def test_items_that_were_read_are_remembered_for_as_long_as_the_job_could_be() -> None:
    driver = Restarting()
    generator = driver.register("g", is_generator=True)
    job = driver.ask(OpenItems(generator, CALL), operation="a")
    driver.ask(ForgetOperations(("a",)))
    driver.loaded()
    driver.step(Produced(1, 1, 1, 0, 1, Payload(b"item")))

    first = driver.ask(ReadItems(job), operation="b")
    assert driver.ask(ReadItems(job), operation="b") == first
    assert not [key for key in driver.records if key.startswith("operation")]
    driver.ask(ForgetOperations(("b",)))
