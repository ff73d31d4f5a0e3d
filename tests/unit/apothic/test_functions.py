from __future__ import annotations

import pickle
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import cloudpickle
import pytest

from apothic import (
    App,
    BlockingCall,
    ControlPlaneClient,
    InvalidOption,
    Job,
    NotFound,
    QueueFull,
    RemoteFunction,
    UsageError,
    WaitTimeout,
)
from apothic.invocations import Invocable
from apothic_backends.commands import CancelJob, KeepJob, RegisterFunction, RunJob
from tests.unit.apothic.threads import ThreadBackend

app = App("functions")
reached = threading.Event()
opened = threading.Event()


@app.function
def double(number: int) -> int:
    """Twice as much."""
    return number * 2


@app.function
async def later(number: int) -> int:
    return number + 1


@app.function
def add(left: int, right: int = 10) -> int:
    return left + right


@app.function
def gate(_number: int) -> None:
    reached.set()
    opened.wait(10)


@app.function
def fails(number: int) -> int:
    if number == 2:
        raise LookupError("two")
    return number


@app.function
def waits_or_fails(number: int) -> None:
    if number:
        reached.wait(10)
        raise LookupError(number)
    reached.set()
    opened.wait(10)


@app.function(max_pending_tasks=2)
def crowded(number: int) -> int:
    return number


@app.function
def with_own_timeout(timeout_s: float) -> float:
    return timeout_s


@app.function
def generates() -> Iterator[int]:
    yield 1


@pytest.fixture(autouse=True)
def gates() -> None:
    reached.clear()
    opened.clear()


def test_calling_runs_in_place() -> None:
    assert double(2) == double.local(2) == 4


def test_a_handle_looks_like_its_function() -> None:
    assert (double.__name__, double.__doc__) == ("double", "Twice as much.")
    assert double.__wrapped__ is double.raw()


def test_remote_gives_the_result(backend: ThreadBackend) -> None:
    assert double.remote(3) == 6


def test_remote_gives_what_an_async_function_returns(backend: ThreadBackend) -> None:
    assert later.remote(3) == 4
    assert backend.functions[0][0].is_async


def test_a_function_is_registered_once_for_each_backend(backend: ThreadBackend) -> None:
    double.remote(1)
    double.remote(2)

    assert len(backend.seen(RegisterFunction)) == 1


def test_remote_raises_what_the_function_raised(backend: ThreadBackend) -> None:
    with pytest.raises(LookupError, match="two") as caught:
        fails.remote(2)

    assert 'raise LookupError("two")' in str(caught.value.__cause__)


def test_the_time_to_wait_bounds_the_call_and_the_job_runs_on(held: ThreadBackend) -> None:
    with pytest.raises(TimeoutError) as caught:
        double.remote(1, timeout_s=0)

    assert isinstance(caught.value, WaitTimeout)
    assert caught.value.data["job_ids"] == ["jobs:1"]
    assert held.seen(CancelJob) == []
    held.go()
    assert Job.from_id("jobs:1").wait() == 2


def test_a_parameter_called_timeout_s_is_not_guessed_at(backend: ThreadBackend) -> None:
    with pytest.raises(UsageError, match="with_options"):
        with_own_timeout.remote(timeout_s=3.0)

    assert with_own_timeout.remote(3.0) == 3.0
    assert with_own_timeout.with_options(wait_timeout_s=60).remote(timeout_s=3.0) == 3.0
    assert with_own_timeout.spawn(timeout_s=3.0).wait() == 3.0


def test_a_handle_that_has_travelled_does_not_guess_either(backend: ThreadBackend) -> None:
    travelled = pickle.loads(cloudpickle.dumps(with_own_timeout))

    with pytest.raises(UsageError, match="with_options"):
        travelled.remote(timeout_s=3.0)

    patient = pickle.loads(cloudpickle.dumps(travelled.with_options(wait_timeout_s=60)))
    assert patient.remote(timeout_s=3.0) == 3.0


@pytest.mark.parametrize("wait", ["soon", -1, True])
def test_how_long_to_wait_is_checked_where_it_is_said(held: ThreadBackend, wait: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: double.remote(1, timeout_s=wait),
        lambda: double.map([1], timeout_s=wait),
        lambda: double.spawn(1).wait(wait),
        lambda: double.with_options(wait_timeout_s=wait),
    ]

    for call in calls:
        with pytest.raises(InvalidOption, match="timeout_s must be a number of at least 0"):
            call()


