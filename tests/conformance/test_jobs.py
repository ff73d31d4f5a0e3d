"""What every backend does with jobs."""

from __future__ import annotations

import pickle
from contextlib import suppress

import pytest

from apothic_backends.commands import (
    CancelJob,
    GetJobLogs,
    HoldJob,
    KeepJob,
    RegisterFunction,
    ReleaseJob,
    RunJob,
    SubmitJob,
    WaitJob,
)
from apothic_backends.model.errors import (
    IdempotencyConflict,
    JobGone,
    NotFound,
    QueueFull,
    TicketCancelled,
    UsageError,
    WaitTimeout,
)
from apothic_backends.model.functions import FunctionSpec, RetryPolicy
from apothic_backends.model.jobs import JobStatus
from apothic_backends.model.payloads import Payload
from tests.conformance.client import Client, Gate, arguments, value_of

AT_ONCE = RetryPolicy(max_retries=1, initial_delay_s=0.0)


def add(a: int, b: int) -> int:
    return a + b


def fail() -> None:
    raise KeyError("missing")


def hang() -> None:
    import threading

    threading.Event().wait()


def die() -> None:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


async def test_a_call_gives_its_result(client: Client) -> None:
    f = await client.register(add)

    assert value_of(await client.run(f, 2, 3)) == 5


async def test_ids_are_the_table_and_a_number(client: Client) -> None:
    f = await client.register(add)

    assert f == "functions:1"
    assert await client.submit(f, 1, 2) == "jobs:1"
    assert await client.submit(f, 1, 2) == "jobs:2"


async def test_a_result_can_be_waited_for_again(client: Client) -> None:
    job = await client.submit(await client.register(add), 1, 2)

    assert [value_of(await client.wait(job)) for _ in range(2)] == [3, 3]


async def test_the_last_wait_takes_the_result_along(client: Client) -> None:
    job = await client.submit(await client.register(add), 1, 2)
    await client.wait(job, last=True)

    with pytest.raises(JobGone):
        await client.wait(job)
    assert (await client.look(job)).status is JobStatus.SUCCEEDED


async def test_a_released_job_runs_to_its_end_and_drops_its_result(client: Client) -> None:
    job = await client.submit(await client.register(add), 1, 2)
    await client.backend.start(ReleaseJob(job))
    await client.events_until(job, await client.beginning(), lambda e: e.event == "job.end")

    with pytest.raises(JobGone):
        await client.wait(job)


@pytest.mark.parametrize("job_id", ["jobs:999", "jobs:0"])
async def test_an_unknown_job_is_not_found(client: Client, job_id: str) -> None:
    with pytest.raises(NotFound):
        await client.wait(job_id)


@pytest.mark.parametrize("job_id", ["", "jobs", "jobs:x", "functions:1", "jobs:-1", "jobs:1:2"])
async def test_what_is_no_job_id_is_a_usage_error(client: Client, job_id: str) -> None:
    with pytest.raises(UsageError):
        await client.wait(job_id)


async def test_an_unknown_function_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound):
        await client.run("functions:7")


async def test_a_failure_tells_type_message_and_traceback(client: Client) -> None:
    outcome = await client.run(await client.register(fail))

    assert outcome.status is JobStatus.FAILED
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.type_name) == ("user_error", "KeyError")
    assert outcome.error.traceback.rstrip().endswith("KeyError: 'missing'")
    assert outcome.error.exception is not None
    assert repr(pickle.loads(outcome.error.exception.data)) == "KeyError('missing')"


@pytest.mark.needs("lines")
async def test_a_failed_attempt_is_tried_again_while_retries_last(client: Client) -> None:
    job = await client.submit(await client.register(fail, retries=AT_ONCE))

    assert (await client.wait(job)).status is JobStatus.FAILED
    assert (await client.look(job)).attempt == 2


@pytest.mark.needs("lines")
async def test_a_failure_that_is_final_is_not_tried_again(client: Client) -> None:
    def give_up() -> None:
        from apothic_backends.model.errors import NonRetryable

        raise NonRetryable("no use")

    job = await client.submit(await client.register(give_up, retries=AT_ONCE))

    outcome = await client.wait(job)
    assert outcome.error is not None
    assert outcome.error.is_final
    assert (await client.look(job)).attempt == 1


