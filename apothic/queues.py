"""Queues: items that programs and workers hand to one another, and claims to them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from os import urandom
from typing import Any, Generic, TypeVar, cast

from apothic._twins import stream, twin
from apothic._values import fence_of, flag, seconds, whole
from apothic.blocks import Ephemeral
from apothic.claims import Claims, Get
from apothic.iterations import Iteration
from apothic.watches import Watch, check_watch
from apothic_backends.commands.queues import ClearQueue, GetQueue, OpenQueue, RedriveItems
from apothic_backends.model.events import Cursor
from apothic_backends.model.queues import (
    MAX_DELIVERIES,
    MAX_ITEMS,
    QueueSnapshot,
    check_name,
)

T = TypeVar("T")


class Queue(Claims[T]):
    """Items that are put once and taken once, by whichever program or worker comes first.

    A handle is only a name: it can be an argument, a result, an item of another queue, or what a
    function refers to, and whoever has it works with the same queue. Each partition keeps the order
    in which items were put. `get` takes an item out: it goes with whoever dies before the item is
    dealt with. `claim` lends it until it is acknowledged, else somebody else gets it in time.
    """

    def __init__(self, name: str, opening: OpenQueue | None = None) -> None:
        self.name = check_name("the name of a queue", name)
        self._opening = opening

    @classmethod
    def from_name(
        cls,
        name: str,
        create_if_missing: bool = False,  # noqa: FBT001, FBT002 - as in other handles
        *,
        max_items: int = MAX_ITEMS,
        max_deliveries: int = MAX_DELIVERIES,
    ) -> Queue[Any]:
        """The queue of that name (1 to 64 letters, digits, `.`, `-`, `_`); asks nobody yet.

        With `create_if_missing` it is made at the first use if there is none: to hold up to
        `max_items` (1 to 1,000,000), each given out `max_deliveries` times (1 to 1,000) before it
        is a dead letter. Without, the first use of a queue that is not there raises `NotFound`.

        Raises:
            InvalidOption: the name, or a limit, cannot be.
        """
        opening = _opened(name, max_items, max_deliveries)
        return Queue(name, opening if flag("create_if_missing", create_if_missing) else None)

    @classmethod
    def ephemeral(
        cls, *, max_items: int = MAX_ITEMS, max_deliveries: int = MAX_DELIVERIES
    ) -> Ephemeral[Queue[Any]]:
        """A queue for one block: `with Queue.ephemeral() as q:`; ends with it or its process."""
        name = f"ephemeral-{urandom(8).hex()}"
        made = Queue[Any](name, _opened(name, max_items, max_deliveries).replace(ephemeral=True))
        link = made._link

        async def make() -> Queue[Any]:
            await link.open()
            return made

        return Ephemeral(make, link.delete_soon)

    @cached_property
    def _link(self) -> Any:
        from apothic._queues import Link  # most programs only declare  # noqa: PLC0415

        return Link(self.name, self._opening)

    @property
    def aio(self) -> QueueAio[T]:
        """The same methods, to be awaited."""
        return QueueAio(self)

    # --- put ------------------------------------------------------------------------------------

    @twin
    async def put(
        self,
        value: T,
        *,
        block: bool = True,
        timeout_s: float | None = None,
        partition: str | None = None,
        ttl_s: float | None = None,
        delay_s: float = 0.0,
        key: str | None = None,
        fence: int | None = None,
    ) -> bool:
        """Put an item (up to 1 MiB pickled) at the end; False if its `key` is known.

        A `key` keeps an item from being put twice: it is known while the item is there, and for
        five minutes after. What nobody has taken within `ttl_s` seconds is dropped; what has a
        `delay_s` (up to 12 hours) can be had only then. A `fence`, of a lock, refuses the item
        once the lock is lost. A full queue makes this wait, for ever or `timeout_s` seconds.

        Raises:
            Full: there was no room in time, or at once with `block=False`.
            ItemTooLarge: put what is large into a volume, and its path here.
            ArgumentNotSerializable: the item cannot be pickled.
            NotFound: there is no such queue.
        """
        how = (partition, ttl_s, delay_s, key, fence)
        is_new: bool = await self._link.put(value, block, timeout_s, how)
        return is_new

    @twin
    async def put_many(
        self,
        values: Iterable[T],
        *,
        block: bool = True,
        timeout_s: float | None = None,
        partition: str | None = None,
        ttl_s: float | None = None,
        delay_s: float = 0.0,
        fence: int | None = None,
    ) -> None:
        """Put all of up to 100,000 items (64 MiB together), or none of them; as `put`.

        Raises:
            Full: there was no room for all in time.
            ItemTooLarge: there never can be.
        """
        how = (partition, ttl_s, delay_s, None, fence)
        await self._link.put_many(values, block, timeout_s, how)

    # --- get ------------------------------------------------------------------------------------

    async def _get(
        self,
        *,
        block: bool = True,
        timeout_s: float | None = None,
        partition: str | None = None,
    ) -> T | None:
        """Take the first item out, waiting for it for ever or `timeout_s` seconds.

        With `block=False` an empty queue gives None. An item is given at most once, and a call
        that is interrupted or cancelled has taken none.

        Raises:
            Empty: no item came in time.
            ItemNotLoadable: it cannot be rebuilt here; the error has its pickle.
            NotFound: there is no such queue.
        """
        found: list[T] = await self._link.take(1, block, timeout_s, partition)
        return found[0] if found else None

    get: Get[T] = cast("Get[T]", twin(_get))

    @twin
    async def get_many(
        self,
        n: int,
        *,
        block: bool = True,
        timeout_s: float | None = None,
        partition: str | None = None,
    ) -> list[T]:
        """Take up to `n` items out (1 to 100,000), at least one; as `get`.

        With `block=False` an empty queue gives an empty list.

        Raises:
            ItemNotLoadable: as `get`; the others that were taken are in its `data["others"]`.
        """
        found: list[T] = await self._link.take(n, block, timeout_s, partition)
        return found

    @twin
    async def peek(self, n: int = 1, partition: str | None = None) -> list[T]:
        """Look at the first `n` items that can be got now; they stay."""
        found: list[T] = await self._link.peek(n, partition)
        return found

    @stream
    def iterate(
        self, *, partition: str | None = None, patience_s: float | None = 0.0
    ) -> Iteration[T]:
        """Go through the items without taking them, for `for` and `async for`.

        It ends when no further one has come for `patience_s` seconds (None: never). What others
        take meanwhile may be missed; nothing is seen twice.
        """
        wait_s = seconds("patience_s", patience_s)
        return Iteration(self._link.seen(partition or "", wait_s).more)

    # --- the queue as a whole -------------------------------------------------------------------

    @twin
    async def redrive(self, n: int | None = None, to: str | Queue[Any] | None = None) -> int:
        """Make the oldest `n` dead letters (None: all) live again; how many.

        They have their old places, or come last in another queue, `to`; a full one gets no more.
        """
        count = None if n is None else whole("n", n, 0, MAX_ITEMS)
        target = to.name if isinstance(to, Queue) else to
        if target is not None:
            check_name("to", target)
        moved: int = await self._link.ask(RedriveItems(self.name, count, target))
        return moved

    @twin
    async def len(self, partition: str | None = None, *, total: bool = False) -> int:
        """How many items can be got now: of a partition, or in `total`; `stats` counts the rest."""
        only = None if flag("total", total) else _partition(partition)
        found: QueueSnapshot = await self._link.ask(GetQueue(self.name, only))
        return found.ready

    @twin
    async def stats(self) -> QueueSnapshot:
        """The settings, and how many items of each partition are ready, delayed, claimed, dead."""
        found: QueueSnapshot = await self._link.ask(GetQueue(self.name))
        return found

    @twin
    async def partitions(self) -> list[str]:
        """The partitions that hold anything; "" is the one without a name."""
        found: QueueSnapshot = await self._link.ask(GetQueue(self.name))
        return [*found.partitions]

    @twin
    async def clear(
        self,
        partition: str | None = None,
        *,
        all: bool = False,  # noqa: A002 - as in other handles
        dead_letters: bool = False,
        fence: int | None = None,
    ) -> int:
        """Drop the items of a partition, or of `all` of them; how many.

        Claimed items stay with who has them. With `dead_letters` those are dropped instead.
        """
        only = None if flag("all", all) else _partition(partition)
        is_dead = flag("dead_letters", dead_letters)
        count: int = await self._link.ask(ClearQueue(self.name, only, is_dead, fence_of(fence)))
        return count

    @twin
    async def delete(self) -> None:
        """Remove the queue and all that is in it; whoever waits gets `NotFound`."""
        await self._link.delete()

    @stream
    def watch(self, *, snapshot: bool = False, after: Cursor | None = None) -> Watch:
        """Follow what happens to the queue, from now on: `queue.changed` and `queue.deleted`.

        `snapshot` begins with what is now; `after` begins after an event of another watch.

        Raises:
            UsageError: `after` is no position, or both are given.
            NotFound: there is no such queue; when the first event is read.
        """
        check_watch(after, snapshot=snapshot)
        return Watch(self._link.watch(after, snapshot=snapshot), owner=self)

    def __len__(self) -> int:
        """How many items can be got now, in all partitions; blocks as `len` does."""
        return self.len(total=True)

    def __bool__(self) -> bool:
        """True, also of an empty one."""
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel by name."""
        return (Queue, (self.name, self._opening))

    def __eq__(self, other: object) -> bool:
        """Equal when it is the same queue."""
        return isinstance(other, Queue) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        """The name."""
        return f"<Queue {self.name!r}>"