def test_with_options_says_how_long_to_wait(held: ThreadBackend) -> None:
    hasty = double.with_options(wait_timeout_s=0)

    with pytest.raises(WaitTimeout):
        hasty.remote(1)
    with pytest.raises(WaitTimeout):
        hasty.map([1])


def test_map_gives_results_in_the_order_of_the_items(backend: ThreadBackend) -> None:
    assert double.map(range(5)) == [0, 2, 4, 6, 8]


def test_map_of_nothing_is_nothing(backend: ThreadBackend) -> None:
    assert double.map([]) == []


def test_starmap_spreads_each_item(backend: ThreadBackend) -> None:
    assert add.starmap([(1, 2), [3], (4,)]) == [3, 13, 14]


def test_starmap_refuses_what_is_not_a_row(backend: ThreadBackend) -> None:
    with pytest.raises(UsageError, match="'ab' is not a row"):
        add.starmap(["ab"])


def test_for_each_gives_nothing(backend: ThreadBackend) -> None:
    assert double.for_each([1, 2]) is None
    assert len(backend.jobs) == 2


def test_map_waits_for_room_in_the_queue(backend: ThreadBackend) -> None:
    assert crowded.map(range(20)) == list(range(20))
    assert all(command.wait_for_room for command in backend.seen(RunJob))


def test_spawn_refuses_where_the_queue_is_full(held: ThreadBackend) -> None:
    jobs = [crowded.spawn(1), crowded.spawn(2)]

    with pytest.raises(QueueFull):
        crowded.spawn(3)
    assert len(jobs) == 2


def test_map_raises_the_first_failure_and_says_where(backend: ThreadBackend) -> None:
    with pytest.raises(LookupError) as caught:
        fails.map([0, 1, 2])

    assert caught.value.__notes__ == ["at item 2: 2 (jobs:3)"]


def test_a_failure_is_not_kept_waiting_by_earlier_items(backend: ThreadBackend) -> None:
    with pytest.raises(LookupError):
        waits_or_fails.map([0, 1])
    assert backend.seen(CancelJob) == [CancelJob("jobs:1")]
    opened.set()


def test_what_the_iterable_raises_is_raised_and_cancels_what_runs(held: ThreadBackend) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("no more")

    with pytest.raises(KeyError):
        double.map(items())
    assert held.seen(CancelJob) == [CancelJob("jobs:1")]


def test_map_that_takes_too_long_names_the_jobs_that_run_on(held: ThreadBackend) -> None:
    with pytest.raises(WaitTimeout) as caught:
        double.map([1, 2], timeout_s=0.1)

    assert caught.value.data["job_ids"] == ["jobs:1", "jobs:2"]
    assert held.seen(CancelJob) == []
    assert held.seen(KeepJob) == [KeepJob("jobs:1"), KeepJob("jobs:2")]


def test_an_async_iterable_needs_the_awaited_form(backend: ThreadBackend) -> None:
    with pytest.raises(UsageError, match="aio"):
        double.map(numbers())
    with pytest.raises(UsageError, match="aio"):
        double.map(Endless())


class Endless:
    """An async iterator whose items are coroutines, which Python wants awaited once made."""

    def __aiter__(self) -> Endless:
        return self

    async def __anext__(self) -> int:
        return 1


def test_spawn_map_gives_a_job_for_each_item(backend: ThreadBackend) -> None:
    assert [job.wait() for job in double.spawn_map([1, 2])] == [2, 4]


async def numbers() -> AsyncIterator[int]:
    for number in range(3):
        yield number


async def test_every_call_has_two_awaited_spellings(backend: ThreadBackend) -> None:
    assert await double.remote.aio(2) == await double.aio.remote(2) == 4
    assert await double.map.aio([1]) == await double.aio.map([1]) == [2]
    assert await add.starmap.aio([(1, 1)]) == await add.aio.starmap([(1, 1)]) == [2]
    assert await double.for_each.aio([1]) is await double.aio.for_each([1]) is None
    assert [await job.wait.aio() for job in await double.spawn_map.aio([1])] == [2]
    job = await double.aio.spawn(5)
    assert await job.aio.wait() == await job.wait.aio() == 10


async def test_awaited_map_takes_an_async_iterable(backend: ThreadBackend) -> None:
    assert await double.map.aio(numbers()) == [0, 2, 4]


