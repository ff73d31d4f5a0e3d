"""What every backend must do about locks and elections."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup, TaskStatus

from apothic import Dict, InvalidOption, LockLost, NotFound, UsageError, WaitTimeout
from apothic_backends.commands.dicts import ReleaseLock
from apothic_backends.connection import connect
from apothic_backends.ticket import Ticket
from tests.conformance.client import Client, value_of


@pytest.fixture
def d(client: Client) -> Dict[Any, Any]:
    """A dict of the backend."""
    return Dict.from_name("scores", create_if_missing=True)


def start_taking(held: Any) -> Ticket[bool]:
    """Have the control plane think that its holder is gone."""
    link = held._link
    name, kind, key = link._place
    return connect().start(ReleaseLock(name, kind, key, link._holder))


async def take_away(held: Any) -> None:
    """The same, to be awaited."""
    assert await start_taking(held)


def test_a_lock_is_held_for_its_block(client: Client) -> None:
    with Dict.ephemeral() as d, ThreadPoolExecutor(1) as thread:
        another = d.lock("a", timeout_s=0)
        with d.lock("a") as lock:
            d.put("x", 1, fence=lock.fence)
            lock.check()
            with pytest.raises(WaitTimeout):
                thread.submit(another.acquire).result()

        assert thread.submit(another.acquire).result() > lock.fence
        another.release()


async def test_a_lock_is_held_for_its_block_in_a_task(d: Dict[Any, Any]) -> None:
    order: list[str] = []

    async def hold(name: str, inside: anyio.Event, leave: anyio.Event) -> None:
        async with d.lock("a"):
            order.append(f"{name} in")
            inside.set()
            await leave.wait()
            order.append(f"{name} out")

    events = [anyio.Event() for _ in range(4)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold, "one", events[0], events[1])
        await events[0].wait()
        tasks.start_soon(hold, "two", events[2], events[3])
        events[1].set()
        await events[2].wait()
        events[3].set()

    assert order == ["one in", "one out", "two in", "two out"]


async def test_a_lock_can_be_held_without_a_block(d: Dict[Any, Any]) -> None:
    lock = d.lock("a")
    fence = await lock.acquire.aio()

    assert fence == lock.fence
    assert await lock.release.aio()
    assert not await lock.release.aio()
    assert await lock.acquire.aio() > fence
    await lock.release.aio()


def test_a_lock_is_not_re_entrant(client: Client) -> None:
    with Dict.ephemeral() as d, d.lock("a") as lock, d.lock("b"):
        with pytest.raises(UsageError, match="held by this handle"):
            lock.acquire()
        with pytest.raises(UsageError, match="held by this thread or task"):
            d.lock("a").acquire()


async def test_a_task_cannot_wait_for_itself(d: Dict[Any, Any]) -> None:
    async with d.lock("a"):
        with pytest.raises(UsageError, match="not re-entrant"):
            await d.lock("a").acquire.aio()


async def test_waiting_for_a_lock_ends_in_time(d: Dict[Any, Any]) -> None:
    async def wait() -> None:
        with pytest.raises(WaitTimeout, match="was not to be had within"):
            await d.lock("a", timeout_s=0.1).acquire.aio()

    async with d.lock("a"), anyio.create_task_group() as tasks:
        tasks.start_soon(wait)


async def test_a_task_that_is_cancelled_leaves_the_line(d: Dict[Any, Any]) -> None:
    async def wait() -> None:
        async with d.lock("a"):
            raise AssertionError

    watch = d.watch("a")
    async with d.lock("a"), anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anext(watch)  # it is held
        tasks.cancel_scope.cancel()

    async with d.lock("a", timeout_s=10):
        pass


async def test_a_lock_that_was_lost_cancels_the_block(d: Dict[Any, Any]) -> None:
    lock = d.lock("a")

    async def hold() -> None:
        async with lock:
            await take_away(lock)
            with pytest.raises(LockLost):
                await lock.check.aio()
            await anyio.sleep_forever()

    with pytest.raises(LockLost, match="was lost") as raised:
        await hold()

    assert lock.lost
    assert raised.value.data == {"fence": lock.fence}


async def test_what_a_block_raises_goes_before_the_loss(d: Dict[Any, Any]) -> None:
    async def hold() -> None:
        async with d.lock("a") as lock:
            giving = start_taking(lock)  # not awaited, for there the block would be cancelled
            assert giving is not None
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await hold()


async def test_leaving_the_block_of_a_lost_lock_raises(d: Dict[Any, Any]) -> None:
    async def hold() -> None:
        async with d.lock("a") as lock:
            await take_away(lock)

    with pytest.raises(LockLost):
        await hold()


async def test_a_cancelled_block_stays_cancelled(d: Dict[Any, Any]) -> None:
    with anyio.CancelScope() as scope:
        async with d.lock("a"):
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught

    async with d.lock("a", timeout_s=0):
        pass


async def test_a_lock_is_renewed_for_as_long_as_it_is_held(d: Dict[Any, Any]) -> None:
    watch = d.watch("a")
    async with d.lock("a", lease_s=2) as lock:
        await d.put.aio("b", 1, lease_s=3)
        async for event in d.watch("b", snapshot=True):  # longer than one lease
            if event.data.get("op") == "expired":
                break
        assert not lock.lost

    assert [(await anext(watch)).data["op"] for _ in range(2)] == ["locked", "unlocked"]


async def test_a_lock_whose_handle_is_gone_is_let_go(d: Dict[Any, Any]) -> None:
    lock = d.lock("a")
    await lock.acquire.aio()
    del lock

    async with d.lock("a"):
        pass


async def test_deleting_the_dict_ends_its_locks(d: Dict[Any, Any]) -> None:
    async def wait(*, task_status: TaskStatus[None]) -> None:
        task_status.started()  # whoever hears of it is a turn later than the next line
        with pytest.raises(NotFound):
            await d.lock("a").acquire.aio()

    async def hold(tasks: TaskGroup) -> None:
        async with d.lock("a"):
            await tasks.start(wait)
            await d.delete.aio()
            await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        with pytest.raises(LockLost):
            await hold(tasks)


def test_a_lock_does_not_travel(client: Client) -> None:
    with Dict.ephemeral() as d, pytest.raises(TypeError, match="held in this process"):
        pickle.dumps(d.lock("a"))


def test_what_is_not_held_has_no_fence(client: Client) -> None:
    with Dict.ephemeral() as d, pytest.raises(UsageError, match="is not held"):
        _ = d.lock("a").fence


@pytest.mark.parametrize(
    ("option", "value"),
    [("lease_s", 0), ("lease_s", 50_000), ("timeout_s", -1), ("timeout_s", "1"), ("candidate", "")],
)
def test_what_a_lock_cannot_have_is_refused(client: Client, option: str, value: Any) -> None:
    with Dict.ephemeral() as d, pytest.raises(InvalidOption, match=option):
        d.elect("a", **{option: value})


# --- in functions -------------------------------------------------------------------------------


def count_under_lock(d: Dict[str, int], times: int) -> None:
    for _ in range(times):
        with d.lock("l") as lock:
            n = d.get("n") or 0
            d.put("n", n + 1, fence=lock.fence)


async def count_under_lock_in_a_task(d: Dict[str, int], times: int) -> None:
    for _ in range(times):
        async with d.lock("l") as lock:
            n = await d.get.aio("n") or 0
            await d.put.aio("n", n + 1, fence=lock.fence)


@pytest.mark.parametrize("function", [count_under_lock, count_under_lock_in_a_task])
async def test_one_at_a_time_has_a_lock(client: Client, d: Dict[Any, Any], function: Any) -> None:
    is_async = function is count_under_lock_in_a_task
    f = await client.register(function, is_async=is_async, concurrent_requests=1)
    jobs = [await client.submit(f, d, 10) for _ in range(4)]
    for job in jobs:
        value_of(await client.wait(job))

    assert await d.get.aio("n") == 40


# --- elections ----------------------------------------------------------------------------------


def test_a_leader_is_elected_for_the_block(client: Client) -> None:
    with Dict.ephemeral() as d:
        with d.elect("chief", candidate="Ada") as term:
            leader = d.leader("chief")
            d.put("x", 1, fence=term.number)

            assert leader is not None
            assert (leader.candidate, leader.term) == ("Ada", term.number)
        assert d.leader("chief") is None


async def test_terms_grow_and_are_observed(d: Dict[Any, Any]) -> None:
    observed = d.observe("chief", snapshot=False)
    numbers: list[int] = []
    for name in ("Ada", "Bob"):
        async with d.elect("chief", candidate=name) as term:
            numbers.append(term.number)
    told = [(await anext(observed)).data for _ in range(4)]

    assert numbers == sorted(set(numbers))
    assert [(it["op"], it["holder"], it["rev"]) for it in told] == [
        ("elected", "Ada", numbers[0]),
        ("resigned", "Ada", numbers[0]),
        ("elected", "Bob", numbers[1]),
        ("resigned", "Bob", numbers[1]),
    ]


async def test_observing_begins_with_who_is_elected(d: Dict[Any, Any]) -> None:
    async with d.elect("chief", candidate="Ada") as term:
        event = await anext(d.observe("chief"))

    assert event.data["held"] == [
        {"kind": "term", "key": "chief", "holder": "Ada", "fence": term.number}
    ]


async def test_who_resigns_is_no_leader(d: Dict[Any, Any]) -> None:
    async with d.elect("chief") as term:
        assert await term.resign.aio()
        assert await d.leader.aio("chief") is None
    assert not term.lost
    assert await term.begin.aio() > 0
    await term.resign.aio()


async def test_a_term_that_was_lost_says_so(d: Dict[Any, Any]) -> None:
    term = d.elect("chief")

    async def lead() -> None:
        async with term:
            await take_away(term)
            with pytest.raises(LockLost):
                await term.check.aio()

    with pytest.raises(LockLost, match="the term"):
        await lead()
    assert term.lost