def _opened(name: str, max_items: object, max_deliveries: object) -> OpenQueue:
    """Check the limits of a queue that is to be made."""
    return OpenQueue(
        name,
        whole("max_items", max_items, 1, MAX_ITEMS),
        whole("max_deliveries", max_deliveries, 1, 1000),
    )


def _partition(name: str | None) -> str:
    """Check which partition is meant."""
    return "" if name is None or name == "" else check_name("partition", name)


class QueueAio(Generic[T]):
    """The methods of a queue, to be awaited on asyncio or trio."""

    def __init__(self, queue: Queue[T]) -> None:
        self.put = queue.put.aio
        self.put_many = queue.put_many.aio
        self.get = queue.get.aio
        self.get_many = queue.get_many.aio
        self.peek = queue.peek.aio
        self.iterate = queue.iterate.aio
        self.claim = queue.claim.aio
        self.claim_many = queue.claim_many.aio
        self.ack = queue.ack.aio
        self.renew = queue.renew.aio
        self.release = queue.release.aio
        self.retry = queue.retry.aio
        self.dead_letter = queue.dead_letter.aio
        self.dead_letters = queue.dead_letters.aio
        self.redrive = queue.redrive.aio
        self.len = queue.len.aio
        self.stats = queue.stats.aio
        self.partitions = queue.partitions.aio
        self.clear = queue.clear.aio
        self.delete = queue.delete.aio
        self.watch = queue.watch.aio
