"""What carries out the wishes of a queue: procedures, for `_drive`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from apothic._connect import ask, ask_soon, connect
from apothic._drive import step
from apothic._serialize import decode_item, pickled
from apothic._watching import Reading
from apothic.claims import Claim, DeadLetter
from apothic.waiting import Full
from apothic_backends.base import EventStream
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
from apothic_backends.model.queues import QueueItems, alone, joined, split

T = TypeVar("T")


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

    async def put(self, value: object, how: dict[str, Any]) -> bool:
        """Put one item."""
        items = alone(pickled("the item", value))
        try:
            return await self.ask(PutItems(self.name, items, 1, **how))
        except QueueFull as error:
            raise Full(error.message, **error.data) from None

    async def put_many(self, values: Iterable[object], how: dict[str, Any]) -> None:
        """Put all items, or none."""
        with WINDOW:  # the iterable is the user's
            items = [pickled("the item", value) for value in values]
        if not items:
            return
        try:
            await self.ask(PutItems(self.name, joined(items), len(items), **how))
        except QueueFull as error:
            raise Full(error.message, **error.data) from None

    async def take(self, count: int, timeout_s: float | None, partition: str) -> list[Any]:
        """Take items out."""
        return self.decode(await self.ask(TakeItems(self.name, count, partition, timeout_s)))

    async def claim(
        self, count: int, timeout_s: float | None, partition: str, lease_s: float
    ) -> list[Claim[Any]]:
        """Be lent items."""
        found = await self.ask(ClaimItems(self.name, count, partition, timeout_s, lease_s))
        items = split(found.items, found.count)
        return [Claim(*pair) for pair in zip(found.receipts, items, strict=True)]

    async def peek(self, count: int, partition: str) -> list[Any]:
        """Look at items."""
        return self.decode(await self.ask(PeekItems(self.name, count, partition)))

    async def dead_letters(self, count: int) -> list[DeadLetter[Any]]:
        """Look at dead letters."""
        found = await self.ask(ListDeadLetters(self.name, count))
        items = split(found.items, len(found.letters))
        return [
            DeadLetter(letter, data, self.name)
            for letter, data in zip(found.letters, items, strict=True)
        ]

    def decode(self, items: QueueItems) -> list[Any]:
        """What is in a reply, rebuilt.

        Raises:
            ItemNotLoadable: one of them cannot be rebuilt here.
        """
        if items.count == 1:
            return [decode_item(items.items.data[4:], self.name)]
        return [decode_item(data, self.name) for data in split(items.items, items.count)]

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

        async def begin() -> EventStream:
            await self.open()
            return connect().watch(f"queues:{self.name}", after, snapshot=snapshot)

        if self._opening is not None:
            return Reading(begin)
        return Reading(connect().watch(f"queues:{self.name}", after, snapshot=snapshot))


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