async def test_a_timeout_of_an_async_iterable_is_its_own(held: ThreadBackend) -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        await double.map.aio(items())
    assert held.seen(CancelJob) == [CancelJob("jobs:1")]


async def test_an_async_iterable_is_not_waited_for_too_long(held: ThreadBackend) -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        await anyio.sleep_forever()

    with pytest.raises(WaitTimeout) as caught:
        await double.map.aio(items(), timeout_s=0.01)
    assert caught.value.data["job_ids"] == ["jobs:1"]


async def test_cancelling_an_awaited_call_cancels_its_job(backend: ThreadBackend) -> None:
    with anyio.move_on_after(0):
        await gate.remote.aio(1)
    with anyio.move_on_after(0):
        await gate.map.aio([1, 2])
    opened.set()

    cancelled = {command.job_id for command in backend.seen(CancelJob)}
    assert cancelled == set(backend.jobs)


async def test_an_awaited_call_bounds_its_wait(held: ThreadBackend) -> None:
    with pytest.raises(WaitTimeout):
        await double.remote.aio(1, timeout_s=0)
    assert held.seen(CancelJob) == []


async def test_a_blocking_call_in_a_loop_names_the_awaited_one(backend: ThreadBackend) -> None:
    with pytest.raises(BlockingCall, match=r"await double\.remote\.aio"):
        double.remote(1)
    with pytest.raises(BlockingCall, match=r"await double\.map\.aio"):
        double.map([1])
    with pytest.raises(BlockingCall, match=r"await job\.wait\.aio"):
        Job[int]("jobs:1").wait()


def test_remote_function_is_found_at_its_first_use(backend: ThreadBackend) -> None:
    named = RemoteFunction.from_name("functions", "declared_below")

    @app.function
    def declared_below() -> str:
        return "found"

    assert declared_below() == "found"
    assert named.remote() == "found"


def test_remote_function_that_is_not_there_lists_those_that_are(
    backend: ThreadBackend,
) -> None:
    with pytest.raises(NotFound, match="functions/double"):
        RemoteFunction.from_name("functions", "dubble").remote(1)


def test_a_function_of_another_control_plane_is_not_one_of_this_program() -> None:
    far = RemoteFunction.from_name("app", "double", base_url="https://host.example")

    assert "double" in repr(far)
    with pytest.raises(UsageError, match="plain http://"):
        RemoteFunction.from_name("app", "double", base_url="http://host.example")
    with pytest.raises(UsageError, match="keep one"):
        RemoteFunction.from_name("a", "b", base_url="x", client=ControlPlaneClient())


@pytest.mark.parametrize("verb", ["remote", "spawn", "map", "starmap", "for_each", "spawn_map"])
def test_what_gives_results_refuses_a_generator(backend: ThreadBackend, verb: str) -> None:
    with pytest.raises(UsageError, match=r"generates\.remote_gen"):
        getattr(generates, verb)(*[[]] * (verb not in ("remote", "spawn")))


def test_what_gives_items_refuses_a_plain_function(backend: ThreadBackend) -> None:
    with pytest.raises(UsageError, match=r"double\.remote\("):
        double.remote_gen(1)


def test_a_generator_runs_in_place_as_it_was_written() -> None:
    assert list(generates()) == list(generates.local()) == [1]


@pytest.mark.parametrize("thing", [int, 3, object()])
def test_only_functions_can_be_declared(thing: Any) -> None:
    with pytest.raises(UsageError, match="function needs a function"):
        app.function(thing)
    with pytest.raises(UsageError, match="local_entrypoint needs a function"):
        app.local_entrypoint(thing)


@pytest.mark.parametrize("handle", [double, later])
def test_a_function_is_declared_once(handle: Any) -> None:
    with pytest.raises(UsageError, match=r"declared already; .*with_options"):
        app.function(timeout_s=5)(handle)


def test_what_can_be_called_says_which_function_it_is() -> None:
    with pytest.raises(TypeError, match="target"):
        type("Nameless", (Invocable,), {})()


def test_a_local_entrypoint_stays_a_plain_function() -> None:
    @app.local_entrypoint
    def main() -> str:
        return "ran"

    assert main() == "ran"
    assert app.entrypoints["main"] is main
    with pytest.raises(UsageError):
        app.local_entrypoint(double)
