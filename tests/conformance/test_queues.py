"""What every backend does with queues, for programs and for the code of workers."""

from __future__ import annotations

import pickle
import queue as stdlib_queue
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from apothic import (
    ArgumentNotSerializable,
    BlockingCall,
    Claim,
    Dict,
    Empty,
    Full,
    InvalidOption,
    ItemNotLoadable,
    ItemTooLarge,
    NotFound,
    Queue,
    QueueFull,
    StaleClaim,
    TicketCancelled,
    UsageError,
)
from apothic_backends.commands.queues import (
    AckItems,
    ClaimItems,
    OpenQueue,
    PeekItems,
    PutItems,
    TakeItems,
)
from apothic_backends.model.jobs import JobStatus
from apothic_backends.model.queues import joined, split
from tests.conformance.client import Client, Gate, value_of


@pytest.fixture
def q(client: Client) -> Queue[Any]:
    """A queue that is made at its first use."""
    return Queue.from_name("q", create_if_missing=True)


def items(*values: Any) -> Any:
    return joined([pickle.dumps(value) for value in values])


# --- the contract ---------------------------------------------------------------------------------


async def test_what_is_put_is_taken_once(client: Client) -> None:
    start = client.backend.start
    await start(OpenQueue("q"))
    await start(PutItems("q", items("a", "b"), 2))
    first = await start(TakeItems("q", 1))
    second = await start(TakeItems("q", 9))

    found = [*split(first.items, first.count), *split(second.items, second.count)]
    assert [pickle.loads(data) for data in found] == ["a", "b"]
    assert (await start(TakeItems("q", timeout_s=0.0))).count == 0


async def test_what_is_claimed_and_acknowledged_is_gone(client: Client) -> None:
    start = client.backend.start
    await start(OpenQueue("q"))
    await start(PutItems("q", items("a"), 1))
    claimed = await start(ClaimItems("q"))

    assert await start(AckItems(claimed.receipts)) == 1
    assert await start(AckItems(claimed.receipts)) == 0
    assert (await start(PeekItems("q"))).count == 0


async def test_a_reply_that_is_given_up_after_it_has_come_loses_nothing(client: Client) -> None:
    start = client.backend.start
    await start(OpenQueue("q"))
    await start(PutItems("q", items("a", "b"), 2))
    for command in (TakeItems("q"), ClaimItems("q")):
        ticket: Any = start(command)
        with anyio.fail_after(30):
            while not ticket.done:
                await anyio.sleep(0)
        ticket.cancel()
        ticket.cancel()
        with pytest.raises(TicketCancelled):
            ticket.result()

    found = await start(TakeItems("q", 2))
    assert found.count == 2


# --- a program ------------------------------------------------------------------------------------


def test_items_are_put_and_got(q: Queue[Any]) -> None:
    assert q.put({"n": 1}) is True
    q.put_many(["a", None])

    assert [q.get(), q.get(), q.get()] == [{"n": 1}, "a", None]


def test_an_empty_queue_has_nothing_to_get(q: Queue[Any]) -> None:
    assert q.get(block=False) is None
    assert q.get_many(3, block=False) == []
    assert q.claim(block=False) is None
    for get in (q.get, q.claim):
        with pytest.raises(stdlib_queue.Empty, match="'q'"):
            get(timeout_s=0.01)
    with pytest.raises(Empty):
        q.get_many(3, timeout_s=0.0)
    with pytest.raises(Empty):
        q.claim_many(3, timeout_s=0.0)


def test_a_full_queue_takes_nothing(client: Client) -> None:
    q = Queue.from_name("small", create_if_missing=True, max_items=1)
    q.put(1)

    waits: list[dict[str, Any]] = [{"block": False}, {"timeout_s": 0.01}]
    for wait in waits:
        with pytest.raises(Full) as caught:
            q.put(2, **wait)
        assert isinstance(caught.value, stdlib_queue.Full)
        assert isinstance(caught.value, QueueFull)
    with pytest.raises(Full):
        q.put_many([2], block=False)
    with pytest.raises(ItemTooLarge, match="never fit"):
        q.put_many([2, 3])
    assert q.get() == 1


def test_a_queue_that_is_not_there_is_not_found(client: Client) -> None:
    q = Queue.from_name("nowhere")

    for call in (q.get, q.stats, q.delete, q.clear, q.len, q.redrive):
        with pytest.raises(NotFound, match="create_if_missing=True"):
            call()
    with pytest.raises(NotFound):
        next(q.watch(snapshot=True))


