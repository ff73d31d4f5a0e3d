"""What travels to and from queues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from apothic_backends.model.errors import BackendError, InvalidOption, UsageError
from apothic_backends.model.payloads import PICKLES, Payload
from apothic_backends.model.record import Aside, Record

Undo = Callable[[float], None] | None

MOST_NAME: Final = 64
"""Characters of the name of a queue, and of a partition."""

MOST_KEY: Final = 200
"""Characters of a key that keeps an item from being put twice."""

MOST_ITEM: Final = 1 << 20
"""Bytes of one item, pickled."""

MOST_AT_ONCE: Final = 100_000
"""Items in one command."""

MOST_TOGETHER: Final = 64 << 20
"""Bytes of items in one command; a reply with more than one item has no more."""

MAX_ITEMS: Final = 1_000_000
"""Items that a queue holds at the most, where nothing else is said; and the most that can be."""

MAX_DELIVERIES: Final = 5
"""How often a message is given out, where nothing else is said, before it is a dead letter."""

LEASE_S: Final = 30.0
"""How long a claim holds where nothing else is said."""

MOST_LEASE_S: Final = 12 * 3600.0
"""The longest lease, and the longest delay."""

_IN_NAMES: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


class ItemTooLarge(UsageError):
    """An item for a queue has more than 1 MiB pickled, or there are more items than may be."""

    code = "item_too_large"


class StaleClaim(BackendError):
    """The claim does not hold any more: its lease is over, or it was settled in another way.

    Nothing has happened. Somebody else may have the message by now. `data`: `queue`, `number`.
    """

    code = "stale_claim"


class ItemNotLoadable(BackendError):
    """An item was taken out of a queue and cannot be rebuilt in this process.

    `data`: `pickle`, its bytes, so that it is not lost; with a claim it is still in the queue. Of
    several that were taken at once, `others` are those that could be rebuilt, in their order, and
    `pickles` all those that could not.
    """

    code = "item_not_loadable"


def check_name(what: str, name: object) -> str:
    """The name of a queue or a partition, if it can be one.

    Raises:
        InvalidOption: it cannot.
    """
    if isinstance(name, str) and 0 < len(name) <= MOST_NAME and _IN_NAMES.issuperset(name):
        return name
    raise InvalidOption(
        f"{what} must be 1 to {MOST_NAME} letters, digits, dots, dashes or underscores of ASCII, "
        f"not {name!r:.100}",
        option=what,
        value=name,
    )


class Receipt(Record):
    """What settles one claim: of which message, its how-manieth delivery (from 1), and the fence.

    A later claim of the same message has a larger fence, and this receipt is stale then.
    """

    queue: str
    message: int
    delivery: int
    fence: int


class QueueItems(Record):
    """Items out of a queue, as `PICKLES`; in claims, the receipt of each.

    `last` is the number of the last of them, to look on from, if they are still there.
    """

    items: Payload
    count: int
    receipts: tuple[Receipt, ...] = ()
    last: int = 0
    undo: Aside[Undo] = None
    """Puts them back, if the reply has reached nobody."""


class Delivery(Record):
    """One time that a message was given out and not acknowledged. Times are Unix seconds.

    `how` it ended: "released", "retried", "lapsed" or "buried".
    """

    claimed_at: float
    ended_at: float
    how: str
    error: str = ""


class DeadLetter(Record):
    """A message that nobody could deal with. Times are Unix seconds.

    `reason` is what `dead_letter` was told, or "max_deliveries". `deliveries` are the last few.
    """

    message: int
    partition: str
    reason: str
    error: str
    put_at: float
    died_at: float
    deliveries: tuple[Delivery, ...]


class DeadLetters(Record):
    """Dead letters, the oldest first, and their items as `PICKLES`."""

    items: Payload
    letters: tuple[DeadLetter, ...]


class PartitionCounts(Record):
    """How many messages can be got now, come later, are claimed, and are dead."""

    ready: int
    delayed: int
    claimed: int
    dead: int


class QueueSnapshot(Record):
    """A queue at one moment; `partitions` are those that hold anything, by name."""

    name: str
    max_items: int
    max_deliveries: int
    is_ephemeral: bool
    partitions: dict[str, PartitionCounts]

    @property
    def ready(self) -> int:
        """Messages that can be got now."""
        return sum(counts.ready for counts in self.partitions.values())

    @property
    def delayed(self) -> int:
        """Messages that can be got later."""
        return sum(counts.delayed for counts in self.partitions.values())

    @property
    def claimed(self) -> int:
        """Messages that somebody works on."""
        return sum(counts.claimed for counts in self.partitions.values())

    @property
    def dead(self) -> int:
        """Dead letters."""
        return sum(counts.dead for counts in self.partitions.values())


NO_ITEMS: Final = Payload(b"", (), PICKLES)


def alone(item: bytes) -> Payload:
    """A pickle as a payload."""
    return Payload(len(item).to_bytes(4, "little") + item, (), PICKLES)


def joined(items: list[bytes]) -> Payload:
    """Pickles as one payload."""
    if len(items) == 1:
        return alone(items[0])
    lengths = [len(item).to_bytes(4, "little") for item in items]
    return Payload(b"".join((*lengths, *items)), (), PICKLES)


def split(items: Payload, count: int) -> list[bytes]:
    """The pickles in a payload, unopened.

    Raises:
        ValueError: there are not as many.
    """
    if not count and not items.nbytes:
        return []
    data: Any = items.data
    ends = 4 * count
    if items.codec != PICKLES or items.buffers or len(data) < ends:
        raise ValueError(f"{count} items cannot be in {items}")
    if count == 1 and int.from_bytes(data[:4], "little") == len(data) - 4:
        return [data[4:]]
    found: list[bytes] = []
    for at in range(0, 4 * count, 4):
        length = int.from_bytes(data[at : at + 4], "little")
        found.append(data[ends : ends + length])
        ends += length
    if ends != len(data):
        raise ValueError(f"{ends} bytes of {count} items are told of, and {len(data)} are there")
    return found
