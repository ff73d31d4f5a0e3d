"""What carries out the wishes of a queue: procedures, for `_drive`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from apothic._connect import ask, ask_soon, connect
from apothic._drive import step
from apothic._serialize import decode_item, pickled
from apothic._values import fence_of, flag, number, refuse, seconds, whole
from apothic._watches import Reading
from apothic.claims import Claim, DeadLetter, delay, lease
from apothic.errors import Empty, Full
from apothic_backends.commands.base import Command
from apothic_backends.commands.queues import (
    ClaimItems,
    DeleteQueue,
    ListDeadLetters,
    OpenQueue,
    PeekItems,
    PutItems,
    TakeItems,
)
from apothic_backends.interrupts import WINDOW
from apothic_backends.model.errors import NotFound, QueueFull
from apothic_backends.model.events import Cursor
from apothic_backends.model.queues import (
    MOST_AT_ONCE,
    MOST_KEY,
    ItemNotLoadable,
    QueueItems,
    alone,
    check_name,
    joined,
    split,
)

T = TypeVar("T")
How = tuple[object, object, object, object, int | None]
"""How items are put: the partition, the time to live, the delay, the key, and the fence."""

_PLAIN: dict[str, Any] = {}
"""How items are put where nothing is said."""


class Link:
    """One queue; with `opening` it is made where it is missing."""

    def __init__(self, name: str, opening: OpenQueue | None) -> None:
        self.name = name
        self._opening = opening

    async def ask(self, command: Command[T]) -> T:
        """Ask for something, in a queue that is there if it may be made."""
        ticket = connect().start(command)
        try:
            return ticket.result() if ticket.done else await step(ticket)
        except NotFound as error:
            if self._opening is None or error.data.get("is_deleted"):
                raise
        except BaseException:
            ticket.cancel()
            raise
        await self.open()
        return await ask(command)

    async def open(self) -> None:
        """See to it that the queue is there, if it may be made."""
        if self._opening is not None:
            await step(connect().start(self._opening))

    async def put(self, value: object, block: object, timeout_s: object, how: How) -> bool:
        """Put one item."""
        options = _options(_patience(block, timeout_s), how)
        return await self._put(PutItems(self.name, alone(pickled("the item", value)), 1, **options))

    async def put_many(
        self, values: Iterable[object], block: object, timeout_s: object, how: How
    ) -> None:
        """Put all items, or none."""
        options = _options(_patience(block, timeout_s), how)
        with WINDOW:  # the iterable is the user's
            items = [pickled("the item", value) for value in values]
        if items:
            await self._put(PutItems(self.name, joined(items), len(items), **options))

    async def _put(self, command: PutItems) -> bool:
        try:
            return await self.ask(command)
        except QueueFull as error:
            raise Full(error.message, **error.data) from None

    async def take(
        self, n: object, block: object, timeout_s: object, partition: str | None
    ) -> list[Any]:
        """Take items out."""
        wait_s = _patience(block, timeout_s)
        found = await self.ask(TakeItems(self.name, _at_once(n), partition or "", wait_s))
        return self.decode(found) or self._none(block)

    async def claim(
        self, n: object, block: object, timeout_s: object, partition: str | None, lease_s: object
    ) -> list[Claim[Any]]:
        """Be lent items."""
        wait_s = _patience(block, timeout_s)
        found = await self.ask(
            ClaimItems(self.name, _at_once(n), partition or "", wait_s, lease(lease_s))
        )
        items = split(found.items, found.count)
        claims = [Claim[Any](*pair) for pair in zip(found.receipts, items, strict=True)]
        return claims or self._none(block)

    def _none(self, block: object) -> list[Any]:
        if block:
            raise Empty(f"no item came in time from the queue {self.name!r}", queue=self.name)
        return []

    async def peek(self, n: object, partition: str | None) -> list[Any]:
        """Look at items."""
        return self.decode(await self.ask(PeekItems(self.name, _at_once(n), partition or "")))

    async def dead_letters(self, n: object) -> list[DeadLetter[Any]]:
        """Look at dead letters."""
        found = await self.ask(ListDeadLetters(self.name, _at_once(n)))
        items = split(found.items, len(found.letters))
        return [
            DeadLetter(letter, data, self.name)
            for letter, data in zip(found.letters, items, strict=True)
        ]

    def decode(self, items: QueueItems) -> list[Any]:
        """What is in a reply, rebuilt.

        Raises:
            ItemNotLoadable: one of them cannot be rebuilt here; with it are all the others, which
                may be nowhere else any more.
        """
        if items.count == 1:
            return [decode_item(items.items.data[4:], self.name)]
        values: list[Any] = []
        failed: list[ItemNotLoadable] = []
        for data in split(items.items, items.count):
            try:
                values.append(decode_item(data, self.name))
            except ItemNotLoadable as error:
                failed.append(error)
        if failed:
            first = failed[0]
            first.data["others"] = values
            first.data["pickles"] = [error.data["pickle"] for error in failed]
            raise first
        return values

    def seen(self, partition: str, patience_s: float | None) -> Seen:
        """Look at the items of a partition one after the other."""
        return Seen(self, partition, patience_s)

    async def delete(self) -> None:
        """Remove it; one that may be made and was not is none to remove."""
        try:
            await ask(DeleteQueue(self.name))
        except NotFound:
            if self._opening is None:
                raise

    async def delete_soon(self) -> None:
        """Delete the queue, without waiting for it."""
        ask_soon(DeleteQueue(self.name))

    def watch(self, after: Cursor | None, *, snapshot: bool) -> Reading:
        """Read the queue's events."""
        backend = connect()
        opened = None if self._opening is None else backend.start(self._opening)
        stream = backend.watch(f"queues:{self.name}", after, snapshot=snapshot)
        return Reading(stream, first=opened)


class Seen:
    """Goes through the items of a partition, which stay there."""

    def __init__(self, link: Link, partition: str, patience_s: float | None) -> None:
        self._link = link
        self._partition = partition
        self._patience_s = patience_s
        self._after = 0

    async def more(self) -> list[Any]:
        """The next items, waiting for one; none if none comes in time."""
        command = PeekItems(self._link.name, 100, self._partition, self._after, self._patience_s)
        found = await self._link.ask(command)
        self._after = found.last
        return self._link.decode(found)


def _patience(block: object, timeout_s: object) -> float | None:
    """How long to wait, as commands say it: 0 not at all, None for ever."""
    if block is True and timeout_s is None:
        return None
    wait_s = seconds("timeout_s", timeout_s)
    return wait_s if flag("block", block) else 0.0


def _at_once(n: object) -> int:
    """Check a number of items."""
    return whole("n", n, 1, MOST_AT_ONCE)


def _options(timeout_s: float | None, how: How) -> dict[str, Any]:
    """Check how items are to be put: what is said beside the defaults."""
    partition, ttl_s, delay_s, key, fence = how
    if partition is not None:
        check_name("partition", partition)
    if ttl_s is not None:
        number("ttl_s", ttl_s, 0.001)
    if key is not None and not (isinstance(key, str) and 0 < len(key) <= MOST_KEY):
        refuse("key", key, f"a string of 1 to {MOST_KEY} characters")
    if fence is not None:
        fence_of(fence)
    if not (partition or timeout_s is not None or ttl_s or delay_s != 0 or key or fence):
        return _PLAIN
    return {
        "partition": partition or "",
        "timeout_s": timeout_s,
        "ttl_s": ttl_s,
        "delay_s": delay(delay_s),
        "key": key,
        "fence": fence,
    }
