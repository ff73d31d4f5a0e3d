"""The life of a message in a queue.

           ┌──────── take ────────► gone
    put ─► ready ──claim─► claimed ──ack─► gone
      │    ▲  ▲               │  │
      │    │  └─── release ───┤  └─bury──► dead ──redrive─► ready
      ▼    │       lapse      ▼
     delayed ◄── release with a delay

What is ready or delayed may expire or be cleared, and is gone then. A claim that lapses or is
released for the last of `max_deliveries` times is buried. One that is gone is remembered for a
while if it had a key or was acknowledged.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from apothic_backends.model.queues import DeadLetter, Delivery, Receipt
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.records import pack, unpack

MOST_HISTORY = 20
"""Deliveries of a message that are told of when it is dead."""


class State(Enum):
    """Where a message is in its life."""

    READY = "ready"
    DELAYED = "delayed"
    CLAIMED = "claimed"
    DEAD = "dead"
    GONE = "gone"


READY, DELAYED, CLAIMED, DEAD, GONE = State


class Claim:
    """Who has a message for the time being."""

    __slots__ = ("at", "fence", "lease_s")

    def __init__(self, at: float, fence: int, lease_s: float) -> None:
        self.at = at
        self.fence = fence
        self.lease_s = lease_s


class Past:
    """What has happened to a message before, if it was not taken at once."""

    __slots__ = ("deliveries", "died_at", "error", "reason")

    def __init__(self) -> None:
        self.deliveries: list[tuple[float, float, str, str]] = []
        self.reason = ""
        self.error = ""
        self.died_at = 0.0


class Message:
    """One item and where it is. Plain slots: made for every item.

    `partition` is a `partitions.Partition`; here it is only passed on.
    """

    __slots__ = (
        "claim",
        "data",
        "deliveries",
        "due",
        "expires_at",
        "key",
        "number",
        "partition",
        "past",
        "put_at",
        "state",
    )

    def __init__(
        self, number: int, partition: Any, data: bytes, now: float, expires_at: float = NEVER
    ) -> None:
        self.number = number
        self.partition = partition
        self.data = data
        self.put_at = now
        self.expires_at = expires_at
        self.state = GONE
        self.due = NEVER
        """When a lease or a delay is over; of one that is gone, when it went."""
        self.deliveries = 0
        """How many times it was given out, as far as they count."""
        self.key: str | None = None
        self.claim: Claim | None = None
        self.past: Past | None = None

    def awaits(self, moment: float) -> bool:
        """Whether anything is to happen at a moment."""
        if self.state is CLAIMED:
            return moment == self.due
        is_waiting = self.state is READY or self.state is DELAYED
        return is_waiting and moment in (self.due, self.expires_at)

    def receipt(self) -> Receipt:
        """What its claim is settled with."""
        assert self.claim is not None
        return Receipt(self.partition.queue.name, self.number, self.deliveries, self.claim.fence)

    def note(self, now: float, how: str, error: str) -> None:
        """A claim has ended without an acknowledgement."""
        assert self.claim is not None
        if self.past is None:
            self.past = Past()
        past = self.past
        past.deliveries = [*past.deliveries, (self.claim.at, now, how, error)][-MOST_HISTORY:]
        past.error = error or past.error

    def letter(self, wall: float) -> DeadLetter:
        """What is told of it now that it is dead."""
        past = self.past or Past()
        return DeadLetter(
            message=self.number,
            partition=self.partition.name,
            reason=past.reason,
            error=past.error,
            put_at=self.put_at + wall,
            died_at=past.died_at + wall,
            deliveries=tuple(
                Delivery(at + wall, ended + wall, how, error)
                for at, ended, how, error in past.deliveries
            ),
        )

    # --- records --------------------------------------------------------------------------------

    def pack(self) -> bytes:
        """All of it, with times as Unix time."""
        return pack(self.head(), self.data)

    def head(self) -> list[Any]:
        """All of it but its item."""
        wall = self.partition.queue.wall_offset
        claim, past = self.claim, self.past
        return [
            self.partition.name,
            self.state.value,
            self.put_at + wall,
            _later(self.expires_at, wall),
            _later(self.due, wall),
            self.deliveries,
            self.key,
            claim and [claim.at + wall, claim.fence, claim.lease_s],
            past and [_moved(past.deliveries, wall), past.reason, past.error, past.died_at + wall],
        ]


def unpacked(number: int, record: bytes, wall: float) -> tuple[str, Message]:
    """A message out of its record, and the name of its partition."""
    head, (data,) = unpack(record)
    return of_head(number, head, data, wall)


def of_head(number: int, head: list[Any], data: bytes, wall: float) -> tuple[str, Message]:
    """A message out of all of it but its item, and that; and the name of its partition."""
    name, state, put_at, expires_at, due, deliveries, key, claim, past = head
    message = Message(number, None, data, put_at - wall, _back(expires_at, wall))
    message.state = State(state)
    message.due = _back(due, wall)
    message.deliveries = deliveries
    message.key = key
    if claim is not None:
        message.claim = Claim(claim[0] - wall, *claim[1:])
    if past is not None:
        message.past = told = Past()
        told.deliveries = _moved(past[0], -wall)
        told.reason, told.error, told.died_at = past[1], past[2], past[3] - wall
    return name, message


def _later(moment: float, by: float) -> float | None:
    """A moment as Unix time; what never comes has none in records."""
    return None if moment == NEVER else moment + by


def _back(moment: float | None, wall: float) -> float:
    return NEVER if moment is None else moment - wall


def _moved(
    deliveries: list[tuple[float, float, str, str]], by: float
) -> list[tuple[float, float, str, str]]:
    return [(at + by, ended + by, how, error) for at, ended, how, error in deliveries]
