"""Idempotency keys."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from apothic import App, BlockingCall, IdempotencyConflict, InvalidOption, RemoteFunction
from apothic_backends.commands import ReleaseJob, SubmitJob
from tests.unit.apothic.threads import ThreadBackend

app = App("keys")


@app.function
def charge(order: str, amount: int = 1, *, key: str = "") -> str:
    return f"{order} {amount} {key}"


@app.function
def of_anything(thing: object) -> object:
    return thing


class Incomparable:
    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        raise ValueError("as arrays do")

    __hash__ = None  # type: ignore[assignment]


def test_the_same_call_under_a_key_is_one_job(backend: ThreadBackend) -> None:
    first = charge.with_key("order-17").spawn("17", amount=3)
    again = charge.with_key("order-17").spawn("17", amount=3)

    assert first == again
    assert first.wait() == again.wait() == "17 3 "
    assert len(backend.jobs) == 1


def test_another_key_is_another_job(backend: ThreadBackend) -> None:
    assert charge.with_key("a").spawn("17") != charge.with_key("b").spawn("17")
    assert charge.spawn("17") != charge.spawn("17")


def test_other_arguments_under_a_key_are_refused(backend: ThreadBackend) -> None:
    job = charge.with_key("order-17").spawn("17")

    with pytest.raises(IdempotencyConflict) as caught:
        charge.with_key("order-17").spawn("18")
    assert caught.value.data["job_id"] == job.job_id


def test_arguments_are_the_same_when_they_are_equal(backend: ThreadBackend) -> None:
    shared, name = "text", "te"
    first = of_anything.with_key("k").spawn([shared, shared])

    assert of_anything.with_key("k").spawn([shared, name + "xt"]) == first


def test_arguments_that_cannot_be_compared_are_not_the_same(backend: ThreadBackend) -> None:
    of_anything.with_key("k").spawn(Incomparable(1))

    with pytest.raises(IdempotencyConflict):
        of_anything.with_key("k").spawn(Incomparable(2))


def test_a_parameter_called_key_is_the_functions_own(backend: ThreadBackend) -> None:
    assert charge.with_key("order-17").spawn("17", key="mine").wait() == "17 1 mine"


def test_a_result_under_a_key_is_not_dropped_with_a_handle(backend: ThreadBackend) -> None:
    charge.with_key("order-17").spawn("17")
    gc.collect()

    assert backend.seen(ReleaseJob) == []
    assert charge.with_key("order-17").spawn("17").wait() == "17 1 "


def test_a_function_by_its_name_takes_keys_as_well(backend: ThreadBackend) -> None:
    named = RemoteFunction.from_name("keys", "charge")

    assert named.with_key("k").spawn("17") == charge.with_key("k").spawn("17")


@pytest.mark.parametrize("key", ["", "x" * 201, 17, None])
def test_a_key_is_a_short_string(key: Any) -> None:
    with pytest.raises(InvalidOption, match="a string of 1 to 200 characters"):
        charge.with_key(key)


def test_a_key_is_not_shown() -> None:
    assert "order-17" not in repr(charge.with_key("order-17"))


async def test_both_awaited_spellings_take_keys(backend: ThreadBackend) -> None:
    job = await charge.with_key("k").spawn.aio("17")

    assert await charge.with_key("k").aio.spawn("17") == job
    assert [command.key for command in backend.seen(SubmitJob)] == ["k", "k"]
    with pytest.raises(BlockingCall, match=r"charge\.with_key\(\.\.\.\)\.spawn\.aio"):
        charge.with_key("k").spawn("17")