def test_a_queue_can_be_deleted_and_made_again(q: Queue[Any]) -> None:
    q.delete()
    q.put(1)
    q.delete()

    assert q.get(block=False) is None


def test_partitions_stand_apart(q: Queue[Any]) -> None:
    q.put_many([1, 2], partition="left")
    q.put(3)

    assert (q.len(), q.len("left"), q.len(total=True), len(q)) == (1, 2, 3, 3)
    assert q.partitions() == ["left", ""]
    assert q.get_many(5, partition="left") == [1, 2]
    assert q.clear() == 1
    assert q.put(4, partition="right")
    assert q.clear(all=True) == 1


def test_looking_takes_nothing(q: Queue[Any]) -> None:
    q.put_many(range(250))

    assert q.peek() == [0]
    assert q.peek(3) == [0, 1, 2]
    assert list(q.iterate()) == list(range(250))
    assert len(q) == 250


def test_an_item_is_put_once_under_a_key(q: Queue[Any]) -> None:
    assert q.put("order", key="order-17")
    assert not q.put("order", key="order-17")
    assert len(q) == 1


def test_items_may_come_later_or_go_by_themselves(q: Queue[Any]) -> None:
    q.put("late", delay_s=0.05)
    q.put("brief", ttl_s=0.01)
    q.put("plain")
    q.put("tomorrow", delay_s=40_000)
    assert q.stats().delayed in {1, 2}

    found: list[str] = []
    while not {"late", "plain"} <= {*found}:
        found += q.get_many(1, timeout_s=30.0)
    assert len(q) == 0


def test_a_claim_is_acknowledged_at_the_end_of_its_block(q: Queue[Any]) -> None:
    q.put("a")
    with q.claim() as claim:
        assert (claim.value, claim.deliveries) == ("a", 1)
        assert q.stats().claimed == 1

    assert q.stats().partitions == {}
    assert claim.ack() is False


def test_a_block_that_raises_gives_its_item_back(q: Queue[Any]) -> None:
    q.put("a")
    with pytest.raises(ZeroDivisionError), q.claim() as claim:
        raise ZeroDivisionError(claim.value)

    again = q.claim()
    assert again.deliveries == 2
    with pytest.raises(StaleClaim):
        claim.ack()


def test_a_block_that_is_interrupted_has_claimed_nothing(q: Queue[Any]) -> None:
    q.put("a")
    with pytest.raises(KeyboardInterrupt), q.claim():
        raise KeyboardInterrupt

    assert q.claim().deliveries == 1


def test_a_block_may_settle_its_claim_itself(q: Queue[Any]) -> None:
    q.put("a")
    with q.claim() as claim:
        claim.renew(60.0)
        claim.dead_letter("no use", error=ValueError("bad"))

    (letter,) = q.dead_letters()
    assert (letter.value, letter.reason, letter.error) == ("a", "no use", "ValueError: bad")
    assert [it.how for it in letter.deliveries] == ["buried"]


def test_a_claim_is_settled_by_its_receipt_as_well(q: Queue[Any]) -> None:
    q.put_many("abcd")
    claims = q.claim_many(4)
    q.renew(claims[0], 60.0)
    q.ack(claims[0].receipt)
    q.release(claims[1], uncharged=True)
    q.retry(claims[2].receipt, error="again")
    q.dead_letter(claims[3], "bad")

    assert q.get_many(9) == ["b", "c"]
    assert q.redrive() == 1
    assert q.get() == "d"


def test_what_always_fails_is_a_dead_letter_in_the_end(client: Client) -> None:
    q = Queue.from_name("poor", create_if_missing=True, max_deliveries=2)
    other = Queue.from_name("other", create_if_missing=True)
    assert len(other) == 0
    q.put("a")
    for _ in range(2):
        q.claim().retry(error=OSError("no"))

    assert [it.reason for it in q.dead_letters()] == ["max_deliveries"]
    assert q.redrive(to=other) == 1
    assert other.get() == "a"


def test_an_ephemeral_queue_ends_with_its_block(client: Client) -> None:
    with Queue.ephemeral() as q:
        q.put(1)
        assert q.stats().is_ephemeral

    with pytest.raises(NotFound):
        Queue.from_name(q.name).get(block=False)


