"""A queue and its partitions: which message is the next, and who waits for it."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from heapq import heapify, heappop, heappush, merge
from itertools import islice

from apothic_backends.model.queues import PartitionCounts
from apothic_emulator.core.messages import CLAIMED, DELAYED, GONE, READY, Message, State
from apothic_emulator.core.records import pack, unpack
from apothic_emulator.core.shared import SharedWait

SWEPT = 64
"""Entries below which nobody looks for those that stand for nothing any more."""


class Partition:
    """Messages in the order in which they were put.

    `fresh` has those that were never given out, `returned` the others. Both may hold messages that
    are not ready any more: they are passed over, and swept out when they are the most.
    """

    __slots__ = (
        "_sweep_at",
        "claimed",
        "dead",
        "delayed",
        "fresh",
        "getters",
        "lookers",
        "name",
        "queue",
        "ready",
        "returned",
    )

    def __init__(self, queue: Queue, name: str) -> None:
        self.queue = queue
        self.name = name
        self.fresh: deque[Message] = deque()
        self.returned: list[tuple[int, Message]] = []
        self.ready = self.delayed = self.claimed = self.dead = 0
        self.getters: deque[SharedWait] = deque()
        """Who waits for a message, to take or to claim it."""
        self.lookers: deque[SharedWait] = deque()
        """Who waits for a message to look at."""
        self._sweep_at = SWEPT

    @property
    def is_empty(self) -> bool:
        """Whether it holds no message."""
        return not (self.ready or self.delayed or self.claimed or self.dead)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is known of it that a new one would not know."""
        return self.is_empty and not (self.getters or self.lookers)

    def move(self, message: Message, state: State) -> None:
        """A message of this partition is in another state."""
        before, message.state = message.state, state
        if before is READY:
            self.ready -= 1
        elif before is not GONE:
            self._count(before, -1)
        if state is READY:
            self.ready += 1
        elif state is not GONE:
            self._count(state, 1)

    def _count(self, state: State, change: int) -> None:
        if state is DELAYED:
            self.delayed += change
        elif state is CLAIMED:
            self.claimed += change
            self.queue.claimed += change
        else:
            self.dead += change

    def counts(self) -> PartitionCounts:
        """How many messages there are."""
        return PartitionCounts(self.ready, self.delayed, self.claimed, self.dead)

    def tidy(self, now: float) -> None:
        """Somebody has stopped waiting."""
        self.queue.tidy(self)

    def first(self) -> Message | None:
        """The next message, which is taken out of the order."""
        fresh, returned = self.fresh, self.returned
        while fresh and fresh[0].state is not READY:
            fresh.popleft()
        while returned and returned[0][1].state is not READY:
            heappop(returned)
        if returned and (not fresh or returned[0][0] < fresh[0].number):
            return heappop(returned)[1]
        return fresh.popleft() if fresh else None

    def append(self, message: Message) -> None:
        """Put a message after all others."""
        self.fresh.append(message)
        message.state = READY
        self.ready += 1

    def come_back(self, message: Message) -> None:
        """Put a message into its old place."""
        self.move(message, READY)
        heappush(self.returned, (message.number, message))

    def sweep(self) -> None:
        """Drop what is not ready any more, where that is the most."""
        if len(self.fresh) + len(self.returned) < self._sweep_at:
            return
        self.fresh = deque(it for it in self.fresh if it.state is READY)
        self.returned = [entry for entry in self.returned if entry[1].state is READY]
        heapify(self.returned)
        self._sweep_at = SWEPT + 2 * self.ready

    def in_order(self, after: int, most: int) -> list[Message]:
        """The messages that are ready after a number, up to so many."""
        start = bisect_right(self.fresh, after, key=_number)
        fresh = (it for it in islice(self.fresh, start, None) if it.state is READY)
        returned = [it for n, it in self.returned if n > after and it.state is READY]
        returned.sort(key=_number)
        return list(islice(merge(returned, fresh, key=_number), most))


def _number(message: Message) -> int:
    return message.number


class Queue:
    """One queue; `number` is 0 if it is not kept."""

    __slots__ = (
        "claimed",
        "dead",
        "is_ephemeral",
        "keys",
        "last",
        "max_deliveries",
        "max_items",
        "messages",
        "name",
        "number",
        "partitions",
        "past",
        "putters",
        "topic",
        "wall_offset",
    )

    def __init__(
        self,
        number: int,
        name: str,
        wall_offset: float,
        *,
        max_items: int,
        max_deliveries: int,
        is_ephemeral: bool = False,
    ) -> None:
        self.number = number
        self.name = name
        self.topic = f"queues:{name}"
        self.wall_offset = wall_offset
        self.max_items = max_items
        self.max_deliveries = max_deliveries
        self.is_ephemeral = is_ephemeral
        self.last = 0
        """The number of the latest message."""
        self.claimed = 0
        self.partitions: dict[str, Partition] = {}
        self.messages: dict[int, Message] = {}
        """Those that are ready, delayed or claimed."""
        self.dead: dict[int, Message] = {}
        """Dead letters, the oldest first."""
        self.past: dict[int, Message] = {}
        """Those that are gone and remembered, the oldest first."""
        self.keys: dict[str, Message] = {}
        self.putters: deque[SharedWait] = deque()
        """Who waits for room."""

    def partition(self, name: str) -> Partition:
        """The partition of that name, there as soon as it is asked for."""
        found = self.partitions.get(name)
        if found is None:
            found = self.partitions[name] = Partition(self, name)
        return found

    def tidy(self, partition: Partition) -> None:
        """Forget a partition of which nothing is known; but not the one that most use."""
        if partition.name and partition.is_idle:
            self.partitions.pop(partition.name, None)

    def pack(self) -> bytes:
        """What must survive beside its messages."""
        return pack([self.name, self.max_items, self.max_deliveries])


def unpacked(number: int, record: bytes, wall_offset: float) -> Queue:
    """A queue out of its record."""
    (name, max_items, max_deliveries), _ = unpack(record)
    return Queue(number, name, wall_offset, max_items=max_items, max_deliveries=max_deliveries)