@pytest.mark.needs("processes")
async def test_a_job_without_retries_whose_process_dies_is_lost(client: Client) -> None:
    outcome = await client.run(await client.register(die))

    assert outcome.status is JobStatus.LOST
    assert outcome.error is not None
    assert outcome.error.data["maybe_ran"] is True
    assert outcome.error.data["signal"] == 9


@pytest.mark.needs("processes")
async def test_a_job_that_kills_every_process_is_given_up(client: Client) -> None:
    outcome = await client.run(await client.register(die, retries=AT_ONCE))

    assert outcome.status is JobStatus.LOST
    assert outcome.error is not None
    assert outcome.error.data["reason"] == "poison"


@pytest.mark.needs("stopping")
async def test_a_job_that_takes_too_long_is_stopped_and_says_where_it_was(client: Client) -> None:
    outcome = await client.run(await client.register(hang, timeout_s=0.2))

    assert outcome.status is JobStatus.TIMED_OUT
    assert outcome.error is not None
    assert outcome.error.code == "job_timeout"
    assert "in hang" in outcome.error.traceback


async def test_the_clock_of_a_job_that_is_held_stands(client: Client) -> None:
    def look_around() -> list[bool]:
        import time

        from apothic import current_job
        from apothic_backends.commands import HoldJob
        from apothic_backends.connection import connect

        me = current_job()
        assert me is not None
        held = connect().start(HoldJob(me.job_id, held=True)).wait()
        time.sleep(0.5)  # longer than timeout_s: that this passes unpunished is the point
        return [held, connect().start(HoldJob(me.job_id, held=False)).wait()]

    f = await client.register(look_around, timeout_s=0.3)

    assert value_of(await client.run(f)) == [True, False]


@pytest.mark.parametrize("held", [True, False])
async def test_a_job_that_has_ended_cannot_be_held(client: Client, held: bool) -> None:
    job = await client.submit(await client.register(add), 1, 2)
    await client.wait(job)

    assert await client.backend.start(HoldJob(job, held)) is False


async def test_a_queued_job_is_cancelled_at_once(client: Client) -> None:
    f = await client.register(hang)
    await client.submit(f)
    queued = await client.submit(f)

    assert (await client.backend.start(CancelJob(queued))).status is JobStatus.CANCELLED


@pytest.mark.needs("stopping")
async def test_a_running_job_is_stopped_when_it_is_cancelled(client: Client) -> None:
    job = await client.submit(await client.register(hang))
    await client.until_running(job)

    assert (await client.backend.start(CancelJob(job))).cancel_requested
    assert (await client.wait(job)).status is JobStatus.CANCELLED


async def test_cancelling_a_job_that_has_ended_changes_nothing(client: Client) -> None:
    job = await client.submit(await client.register(add), 1, 2)
    await client.wait(job)

    assert (await client.backend.start(CancelJob(job))).status is JobStatus.SUCCEEDED


@pytest.mark.needs("stopping")
async def test_a_full_queue_refuses_and_keeps_what_it_has(client: Client) -> None:
    f = await client.register(hang, max_pending_tasks=1)
    running = await client.submit(f)
    await client.until_running(running)
    queued = await client.submit(f)

    with pytest.raises(QueueFull):
        await client.submit(f)
    assert (await client.look(queued)).status is JobStatus.QUEUED


@pytest.mark.needs("stopping")
async def test_a_submission_that_waits_for_room_is_answered_when_there_is_some(
    client: Client,
) -> None:
    f = await client.register(hang, max_pending_tasks=1)
    await client.until_running(await client.submit(f))
    queued = await client.submit(f)
    waiting = client.backend.start(SubmitJob(f, arguments(), wait_for_room=True))
    assert not waiting.done

    await client.backend.start(CancelJob(queued))

    assert await waiting == "jobs:3"