@pytest.mark.needs("processes")
async def test_an_ephemeral_queue_ends_with_the_worker_that_made_it(
    client: Client, q: Queue[Any]
) -> None:
    def work(there: Queue[Any]) -> None:
        import os
        import signal

        from apothic import Queue

        with Queue.ephemeral() as mine:
            there.put(mine.name)
            os.kill(os.getpid(), signal.SIGKILL)

    outcome = await client.run(await client.register(work), q)

    assert outcome.status is JobStatus.LOST
    with pytest.raises(NotFound):
        await Queue.from_name(await q.get.aio()).get.aio(block=False)


def test_a_watch_tells_what_happens(q: Queue[Any]) -> None:
    q.put("a")
    with q.watch(snapshot=True) as events:
        snapshot = next(events)
        q.get()
        taken = next(events)
        q.delete()
        deleted = next(events)

    assert snapshot.data["partitions"][""]["ready"] == 1
    assert (taken.event, taken.data["what"]) == ("queue.changed", "taken")
    assert deleted.event == "queue.deleted"
    with q.watch(after=taken.cursor) as events:
        assert next(events).event == "queue.deleted"


def test_a_watch_of_a_queue_that_is_not_there_says_so(client: Client) -> None:
    with pytest.raises(NotFound):
        next(Queue.from_name("nowhere").watch())


def test_a_watch_may_make_its_queue(q: Queue[Any]) -> None:
    with q.watch(snapshot=True) as events:
        assert next(events).data["partitions"] == {}


def test_a_watch_that_makes_its_queue_tells_all_that_happens_from_then_on(q: Queue[Any]) -> None:
    with q.watch() as events:
        q.put("a")

        assert next(events).data["what"] == "put"


def test_handles_are_equal_by_name_and_always_true(q: Queue[Any]) -> None:
    again = Queue.from_name("q")

    assert q == again != Queue.from_name("other")
    assert len({q, again}) == 1
    assert q
    assert repr(q) == "<Queue 'q'>"


class Unloadable:
    """Pickles to something that cannot be rebuilt."""

    def __reduce__(self) -> Any:
        return (int, ("nonsense",))


def test_an_item_that_cannot_be_rebuilt_is_not_lost(q: Queue[Any]) -> None:
    q.put(Unloadable())
    q.put(Unloadable())
    with pytest.raises(ItemNotLoadable, match="'q' cannot be rebuilt") as caught:
        q.get()
    claim = q.claim()
    with pytest.raises(ItemNotLoadable):
        _ = claim.value
    claim.dead_letter("cannot be read")
    (letter,) = q.dead_letters()

    assert b"nonsense" in caught.value.data["pickle"]
    with pytest.raises(ItemNotLoadable):
        _ = letter.value


def test_what_was_taken_with_an_item_that_cannot_be_rebuilt_is_not_lost(q: Queue[Any]) -> None:
    q.put_many([1, Unloadable(), 2, Unloadable(), 3])
    with pytest.raises(ItemNotLoadable) as caught:
        q.get_many(5)

    assert caught.value.data["others"] == [1, 2, 3]
    assert [b"nonsense" in it for it in caught.value.data["pickles"]] == [True, True]


def test_what_cannot_be_put_is_refused(q: Queue[Any]) -> None:
    with pytest.raises(ArgumentNotSerializable, match=r"the item\['lock'\] is a lock"):
        q.put({"lock": __import__("threading").Lock()})
    with pytest.raises(ItemTooLarge, match="1048576 at the most"):
        q.put(b"x" * (1 << 20))
    q.put_many([])

    assert len(q) == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda q: Queue.from_name("no/name"),
        lambda q: Queue.from_name("q", create_if_missing=q),
        lambda q: Queue.from_name("q", max_items=0),
        lambda q: Queue.from_name("q", max_deliveries=0),
        lambda q: q.put(1, partition="a b"),
        lambda q: q.put(1, ttl_s=0),
        lambda q: q.put(1, delay_s=-1),
        lambda q: q.put(1, delay_s=50_000),
        lambda q: q.put(1, key=""),
        lambda q: q.put(1, timeout_s=-1),
        lambda q: q.put(1, block="no"),
        lambda q: q.get(timeout_s="soon"),
        lambda q: q.get_many(0),
        lambda q: q.get_many(100_001),
        lambda q: q.peek(True),
        lambda q: q.claim(lease_s=0),
        lambda q: q.claim(lease_s=50_000),
        lambda q: q.ack("receipt"),
        lambda q: q.redrive(-1),
        lambda q: q.redrive(10**30),
        lambda q: q.put(1, fence=0),
        lambda q: q.put(1, fence="1"),
        lambda q: q.put_many([1], fence=True),
        lambda q: q.clear(fence=1.5),
        lambda q: q.clear(5),
        lambda q: q.len("no/name"),
        lambda q: q.redrive(to="no/name"),
        lambda q: q.len(total=1),
        lambda q: q.watch(after="17"),
    ],
)
def test_what_cannot_be_meant_is_refused(q: Queue[Any], call: Callable[[Any], Any]) -> None:
    with pytest.raises(InvalidOption):
        call(q)


