"""`Job.gather`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from apothic import App, BackendClosed, BlockingCall, InvalidOption, Job, UsageError, WaitTimeout
from apothic._connect import use
from apothic_backends.commands import CancelJob
from tests.unit.apothic.threads import ThreadBackend

app = App("gather")
opened = threading.Event()


@app.function
def double(number: int) -> int:
    return number * 2


@app.function
def echo(thing: Any) -> Any:
    return thing


@app.function
def fails(number: int) -> int:
    raise LookupError(number)


@app.function
def gate(number: int) -> int:
    opened.wait(10)
    return number


@pytest.fixture(autouse=True)
def gates() -> Iterator[None]:
    opened.clear()
    yield
    opened.set()


def test_results_stand_in_the_order_of_the_arguments(backend: ThreadBackend) -> None:
    first, second = double.spawn_map([1, 2])

    assert Job.gather(second, first) == [4, 2]


def test_nothing_gathered_is_nothing(backend: ThreadBackend) -> None:
    assert Job.gather() == []
    assert backend.started == []


def test_a_job_may_be_given_twice_and_gives_two_copies(backend: ThreadBackend) -> None:
    job = echo.spawn([1])

    one, other = Job.gather(job, Job.from_id(job.job_id))
    assert one == other == [1]
    assert one is not other


def test_the_first_failure_is_raised_while_others_go_on(backend: ThreadBackend) -> None:
    slow, bad = gate.spawn(1), fails.spawn(2)

    with pytest.raises(LookupError, match="2") as caught:
        Job.gather(slow, bad)

    assert caught.value.__notes__ == ["at argument 1 (jobs:2)"]
    assert slow.status() == "running"
    assert backend.seen(CancelJob) == []
    opened.set()
    assert slow.wait() == 1


def test_failures_may_stand_in_the_place_of_results(backend: ThreadBackend) -> None:
    found = Job.gather(fails.spawn(1), double.spawn(2), return_exceptions=True)

    assert isinstance(found[0], LookupError)
    assert found[1] == 4


def test_jobs_that_take_too_long_are_named_and_run_on(backend: ThreadBackend) -> None:
    done, slow = double.spawn(1), gate.spawn(1)
    done.wait()

    with pytest.raises(WaitTimeout, match="1 of 2 jobs") as caught:
        Job.gather(done, slow, timeout_s=0.01)

    assert caught.value.data["job_ids"] == [slow.job_id]
    assert backend.seen(CancelJob) == []
    opened.set()
    assert slow.wait() == 1


def test_a_job_of_another_runtime_is_refused(backend: ThreadBackend) -> None:
    mine = double.spawn(1)
    before = use(ThreadBackend())
    try:
        with pytest.raises(BackendClosed, match="not connected"):
            Job.gather(mine)
    finally:
        use(before)


@pytest.mark.parametrize("thing", ["jobs:1", None, [1]])
def test_only_jobs_can_be_gathered(backend: ThreadBackend, thing: Any) -> None:
    with pytest.raises(UsageError, match=r"Job\.gather\(\*jobs\)"):
        Job.gather(thing)


def test_options_of_gather_are_checked(backend: ThreadBackend) -> None:
    with pytest.raises(InvalidOption):
        Job.gather(timeout_s=-1)
    with pytest.raises(InvalidOption):
        Job.gather(return_exceptions=1)  # type: ignore[call-overload]


async def test_gather_can_be_awaited(backend: ThreadBackend) -> None:
    assert await Job.gather.aio(await double.spawn.aio(1)) == [2]
    with pytest.raises(BlockingCall, match=r"await Job\.gather\.aio"):
        Job.gather()


async def test_cancelling_an_awaited_gather_leaves_the_jobs_alone(backend: ThreadBackend) -> None:
    job = await gate.spawn.aio(3)

    with anyio.move_on_after(0.01):
        await Job.gather.aio(job)

    assert backend.seen(CancelJob) == []
    opened.set()
    assert await job.wait.aio() == 3
