"""What every backend must do about functions that run by themselves."""

from __future__ import annotations

from datetime import UTC, datetime

import cloudpickle
import pytest

from apothic_backends.commands import (
    ListSchedules,
    RegisterFunction,
    StartSchedule,
    StopSchedule,
    TriggerSchedule,
)
from apothic_backends.connection import connect
from apothic_backends.model.errors import InvalidOption, NotFound
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import EMPTY_CALL, Payload
from apothic_backends.model.schedules import CronSchedule, PeriodSchedule
from tests.conformance.client import Client, value_of

SECOND = PeriodSchedule(seconds=1.0)
NIGHTLY = CronSchedule("Europe/Berlin", expression="30 2 * * *")


def answer() -> int:
    return 42


def test_a_call_without_arguments_is_their_pickle() -> None:
    assert cloudpickle.loads(EMPTY_CALL.data) == ((), {})


async def test_a_function_runs_by_itself(client: Client) -> None:
    f = await client.register(answer)
    snapshot = await client.backend.start(StartSchedule(f, SECOND))
    told = await client.events_until(
        "apps:conformance", await client.beginning(), lambda e: e.event == "schedule.fired"
    )
    await client.backend.start(StopSchedule(f))
    queued = await client.events_until(
        told[-1].data["job_id"], await client.beginning(), lambda e: e.event == "job.end"
    )

    assert told[-1].data["scheduled_at"] == snapshot.next_at
    assert queued[0].data["scheduled_at"] == snapshot.next_at
    assert queued[-1].data["status"] == "succeeded"


async def test_a_schedule_says_when_it_is_due(client: Client) -> None:
    f = await client.register(answer)
    started = await client.backend.start(StartSchedule(f, NIGHTLY))
    listed = await client.backend.start(ListSchedules())
    assert started.next_at is not None
    due = datetime.fromtimestamp(started.next_at, UTC)

    assert listed == (started,)
    assert (due.hour, due.minute) in ((0, 30), (1, 30))
    assert started.schedule == NIGHTLY


async def test_a_schedule_that_was_stopped_is_gone(client: Client) -> None:
    f = await client.register(answer)
    await client.backend.start(StartSchedule(f, NIGHTLY))
    await client.backend.start(StopSchedule(f))

    assert await client.backend.start(ListSchedules()) == ()


async def test_a_run_by_hand_gives_its_result(client: Client) -> None:
    f = await client.register(answer)
    job = await client.backend.start(TriggerSchedule(f, at=1_700_000_000.0))
    (queued, *_) = await client.events_until(
        job, await client.beginning(), lambda e: e.event == "job.queued"
    )

    assert value_of(await client.wait(job)) == 42
    assert queued.data["scheduled_at"] == 1_700_000_000.0
    assert queued.data["triggered"] is True


async def test_schedules_can_be_asked_for_from_inside_a_worker(client: Client) -> None:
    f = await client.register(answer)
    code = cloudpickle.dumps(answer)

    def inside() -> tuple[int, str]:
        backend = connect()
        spec = FunctionSpec("conformance", "inner")
        inner = backend.start(RegisterFunction(spec, Payload(code))).wait()
        backend.start(StartSchedule(inner, PeriodSchedule(days=1))).wait()
        (only,) = backend.start(ListSchedules()).wait()
        backend.start(StopSchedule(inner)).wait()
        backend.start(TriggerSchedule(f)).wait()
        return len(backend.start(ListSchedules()).wait()), only.function_name

    assert value_of(await client.run(await client.register(inside))) == (0, "inner")


async def test_what_is_no_schedule_is_refused(client: Client) -> None:
    f = await client.register(answer)

    with pytest.raises(InvalidOption):
        await client.backend.start(StartSchedule(f, PeriodSchedule()))
    with pytest.raises(InvalidOption):
        await client.backend.start(StartSchedule(f, CronSchedule(expression="now")))
    with pytest.raises(InvalidOption):
        await client.backend.start(StartSchedule(f, CronSchedule("Mars", expression="* * * * *")))
    with pytest.raises(NotFound):
        await client.backend.start(StartSchedule("functions:99", SECOND))
