"""`map`, `starmap` and `for_each`, beside what they share with the other ways to call."""

from __future__ import annotations

import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest

from apothic import (
    App,
    ArgumentNotSerializable,
    InvalidOption,
    Job,
    UsageError,
    WaitTimeout,
    batched,
)
from apothic._maps import LEAST_AHEAD, MOST_BYTES, width
from apothic_backends.commands import CancelJob, KeepJob, RunJob, WaitJob
from tests.unit.apothic.threads import ThreadBackend

app = App("maps")
reached = threading.Event()
opened = threading.Event()


@app.function
def double(number: int) -> int:
    return number * 2


@app.function
def nothing(_number: int) -> None:
    return None


@app.function
def odd_only(number: int) -> int:
    if not number % 2:
        raise LookupError(number)
    return number


@app.function
def first_is_last(number: int) -> int:
    if not number:
        opened.wait(10)
    return number


@app.function
def waits_or_fails(number: int) -> None:
    if number:
        reached.wait(10)
        raise LookupError(number)
    reached.set()
    opened.wait(10)


@app.function
def fails_with_our_own_error(number: int) -> None:
    raise UsageError(f"not {number}")


@app.function
def of_anything(_thing: object) -> None:
    raise LookupError


@app.function
def gate(_number: int) -> None:
    opened.wait(10)


@pytest.fixture(autouse=True)
def gates() -> Iterator[None]:
    reached.clear()
    opened.clear()
    yield
    opened.set()


class Unwilling:
    def __repr__(self) -> str:
        raise ValueError("no")


def test_an_item_costs_one_command(backend: ThreadBackend) -> None:
    double.map(range(20))

    assert len(backend.seen(RunJob)) == 20
    assert backend.seen(WaitJob) == []


def test_results_that_are_none_are_kept(backend: ThreadBackend) -> None:
    assert nothing.map([1, 2]) == [None, None]
    assert nothing.map([1, 2], order_outputs=False) == [None, None]


def open_when_others_have_ended(backend: ThreadBackend, jobs: int) -> None:
    """Let the first of so many jobs go when the replies of the others have been given."""

    def watch() -> None:
        while not opened.wait(0.001):
            with backend._lock:
                others = [*backend.jobs.values()][1:jobs]
                if len(others) == jobs - 1 and all(job.outcome for job in others):
                    opened.set()

    threading.Thread(target=watch, daemon=True).start()


def test_results_may_come_as_they_arrive(backend: ThreadBackend) -> None:
    open_when_others_have_ended(backend, 3)

    assert first_is_last.map([0, 1, 2], order_outputs=False)[-1] == 0


def test_order_is_kept_whatever_arrives_first(backend: ThreadBackend) -> None:
    open_when_others_have_ended(backend, 3)

    assert first_is_last.map([0, 1, 2]) == [0, 1, 2]


def test_exceptions_may_stand_in_the_place_of_results(backend: ThreadBackend) -> None:
    found = odd_only.map(range(4), return_exceptions=True)

    assert found[1::2] == [1, 3]
    assert [(type(e), e.args) for e in found[::2] if isinstance(e, Exception)] == [
        (LookupError, (0,)),
        (LookupError, (2,)),
    ]
    assert backend.seen(CancelJob) == []


def test_exceptions_among_unordered_results_say_where_they_belong(backend: ThreadBackend) -> None:
    found = odd_only.map([1, 4], return_exceptions=True, order_outputs=False)

    error = next(e for e in found if isinstance(e, Exception))
    assert error.__notes__ == ["at item 1: 4 (jobs:2)"]
    assert "LookupError: 4" in str(error.__cause__)


def test_starmap_takes_the_same_options(backend: ThreadBackend) -> None:
    found = odd_only.starmap([(1,), (2,)], return_exceptions=True)

    assert found[0] == 1
    assert isinstance(found[1], LookupError)


def test_an_error_of_ours_holds_the_index(backend: ThreadBackend) -> None:
    with pytest.raises(UsageError, match="not 3") as caught:
        fails_with_our_own_error.map([3])

    assert caught.value.data["index"] == 0


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        ("x" * 1000, "'xxxxxxxxxxxx...xxxxxxxxxxxxx'"),
        (Unwilling(), "<Unwilling"),
        ("two\nlines", "'two\\nlines'"),
        ([[1] * 100] * 100, "[[1, 1, 1, 1, 1, 1, ...], [1, 1, 1, 1, 1, 1, ...]"),
    ],
    ids=["long", "unwilling", "lines", "nested"],
)
def test_an_item_is_shown_in_one_short_line(
    backend: ThreadBackend, item: object, shown: str
) -> None:
    with pytest.raises(LookupError) as caught:
        of_anything.map([item])

    (note,) = caught.value.__notes__
    assert note.startswith(f"at item 0: {shown}")
    assert len(note) < 120
    assert "\n" not in note


def test_an_item_that_cannot_be_sent_cancels_the_others(held: ThreadBackend) -> None:
    with pytest.raises(ArgumentNotSerializable) as caught:
        double.map([1, threading.Lock()])

    assert caught.value.__notes__[0].startswith("at item 1: <unlocked")
    assert held.seen(CancelJob) == [CancelJob("jobs:1")]


def test_ignored_exceptions_stop_nothing(backend: ThreadBackend) -> None:
    odd_only.for_each(range(10), ignore_exceptions=True)

    assert len(backend.jobs) == 10
    with pytest.raises(LookupError):
        odd_only.for_each(range(10))


def test_for_each_takes_an_endless_iterable_until_something_fails(backend: ThreadBackend) -> None:
    taken = 0

    def numbers() -> Iterator[int]:
        nonlocal taken
        for taken in itertools.count():
            yield 0 if taken == 2000 else 1

    with pytest.raises(LookupError):
        odd_only.for_each(numbers())
    assert taken <= 2000 + width(odd_only.spec())


