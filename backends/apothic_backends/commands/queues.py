"""Queues: items that are put once and taken once, or claimed until they are dealt with.

A queue is named; those of unknown names are `NotFound`. Each has partitions, which are there as
soon as something is put into them; "" is the one without a name. `timeout_s` is how long to wait:
0 not at all, None for ever. A write that carries a `fence` is refused with `Fenced` once the lock
that it belongs to is not held any more.
"""

from __future__ import annotations

from apothic_backends.commands.base import Command
from apothic_backends.model.payloads import Payload
from apothic_backends.model.queues import (
    LEASE_S,
    MAX_DELIVERIES,
    MAX_ITEMS,
    DeadLetters,
    QueueItems,
    QueueSnapshot,
    Receipt,
)


class OpenQueue(Command[None]):
    """See to it that there is a queue; one that is there already stays as it is.

    What is `ephemeral` outlives neither the worker process that makes it, nor the control plane.
    """

    queue: str
    max_items: int = MAX_ITEMS
    max_deliveries: int = MAX_DELIVERIES
    ephemeral: bool = False


class DeleteQueue(Command[None]):
    """Remove a queue and all that is in it; whoever waits at it gets `NotFound`."""

    queue: str


class PutItems(Command[bool]):
    """Put items, as `PICKLES`, all of them or none; False if the key is known.

    A `key` (of a single item) is known while its message is there and for five minutes after.
    Without room for all the reply waits, then it is `QueueFull`. Items that are not taken within
    `ttl_s` seconds are dropped; those with a delay can be got that much later.
    """

    adds = True

    queue: str
    items: Payload
    count: int
    partition: str = ""
    timeout_s: float | None = None
    ttl_s: float | None = None
    delay_s: float = 0.0
    key: str | None = None
    fence: int | None = None


class TakeItems(Command[QueueItems]):
    """Take up to `count` items out, at least one; none if none has come in time.

    A reply that nobody wants any more puts them back, and so does one that has not reached the
    worker that asked when that dies.
    """

    queue: str
    count: int = 1
    partition: str = ""
    timeout_s: float | None = None


class ClaimItems(Command[QueueItems]):
    """Be given up to `count` items for `lease_s` seconds, each with its receipt; as `TakeItems`.

    What is not acknowledged by then can be had again, in its old place.
    """

    queue: str
    count: int = 1
    partition: str = ""
    timeout_s: float | None = None
    lease_s: float = LEASE_S


class AckItems(Command[int]):
    """Say that claimed items are dealt with: how many of them were not known to be.

    `StaleClaim` for one receipt changes nothing for any. That an item was acknowledged is known
    for a day, of the latest 100,000 of a queue.
    """

    receipts: tuple[Receipt, ...]
    fence: int | None = None


class RenewClaim(Command[None]):
    """Have a claim hold for `lease_s` seconds from now."""

    receipt: Receipt
    lease_s: float = LEASE_S


class ReturnItem(Command[None]):
    """Give a claimed item back, to be had again in its old place, `delay_s` from now.

    Unless it is `uncharged`, its deliveries count, and after the last it is a dead letter. An
    `error`, even an empty one, says that it was tried.
    """

    receipt: Receipt
    delay_s: float = 0.0
    uncharged: bool = False
    error: str | None = None


class BuryItem(Command[None]):
    """Make a claimed item a dead letter."""

    receipt: Receipt
    reason: str = ""
    error: str = ""


class PeekItems(Command[QueueItems]):
    """Look at up to `count` items after the one with the number `after`; they stay."""

    queue: str
    count: int = 1
    partition: str = ""
    after: int = 0
    timeout_s: float | None = 0.0


class GetQueue(Command[QueueSnapshot]):
    """Look at a queue: all its partitions, or one."""

    queue: str
    partition: str | None = None


class ListDeadLetters(Command[DeadLetters]):
    """Look at the oldest dead letters of a queue, after the one with the number `after`."""

    queue: str
    count: int = 100
    after: int = 0


class RedriveItems(Command[int]):
    """Make dead letters live again, the oldest first; how many.

    `count` None is all. Their deliveries are forgotten. In their own queue they have their old
    places; in another, `to`, they come last. A queue without room gets no more.
    """

    queue: str
    count: int | None = None
    to: str | None = None


class ClearQueue(Command[int]):
    """Drop what waits in a partition, or in all (None): how many. Claimed items stay claimed.

    `dead` drops the dead letters instead.
    """

    queue: str
    partition: str | None = None
    dead: bool = False
    fence: int | None = None