@pytest.mark.needs("stopping")
async def test_a_run_that_waits_for_room_is_answered_with_its_end(client: Client) -> None:
    hanging = await client.register(hang, max_pending_tasks=1)
    await client.until_running(await client.submit(hanging))
    queued = await client.submit(hanging)
    run = client.backend.start(RunJob(hanging, arguments(), wait_for_room=True))
    assert not run.done
    assert run.job_id is None

    await client.backend.start(CancelJob(queued))
    assert await client.job_of(run) == "jobs:3"
    await client.backend.start(CancelJob("jobs:3"))

    assert (await run).status is JobStatus.CANCELLED


@pytest.mark.needs("stopping")
async def test_a_run_that_is_given_up_while_it_waits_for_room_leaves_no_job(client: Client) -> None:
    f = await client.register(hang, max_pending_tasks=1)
    await client.until_running(await client.submit(f))
    queued = await client.submit(f)
    client.backend.start(RunJob(f, arguments(), wait_for_room=True)).cancel()
    await client.backend.start(CancelJob(queued))
    after = int((await client.submit(f))[5:])

    assert after == 3 or client.is_cut_off
    for number in range(3, after):  # let in before a cut connection could say otherwise
        with suppress(JobGone):
            assert (await client.wait(f"jobs:{number}")).status is JobStatus.CANCELLED


@pytest.mark.needs("stopping")
async def test_a_run_without_room_is_refused(client: Client) -> None:
    f = await client.register(hang, max_pending_tasks=1)
    await client.until_running(await client.submit(f))
    await client.submit(f)

    with pytest.raises(QueueFull):
        await client.run(f)


async def test_a_job_that_is_kept_has_its_result_for_others(client: Client, gate: Gate) -> None:
    wait = gate.wait

    def held_up() -> str:
        wait()
        return "done"

    run = client.backend.start(RunJob(await client.register(held_up), arguments()))
    job_id = await client.job_of(run)
    await client.backend.start(KeepJob(job_id))
    gate.let_go()
    await run

    assert value_of(await client.wait(job_id)) == "done"


async def test_keeping_a_job_that_never_was_is_refused(client: Client) -> None:
    with pytest.raises(NotFound):
        await client.backend.start(KeepJob("jobs:9"))


async def test_a_key_stands_for_one_job(client: Client) -> None:
    f = await client.register(add)
    first = await client.submit(f, 1, 2, key="order-17")
    await client.wait(first)

    assert await client.submit(f, 1, 2, key="order-17") == first
    assert await client.submit(f, 1, 2, key="order-18") != first
    with pytest.raises(IdempotencyConflict):
        await client.submit(f, 2, 2, key="order-17")


@pytest.mark.needs("descriptors")
async def test_text_is_complete_when_the_job_has_ended(client: Client) -> None:
    def talk() -> None:
        import os
        import sys

        print("from python")
        print("an error", file=sys.stderr)
        os.write(1, b"from below\n")

    job = await client.submit(await client.register(talk))
    await client.wait(job)

    logs = await client.backend.start(GetJobLogs(job))
    assert (logs.stdout, logs.stderr) == ("from python\nfrom below\n", "an error\n")


async def test_large_buffers_travel_beside_the_pickle(client: Client) -> None:
    def double(data: bytearray) -> int:
        return len(data) * 2

    payload: list[memoryview] = []
    pickled = pickle.PickleBuffer(bytearray(1 << 20))
    data = pickle.dumps(((pickled,), {}), 5, buffer_callback=lambda b: payload.append(b.raw()))
    f = await client.register(double)

    outcome = await client.backend.start(RunJob(f, Payload(data, tuple(payload))))

    assert value_of(outcome) == 2 << 20


@pytest.mark.needs("stopping")
async def test_a_reply_that_is_given_up_takes_the_job_with_it(client: Client) -> None:
    ticket = client.backend.start(RunJob(await client.register(hang), arguments()))
    job_id = await client.job_of(ticket)

    ticket.cancel()

    with pytest.raises(TicketCancelled):
        await ticket
    await client.events_until(job_id, await client.beginning(), lambda e: e.event == "job.end")
    assert (await client.look(job_id)).status is JobStatus.CANCELLED