def test_no_more_items_are_taken_than_may_be_under_way(held: ThreadBackend) -> None:
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in itertools.count():
            taken.append(number)
            yield number

    with pytest.raises(WaitTimeout):
        double.for_each(numbers(), timeout_s=0.5)
    assert len(taken) == width(double.spec())


def test_as_many_items_are_under_way_as_can_run_and_wait() -> None:
    def work(number: int) -> int:
        return number

    def batch(numbers: list[int]) -> list[int]:
        return numbers

    wide = app.function(max_containers=3, concurrent_requests=4, max_pending_tasks=200)(work)
    gathered = app.function(max_containers=2)(batched(max_batch_size=50, wait_ms=1)(batch))
    assert width(wide.spec()) == 3 * 4 + 200
    assert width(gathered.spec()) == 2 * 50 + 100
    assert width(double.with_options(max_pending_tasks=1).spec()) == 1 + LEAST_AHEAD


def test_large_items_are_not_taken_ahead(held: ThreadBackend) -> None:
    large = bytes(MOST_BYTES // 2 + 1)

    with pytest.raises(WaitTimeout):
        of_anything.for_each(itertools.repeat(large), timeout_s=0.5)
    assert len(held.seen(RunJob)) <= 2  # fewer, where packing them takes longer than that


def test_the_time_is_looked_at_between_the_items(backend: ThreadBackend) -> None:
    with pytest.raises(WaitTimeout):
        double.map(itertools.repeat(1), timeout_s=0.1)


def test_what_waits_for_room_when_time_is_up_leaves_no_job(held: ThreadBackend) -> None:
    crowded = double.with_options(max_pending_tasks=2)

    with pytest.raises(WaitTimeout) as caught:
        crowded.map([1, 2, 3], timeout_s=0.1)

    assert caught.value.data["job_ids"] == ["jobs:1", "jobs:2"]
    held.go()
    assert [Job.from_id(job_id).wait() for job_id in caught.value.data["job_ids"]] == [2, 4]
    held.start(KeepJob("jobs:1"))
    assert sorted(held.jobs) in (["jobs:1", "jobs:2"], ["jobs:1", "jobs:2", "jobs:3"])


@pytest.mark.parametrize("items", [5, None])
def test_items_must_be_iterable(backend: ThreadBackend, items: Any) -> None:
    with pytest.raises(UsageError, match="iterable"):
        double.map(items)


@pytest.mark.parametrize(
    "call",
    [
        lambda: double.map([1], return_exceptions="yes"),  # type: ignore[call-overload]
        lambda: double.map([1], order_outputs=1),  # type: ignore[call-overload]
        lambda: double.for_each([1], ignore_exceptions=None),  # type: ignore[arg-type]
        lambda: double.spawn_map([1], timeout_s=-1),
    ],
)
def test_options_of_a_map_are_checked(backend: ThreadBackend, call: Callable[[], Any]) -> None:
    with pytest.raises(InvalidOption):
        call()


def test_an_error_in_the_iterable_cancels_what_spawn_map_has_queued(held: ThreadBackend) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("no more")

    with pytest.raises(KeyError):
        double.spawn_map(items())
    assert held.seen(CancelJob) == [CancelJob("jobs:1")]


def test_spawn_map_stops_waiting_for_room_and_names_what_is_queued(held: ThreadBackend) -> None:
    with pytest.raises(WaitTimeout) as caught:
        double.with_options(max_pending_tasks=1).spawn_map([1, 2], timeout_s=0.1)

    assert caught.value.data["job_ids"] == ["jobs:1"]
    assert held.seen(CancelJob) == []


async def test_every_map_takes_an_async_iterable(backend: ThreadBackend) -> None:
    async def rows() -> AsyncIterator[tuple[int]]:
        yield (1,)
        yield (3,)

    async def numbers() -> AsyncIterator[int]:
        yield 1

    assert await odd_only.starmap.aio(rows(), order_outputs=True) == [1, 3]
    assert await odd_only.aio.map(numbers(), return_exceptions=True) == [1]
    await odd_only.for_each.aio(numbers())
    assert [await job.wait.aio() for job in await odd_only.spawn_map.aio(numbers())] == [1]


async def test_a_failure_does_not_wait_for_the_next_item(backend: ThreadBackend) -> None:
    was_cancelled = False

    async def items() -> AsyncIterator[int]:
        nonlocal was_cancelled
        yield 2
        try:
            await anyio.sleep_forever()
        except BaseException:
            was_cancelled = True
            raise

    with pytest.raises(LookupError):
        await odd_only.map.aio(items(), timeout_s=None)
    assert was_cancelled


async def test_an_item_comes_after_others_have_ended(backend: ThreadBackend) -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        while not all(job.outcome for job in backend.jobs.values()):
            await anyio.sleep(0.001)
        yield 3

    assert await double.map.aio(items()) == [2, 6]


async def test_other_tasks_have_their_turn_while_items_are_begun(held: ThreadBackend) -> None:
    seen: set[int] = set()
    large = double.with_options(max_pending_tasks=1000)
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: large.map.aio(range(1000), timeout_s=None))
        while len(held.jobs) < 1000:
            seen.add(len(held.jobs))
            await anyio.sleep(0)
        group.cancel_scope.cancel()

    assert len(seen - {0}) >= 5


async def test_cancelling_an_awaited_map_cancels_what_is_left(backend: ThreadBackend) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: gate.map.aio(range(5)))
        while len(backend.jobs) < 5:
            await anyio.sleep(0.001)
        group.cancel_scope.cancel()

    assert {command.job_id for command in backend.seen(CancelJob)} == set(backend.jobs)