def test_a_reason_is_a_text(q: Queue[Any]) -> None:
    q.put(1)
    claim = q.claim()

    with pytest.raises(InvalidOption):
        claim.dead_letter(7)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        q.watch(snapshot=True, after=next(q.watch(snapshot=True)).cursor)


# --- on an event loop -----------------------------------------------------------------------------


async def test_both_spellings_are_awaited(q: Queue[Any]) -> None:
    await q.put.aio(1)
    await q.aio.put(2)
    await q.aio.put_many([3, 4])

    assert [await q.get.aio(), await q.aio.get()] == [1, 2]
    assert [item async for item in q.iterate()] == [3, 4]
    async with await q.claim.aio() as claim:
        assert claim.value == 3
    async with await q.aio.claim() as claim:
        await claim.aio.release()
    assert await q.aio.get_many(5) == [4]


async def test_a_blocking_call_on_a_loop_is_refused(q: Queue[Any]) -> None:
    with pytest.raises(BlockingCall, match=r"q\.get\.aio"):
        q.get()


async def test_a_plain_with_on_a_loop_is_refused_before_its_body(q: Queue[Any]) -> None:
    await q.put.aio(1)
    claim = await q.claim.aio()

    for block in (claim, Queue.ephemeral(), Dict.ephemeral(), Dict.ephemeral().lock("k")):
        with pytest.raises(BlockingCall, match="async with"), block:
            pytest.fail("its body has begun")


