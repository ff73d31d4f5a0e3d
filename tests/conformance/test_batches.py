"""What every backend does with functions that take their inputs in batches."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.commands import CancelJob
from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.functions import BatchPolicy, RetryPolicy
from apothic_backends.model.jobs import JobOutcome, JobStatus
from tests.conformance.client import Client, Gate, value_of

AT_ONCE = RetryPolicy(max_retries=1, initial_delay_s=0.0)
LONG_S = 60.0
"""A wait that only ends a test when something is wrong: batches here go when they are full."""


def sizes(values: list[int]) -> list[int]:
    return [len(values)] * len(values)


async def run_all(client: Client, function_id: str, *inputs: Any) -> list[JobOutcome]:
    """Queue a call for each, and see how all end."""
    jobs = [await client.submit(function_id, one) for one in inputs]
    return [await client.wait(job) for job in jobs]


def code_of(outcome: JobOutcome) -> str:
    return outcome.error.code if outcome.error is not None else ""


async def test_a_full_batch_is_one_call(client: Client) -> None:
    f = await client.register(sizes, batch=BatchPolicy(3, LONG_S))

    assert [value_of(o) for o in await run_all(client, f, 1, 2, 3)] == [3, 3, 3]


async def test_a_batch_that_is_not_full_goes_when_its_first_input_has_waited(
    client: Client,
) -> None:
    f = await client.register(sizes, batch=BatchPolicy(3, 0.05))

    assert [value_of(o) for o in await run_all(client, f, 1, 2)] == [2, 2]


async def test_parameters_become_lists(client: Client) -> None:
    def add(a: list[int], b: list[int]) -> list[int]:
        return [x + y for x, y in zip(a, b, strict=True)]

    f = await client.register(add, batch=BatchPolicy(2, LONG_S))
    jobs = [await client.submit(f, 1, 10), await client.submit(f, 2, 20)]

    assert [value_of(await client.wait(job)) for job in jobs] == [11, 22]


async def test_an_async_function_takes_batches(client: Client) -> None:
    async def double(values: list[int]) -> list[int]:
        return [value * 2 for value in values]

    f = await client.register(double, is_async=True, batch=BatchPolicy(2, LONG_S))

    assert [value_of(o) for o in await run_all(client, f, 1, 2)] == [2, 4]


async def test_arguments_that_do_not_fit_fail_their_input_alone(client: Client) -> None:
    f = await client.register(sizes, batch=BatchPolicy(2, LONG_S))
    bad = await client.submit(f, 1, 2)
    good = await client.submit(f, 1)

    assert value_of(await client.wait(good)) == 1
    outcome = await client.wait(bad)
    assert outcome.error is not None
    assert outcome.error.type_name == "TypeError"
    assert "sizes() takes 1 positional argument but 2 were given" in outcome.error.message


async def test_an_exception_among_the_results_fails_its_input_alone(client: Client) -> None:
    def careful(values: list[int]) -> list[Any]:
        return [ValueError("odd") if value % 2 else value for value in values]

    f = await client.register(careful, batch=BatchPolicy(2, LONG_S))
    even, odd = await run_all(client, f, 2, 3)

    assert value_of(even) == 2
    assert odd.error is not None
    assert (odd.error.type_name, odd.error.message) == ("ValueError", "odd")


@pytest.mark.parametrize("is_async", [True, False])
async def test_when_the_call_raises_only_the_guilty_fail_without_any_retries(
    client: Client, is_async: bool
) -> None:
    def strict(values: list[int]) -> list[int]:
        if 0 in values:
            raise ZeroDivisionError("zero")
        return values

    async def async_strict(values: list[int]) -> list[int]:
        if 0 in values:
            raise ZeroDivisionError("zero")
        return values

    f = await client.register(
        async_strict if is_async else strict, is_async=is_async, batch=BatchPolicy(3, LONG_S)
    )
    first, zero, last = await run_all(client, f, 1, 0, 2)

    assert (value_of(first), value_of(last)) == (1, 2)
    assert zero.error is not None
    assert zero.error.type_name == "ZeroDivisionError"


@pytest.mark.needs("lines")
@pytest.mark.parametrize("result", [None, "ab", [1], {1: 2}])
async def test_results_that_do_not_fit_are_a_mismatch_and_not_tried_again(
    client: Client, result: Any
) -> None:
    f = await client.register(lambda _: result, batch=BatchPolicy(2, LONG_S), retries=AT_ONCE)
    jobs = [await client.submit(f, n) for n in range(2)]

    assert [code_of(await client.wait(job)) for job in jobs] == ["batch_mismatch"] * 2
    assert (await client.look(jobs[0])).attempt == 1


@pytest.mark.needs("processes")
async def test_a_killed_process_takes_only_the_poison_with_it(client: Client) -> None:
    def die_at_zero(values: list[int]) -> list[int]:
        import os
        import signal

        if 0 in values:
            os.kill(os.getpid(), signal.SIGKILL)
        return values

    f = await client.register(die_at_zero, batch=BatchPolicy(3, LONG_S), retries=AT_ONCE)
    first, zero, last = await run_all(client, f, 1, 0, 2)

    assert (value_of(first), value_of(last)) == (1, 2)
    assert zero.error is not None
    assert zero.error.data["reason"] == "poison"


@pytest.mark.needs("processes")
async def test_without_retries_a_killed_process_loses_its_batch(client: Client) -> None:
    def die(_values: list[int]) -> list[int]:
        import os

        os._exit(3)

    f = await client.register(die, batch=BatchPolicy(2, LONG_S))

    assert [o.status for o in await run_all(client, f, 1, 2)] == [JobStatus.LOST] * 2


def hang(values: list[int]) -> list[int]:
    import threading

    threading.Event().wait()
    return values


async def test_a_queued_input_is_cancelled_at_once(client: Client) -> None:
    f = await client.register(hang, batch=BatchPolicy(2, LONG_S))
    job = await client.submit(f, 1)

    assert (await client.backend.start(CancelJob(job))).status is JobStatus.CANCELLED


async def test_a_cancelled_input_ends_with_its_batch(client: Client, gate: Gate) -> None:
    wait = gate.wait

    def held_up(values: list[int]) -> list[int]:
        wait()
        return values

    f = await client.register(held_up, batch=BatchPolicy(2, LONG_S))
    jobs = [await client.submit(f, n) for n in range(2)]
    await client.until_running(jobs[1])

    await client.backend.start(CancelJob(jobs[0]))
    gate.let_go()

    assert (await client.wait(jobs[0])).status is JobStatus.CANCELLED
    assert value_of(await client.wait(jobs[1])) == 1


@pytest.mark.needs("stopping")
async def test_a_batch_of_which_all_is_cancelled_is_stopped(client: Client) -> None:
    f = await client.register(hang, batch=BatchPolicy(2, LONG_S))
    jobs = [await client.submit(f, n) for n in range(2)]
    await client.until_running(jobs[1])

    for job in jobs:
        await client.backend.start(CancelJob(job))

    assert [(await client.wait(job)).status for job in jobs] == [JobStatus.CANCELLED] * 2


@pytest.mark.needs("stopping")
async def test_a_batch_that_takes_too_long_is_stopped(client: Client) -> None:
    f = await client.register(hang, batch=BatchPolicy(2, LONG_S), timeout_s=0.2)

    assert [o.status for o in await run_all(client, f, 1, 2)] == [JobStatus.TIMED_OUT] * 2


@pytest.mark.parametrize("is_async", [True, False])
async def test_several_batches_run_at_once_where_an_executor_has_places(
    client: Client, is_async: bool
) -> None:
    def meet(values: list[int]) -> list[int]:
        import os
        import sys
        import threading

        sys.__dict__.setdefault("_batches_meeting", threading.Barrier(2)).wait(10)
        return [os.getpid()] * len(values)

    async def async_meet(values: list[int]) -> list[int]:
        import asyncio
        import os
        import sys

        arrived = sys.__dict__.setdefault("_batches_arrived", [])
        arrived.append(1)
        while len(arrived) < 2:
            await asyncio.sleep(0)
        return [os.getpid()] * len(values)

    f = await client.register(
        async_meet if is_async else meet,
        is_async=is_async,
        batch=BatchPolicy(2, LONG_S),
        concurrent_requests=2,
    )

    assert len({value_of(o) for o in await run_all(client, f, 1, 2, 3, 4)}) == 1


@pytest.mark.needs("stopping")
@pytest.mark.parametrize("is_async", [True, False])
async def test_one_of_several_batches_is_stopped_by_itself(client: Client, is_async: bool) -> None:
    def wait_or_go(values: list[int]) -> list[int]:
        import os
        import time

        while 0 in values:
            time.sleep(0.01)
        return [os.getpid()] * len(values)

    async def async_wait_or_go(values: list[int]) -> list[int]:
        import asyncio
        import os

        while 0 in values:
            await asyncio.sleep(0.01)
        return [os.getpid()] * len(values)

    f = await client.register(
        async_wait_or_go if is_async else wait_or_go,
        is_async=is_async,
        batch=BatchPolicy(2, LONG_S),
        concurrent_requests=2,
    )
    waiting = [await client.submit(f, 0) for _ in range(2)]
    await client.until_running(waiting[1])
    before = [value_of(o) for o in await run_all(client, f, 1, 2)]
    for job in waiting:
        await client.backend.start(CancelJob(job))

    assert [(await client.wait(job)).status for job in waiting] == [JobStatus.CANCELLED] * 2
    assert [value_of(o) for o in await run_all(client, f, 1, 2)] == before


async def test_large_inputs_travel_in_one_batch(client: Client) -> None:
    def lengths(values: list[bytes]) -> list[int]:
        return [len(value) for value in values]

    f = await client.register(lengths, batch=BatchPolicy(3, LONG_S))
    outcomes = await run_all(client, f, b"a" * 100_000, b"b", b"c" * 3_000_000)

    assert [value_of(o) for o in outcomes] == [100_000, 1, 3_000_000]


async def test_large_results_come_back_job_by_job(client: Client) -> None:
    def repeat(values: list[int]) -> list[bytes]:
        return [b"a" * value for value in values]

    f = await client.register(repeat, batch=BatchPolicy(3, LONG_S))
    outcomes = await run_all(client, f, 1, 300_000, 2)

    assert [len(value_of(o)) for o in outcomes] == [1, 300_000, 2]


async def test_a_thousand_inputs_make_one_batch(client: Client) -> None:
    f = await client.register(sizes, batch=BatchPolicy(1000, LONG_S), max_pending_tasks=1000)

    outcomes = await run_all(client, f, *range(1000))

    assert {value_of(o) for o in outcomes} == {1000}


async def test_what_a_batch_prints_is_told_of_its_first_input(client: Client) -> None:
    from apothic_backends.commands import GetJobLogs

    def talk(values: list[int]) -> list[int]:
        print("for", len(values))
        return values

    f = await client.register(talk, batch=BatchPolicy(2, LONG_S))
    jobs = [await client.submit(f, n) for n in range(2)]
    for job in jobs:
        await client.wait(job)

    logs = [(await client.backend.start(GetJobLogs(job))).stdout for job in jobs]
    assert logs == ["for 2\n", ""]


async def test_a_policy_out_of_range_is_refused(client: Client) -> None:
    with pytest.raises(InvalidOption):
        await client.register(sizes, batch=BatchPolicy(1001))
