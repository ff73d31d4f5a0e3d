"""What type checkers see of queues: read by pyright and mypy, never run."""

from __future__ import annotations

from typing import Any, assert_type

from apothic import Claim, DeadLetter, Queue, Watch
from apothic_backends.model.queues import QueueSnapshot, Receipt

words: Queue[str] = Queue.from_name("words", create_if_missing=True, max_items=10)


def puts() -> None:
    assert_type(words.put("a", key="a", ttl_s=5), bool)
    assert_type(words.put_many(["a", "b"], partition="p", fence=3), None)


def gets() -> None:
    assert_type(words.get(), str)
    assert_type(words.get(timeout_s=5, partition="p"), str)
    assert_type(words.get(block=False), str | None)
    assert_type(words.get_many(5, block=False), list[str])
    assert_type(words.peek(3), list[str])
    assert_type(list(words.iterate(patience_s=None)), list[str])


def claims() -> None:
    with words.claim(lease_s=5) as claim:
        assert_type(claim, Claim[str])
        assert_type(claim.value, str)
        assert_type(claim.receipt, Receipt)
        assert_type(claim.deliveries, int)
        assert_type(claim.renew(5), None)
        assert_type(claim.ack(), bool)
    assert_type(words.claim(block=False), Claim[str] | None)
    assert_type(words.claim_many(5), list[Claim[str]])
    assert_type(words.ack(claim), bool)
    assert_type(words.ack(claim.receipt), bool)
    assert_type(words.retry(claim.receipt, 5, error=ValueError()), None)
    assert_type(words.dead_letter(claim, "no word"), None)


def the_rest() -> None:
    assert_type(words.dead_letters(), list[DeadLetter[str]])
    assert_type(words.dead_letters()[0].value, str)
    assert_type(words.redrive(to=Queue.from_name("others")), int)
    assert_type(words.stats(), QueueSnapshot)
    assert_type(words.len(total=True), int)
    assert_type(words.partitions(), list[str])
    assert_type(words.clear(all=True), int)
    assert_type(words.watch(snapshot=True), Watch)
    with Queue.ephemeral() as queue:
        assert_type(queue, Queue[Any])


async def awaited() -> None:
    assert_type(await words.put.aio("a"), bool)
    assert_type(await words.aio.put("a"), bool)
    assert_type(await words.get.aio(), str)
    assert_type(await words.aio.get(block=False), str | None)
    assert_type(await words.aio.get_many(5), list[str])
    assert_type([word async for word in words.aio.iterate()], list[str])
    async with await words.claim.aio() as claim:
        assert_type(claim, Claim[str])
        assert_type(await claim.ack.aio(), bool)
        await claim.aio.renew(5)
    assert_type(await words.aio.claim(block=False), Claim[str] | None)
    assert_type(await words.aio.claim_many(5), list[Claim[str]])
    assert_type(await words.aio.release(claim, uncharged=True), None)
    assert_type(await words.aio.dead_letters(5), list[DeadLetter[str]])
    assert_type(await words.aio.stats(), QueueSnapshot)
    async with Queue.ephemeral() as queue:
        assert_type(queue, Queue[Any])


def mistakes() -> None:
    words.put(1)  # type: ignore[arg-type]
    words.put_many([1])  # type: ignore[list-item]
    words.ack("3")  # type: ignore[arg-type]