async def test_gets_that_are_cancelled_lose_nothing(q: Queue[Any]) -> None:
    got: list[Any] = []

    async def get() -> None:
        got.append(await q.get.aio())

    for _ in range(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(get)
            await anyio.lowlevel.checkpoint()
            await q.put.aio("item")  # which is on its way to whoever waits
            tasks.cancel_scope.cancel()

    while len(got) < 20:
        got += await q.get_many.aio(21, timeout_s=20.0)
    assert len(got) == 20


async def test_an_ephemeral_queue_ends_with_an_async_block(client: Client) -> None:
    async with Queue.ephemeral() as q:
        await q.put.aio(1)

    with pytest.raises(NotFound):
        await Queue.from_name(q.name).len.aio()


async def test_a_cancelled_block_has_claimed_nothing(q: Queue[Any]) -> None:
    await q.put.aio("a")
    with anyio.CancelScope() as scope:
        async with await q.claim.aio():
            scope.cancel()
            await anyio.sleep(30)

    claim = await q.claim.aio(timeout_s=30.0)
    assert claim.deliveries == 1


async def test_events_are_read_on_a_loop(q: Queue[Any]) -> None:
    events = q.watch.aio(snapshot=True)
    snapshot = await anext(events)
    await q.put.aio(1)
    put = await anext(events)

    assert (snapshot.event, put.data["what"]) == ("queue.snapshot", "put")


# --- the code of workers --------------------------------------------------------------------------


def echo(source: Queue[Any], target: Queue[Any], count: int) -> str:
    for _ in range(count):
        target.put(source.get(timeout_s=30.0))
    return "done"


async def echo_awaited(source: Queue[Any], target: Queue[Any], count: int) -> str:
    for _ in range(count):
        await target.put.aio(await source.aio.get(timeout_s=30.0))
    return "done"


def settle(q: Queue[Any]) -> list[Any]:
    first, second, third, fourth = q.claim_many(4)
    first.ack()
    second.retry(error="again")
    third.dead_letter("bad")
    return [fourth, q]


def everything(q: Queue[Any]) -> list[Any]:
    q.put_many(["x", "y"], partition="p")
    with q.claim(partition="p") as claim:
        value = claim.value
    q.put("late", delay_s=0.01)
    return [
        value,
        q.peek(1, "p"),
        list(q.iterate(partition="p")),
        q.get(timeout_s=30.0),
        q.get(block=False),
        q.clear(all=True),
        next(iter(q.watch(snapshot=True))).event,
    ]


def hang_with_an_item(q: Queue[Any], wait: Callable[[], None]) -> None:
    q.claim(lease_s=0.2)
    q.put("claimed", partition="told")
    wait()


def die_with_an_item(q: Queue[Any]) -> None:
    import os
    import signal

    q.get()
    os.kill(os.getpid(), signal.SIGKILL)


def die_before_the_item_is_here(q: Queue[Any], wait: Callable[[], None]) -> None:
    import os
    import signal

    from apothic._connect import connect
    from apothic_backends.commands.queues import ClaimItems, TakeItems

    asked = [connect().start(command) for command in (TakeItems(q.name), ClaimItems(q.name))]
    wait()  # nobody reads what comes meanwhile
    assert not any(ticket.done for ticket in asked)
    os.kill(os.getpid(), signal.SIGKILL)


async def cancel_gets(q: Queue[Any]) -> list[Any]:
    import asyncio

    got = []
    tasks = [asyncio.create_task(q.get.aio()) for _ in range(20)]
    for task in tasks:
        await q.put.aio("item")  # which is on its way to the first of those that wait
        task.cancel()
        got += [it for it in await asyncio.gather(task, return_exceptions=True) if it == "item"]
    while len(got) < len(tasks):
        got += await q.get_many.aio(len(tasks) - len(got), timeout_s=20.0)
    return [*got, await q.aio.get(block=False)]


@pytest.mark.parametrize("function", [echo, echo_awaited])
async def test_workers_put_and_get(
    client: Client, q: Queue[Any], function: Callable[..., Any]
) -> None:
    answers = Queue.from_name("answers", create_if_missing=True)
    f = await client.register(function, is_async="awaited" in function.__name__)
    job = await client.submit(f, q, answers, 3)
    await q.put_many.aio(["a", "b", q])

    assert [await answers.get.aio(timeout_s=30.0) for _ in range(3)] == ["a", "b", q]
    assert value_of(await client.wait(job)) == "done"
    assert await q.len.aio() == 0


async def test_workers_settle_claims(client: Client, q: Queue[Any]) -> None:
    await q.put_many.aio("abcd")
    f = await client.register(settle)
    claim, handle = value_of(await client.run(f, q))

    assert isinstance(claim, Claim)
    assert (claim.value, await claim.ack.aio()) == ("d", True)
    assert await handle.get.aio() == "b"
    assert [it.value for it in await handle.dead_letters.aio()] == ["c"]


async def test_workers_can_do_all_that_programs_can(client: Client, q: Queue[Any]) -> None:
    f = await client.register(everything)

    found = value_of(await client.run(f, q))
    assert found == ["x", ["y"], ["y"], "late", None, 1, "queue.snapshot"]


async def test_gets_that_a_worker_cancels_lose_nothing(client: Client, q: Queue[Any]) -> None:
    f = await client.register(cancel_gets, is_async=True)

    assert value_of(await client.run(f, q)) == [*["item"] * 20, None]


@pytest.mark.needs("processes", "stopping")
async def test_what_a_killed_worker_has_claimed_can_be_had_again(
    client: Client, q: Queue[Any], gate: Gate
) -> None:
    await q.put.aio("a")
    f = await client.register(hang_with_an_item, timeout_s=5.0)
    job = await client.submit(f, q, gate.wait)
    await q.get.aio(partition="told", timeout_s=30.0)  # before it has it, it has not been delivered
    from apothic_backends.commands import CancelJob

    await client.backend.start(CancelJob(job))

    claim = await q.claim.aio(timeout_s=30.0)
    assert (claim.value, claim.deliveries) == ("a", 2)


@pytest.mark.needs("processes", "stopping")
async def test_what_a_worker_has_got_goes_with_it(client: Client, q: Queue[Any]) -> None:
    await q.put.aio("a")
    f = await client.register(die_with_an_item)

    assert (await client.run(f, q)).error is not None
    assert (await q.stats.aio()).partitions == {}


@pytest.mark.needs("processes", "stopping")
async def test_what_has_not_reached_a_worker_can_be_had_at_once_when_it_dies(
    client: Client, q: Queue[Any], gate: Gate
) -> None:
    await q.put_many.aio("ab")
    f = await client.register(die_before_the_item_is_here)
    job = await client.submit(f, q, gate.wait)
    async for event in q.watch(snapshot=True):
        if event.data.get("what") == "claimed" or await q.len.aio() == 0:
            break
    gate.let_go()
    await client.wait(job)

    claims = await q.claim_many.aio(2, timeout_s=20.0)
    assert [claim.value for claim in claims] in (["a"], ["a", "b"])
    assert {claim.deliveries for claim in claims} == {1}