@pytest.mark.needs("stopping")
async def test_a_wait_that_is_given_up_leaves_the_job_alone(client: Client) -> None:
    job = await client.submit(await client.register(hang))
    await client.until_running(job)
    client.backend.start(WaitJob(job)).cancel()

    assert (await client.look(job)).status is JobStatus.RUNNING


@pytest.mark.needs("stopping")
def test_a_thread_that_stops_waiting_can_wait_again(client: Client) -> None:
    def register_and_submit() -> str:
        from anyio import run

        async def both() -> str:
            return await client.submit(await client.register(hang))

        return run(both)

    ticket = client.backend.start(WaitJob(register_and_submit()))

    for _ in range(2):
        with pytest.raises(WaitTimeout):
            ticket.wait(0.01)


async def test_a_call_may_take_months(client: Client) -> None:
    function = await client.register(add, timeout_s=90 * 86_400.0)

    assert value_of(await client.run(function, 1, 2)) == 3
    assert value_of(await client.run(function, 3, 4)) == 7


@pytest.mark.parametrize("timeout_s", [90 * 86_400.0, float("inf")])
def test_a_thread_may_wait_for_months(client: Client, timeout_s: float) -> None:
    spec = FunctionSpec("conformance", "add")
    code = Payload(b"operator:add", codec="ref")
    function = client.backend.start(RegisterFunction(spec, code)).wait()

    outcome = client.backend.start(RunJob(function, arguments(1, 2))).wait(timeout_s)

    assert value_of(outcome) == 3


async def test_async_functions_share_one_loop(client: Client) -> None:
    async def which_loop() -> int:
        import asyncio

        return id(asyncio.get_running_loop())

    f = await client.register(which_loop, is_async=True)

    assert value_of(await client.run(f)) == value_of(await client.run(f))


async def test_as_many_calls_run_at_once_as_an_executor_has_slots(client: Client) -> None:
    def meet() -> int:
        import os
        import sys
        import threading

        shared = sys.__dict__.setdefault("_meeting", threading.Barrier(3))
        shared.wait(10)
        return os.getpid()

    f = await client.register(meet, concurrent_requests=3)
    jobs = [await client.submit(f) for _ in range(3)]

    assert len({value_of(await client.wait(job)) for job in jobs}) == 1


async def test_async_calls_run_at_once_on_one_loop(client: Client) -> None:
    async def meet() -> int:
        import asyncio
        import os
        import sys

        arrived = sys.__dict__.setdefault("_arrived", [])
        arrived.append(1)
        while len(arrived) < 3:
            await asyncio.sleep(0)
        return os.getpid()

    f = await client.register(meet, is_async=True, concurrent_requests=3)
    jobs = [await client.submit(f) for _ in range(3)]

    assert len({value_of(await client.wait(job)) for job in jobs}) == 1


@pytest.mark.needs("processes", "lines")
async def test_calls_above_the_target_run_in_another_executor_if_one_may_start(
    client: Client, gate: Gate
) -> None:
    wait = gate.wait

    def held_up() -> tuple[str, int]:
        import os

        wait()
        return os.uname().nodename, os.getpid()

    f = await client.register(held_up, concurrent_requests=2, target_requests=1, max_containers=2)
    jobs = [await client.submit(f) for _ in range(2)]
    for job in jobs:
        await client.until_running(job)
    gate.let_go(2)

    assert len({value_of(await client.wait(job)) for job in jobs}) == 2


@pytest.mark.needs("lines")
async def test_calls_go_above_the_target_if_no_other_executor_may_start(client: Client) -> None:
    def meet() -> int:
        import os
        import sys
        import threading

        shared = sys.__dict__.setdefault("_meeting", threading.Barrier(3))
        shared.wait(10)
        return os.getpid()

    f = await client.register(meet, concurrent_requests=3, target_requests=1)
    jobs = [await client.submit(f) for _ in range(3)]

    assert len({value_of(await client.wait(job)) for job in jobs}) == 1
