"""The rules for queues: commands, what a watch begins with, what comes back from a store."""

from __future__ import annotations

from functools import partial
from typing import Any

from apothic_backends.commands.queues import (
    ClaimItems,
    ClearQueue,
    DeleteQueue,
    GetQueue,
    OpenQueue,
    PeekItems,
    PutItems,
    TakeItems,
)
from apothic_backends.model.errors import InvalidOption, NotFound, OverLimit, QueueFull
from apothic_backends.model.events import Cursor, Event
from apothic_backends.model.queues import (
    MAX_ITEMS,
    MOST_AT_ONCE,
    MOST_KEY,
    ItemTooLarge,
    QueueItems,
    QueueSnapshot,
    check_name,
    split,
)
from apothic_emulator.core import partitions
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.feeds import Wants
from apothic_emulator.core.handling import NONE, Handling
from apothic_emulator.core.messages import CLAIMED, DEAD, DELAYED, GONE, Message, unpacked
from apothic_emulator.core.partitions import Partition, Queue
from apothic_emulator.core.putting import items_of
from apothic_emulator.core.settling import Settling, check_lease
from apothic_emulator.core.shared import Rule, Shared
from apothic_emulator.core.untaking import Untake, restored

MOST_PARTITIONS = 100_000
"""Partitions of a queue that hold anything."""


class Rules:
    """All that can be asked of queues."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.handling = handling = Handling(shared)
        self.queues = handling.queues
        self.settling = Settling(handling, self._find)
        self._last = 0
        """The number of the latest queue."""
        self._loading: dict[int, list[tuple[int, bytes]]] = {}
        self.commands: dict[type, Rule] = {
            OpenQueue: self._open,
            DeleteQueue: self._delete,
            PutItems: self._put,
            TakeItems: self._take,
            ClaimItems: self._claim,
            PeekItems: self._peek,
            GetQueue: self._get,
            ClearQueue: self._clear,
            **self.settling.commands,
        }
        self.tick = handling.tick

    def _find(self, name: str) -> Queue:
        queue = self.queues.get(name)
        if queue is None:
            check_name("the name of a queue", name)
            raise NotFound(
                f"there is no queue {name!r}; make it with "
                f"Queue.from_name({name!r}, create_if_missing=True)",
                queue=name,
            )
        return queue

    # --- queues ---------------------------------------------------------------------------------

    def _open(self, command: OpenQueue, asked: Asked, now: float) -> None:
        name = check_name("the name of a queue", command.queue)
        if name in self.queues:
            return
        _whole("max_items", command.max_items, MAX_ITEMS)
        _whole("max_deliveries", command.max_deliveries, 1000)
        most = self.shared.ledger.quotas.queues
        if len(self.queues) >= most:
            raise OverLimit(f"there are {most} queues already; delete some", limit="queues")
        number, journal = 0, self.shared.journal
        if not command.ephemeral:
            self._last = number = self._last + 1
        queue = self.queues[name] = Queue(
            number,
            name,
            self.shared.feed.events.wall_offset,
            max_items=command.max_items,
            max_deliveries=command.max_deliveries,
            is_ephemeral=command.ephemeral,
        )
        queue.last = self.shared.floor
        if journal is not None and number:
            journal.keep(f"queues/{number}", queue)
        if command.ephemeral:
            self.shared.entrust(asked, queue.topic, partial(self._remove, queue))
        self.shared.tell("queue.changed", queue.topic, now, {"queue": name, "what": "made"})

    def _delete(self, command: DeleteQueue, asked: Asked, now: float) -> None:
        self._remove(self._find(command.queue), now)

    def _remove(self, queue: Queue, now: float) -> None:
        del self.queues[queue.name]
        self.shared.part_with(queue.topic)
        gone = NotFound(f"the queue {queue.name!r} was deleted", queue=queue.name, is_deleted=True)
        groups: list[Any] = [queue.putters]
        groups += [it for p in queue.partitions.values() for it in (p.getters, p.lookers)]
        for waits in groups:
            while waits:
                self.shared.answer(waits.popleft(), None, gone)
        handling = self.handling
        for message in [*queue.messages.values(), *queue.dead.values()]:
            handling.end(message, now, is_remembered=False)
        for message in queue.past.values():
            handling.forget(queue, message)
        handling.crowded.pop(queue.name, None)
        if self.shared.journal is not None and queue.number:
            self.shared.journal.drop(f"queues/{queue.number}")
        self.shared.tell("queue.deleted", queue.topic, now, {"queue": queue.name})

    def _clear(self, command: ClearQueue, asked: Asked, now: float) -> int:
        queue, handling = self._find(command.queue), self.handling
        self.shared.check_fence(command.fence)
        held = queue.dead if command.dead else queue.messages
        cleared: dict[Partition, int] = {}
        for message in list(held.values()):
            is_meant = command.partition in (None, message.partition.name)
            if is_meant and message.state is not CLAIMED:
                cleared[message.partition] = cleared.get(message.partition, 0) + 1
                handling.end(message, now, is_remembered=message.key is not None)
        for partition, count in cleared.items():
            partition.sweep()
            handling.tell("cleared", partition, count, now)
        return sum(cleared.values())

    def _get(self, command: GetQueue, asked: Asked, now: float) -> QueueSnapshot:
        return self._snapshot(self._find(command.queue), command.partition)

    def _snapshot(self, queue: Queue, only: str | None = None) -> QueueSnapshot:
        if only is not None:
            found = [queue.partitions[only]] if only in queue.partitions else []
        else:
            found = [*queue.partitions.values()]
        return QueueSnapshot(
            queue.name,
            queue.max_items,
            queue.max_deliveries,
            queue.is_ephemeral,
            {it.name: it.counts() for it in found if not it.is_empty},
        )

    # --- items ----------------------------------------------------------------------------------

    def _put(self, command: PutItems, asked: Asked, now: float) -> Any:
        queue, handling = self._find(command.queue), self.handling
        if command.fence is not None:
            self.shared.check_fence(command.fence)
        if not _is_plain(command):
            _check_put(queue, command)
        items = items_of(command)
        nbytes = len(command.items.data)
        if queue.putters or not handling.has_room(queue, command.count, nbytes):
            if handling.is_known(queue, command.key, now):
                return False
            return self._wait_for_room(queue, command, asked, now)
        return handling.add(queue, command, items, now)

    def _wait_for_room(self, queue: Queue, command: PutItems, asked: Asked, now: float) -> Any:
        full = QueueFull(
            f"the queue {queue.name!r} holds {len(queue.messages)} items of the "
            f"{queue.max_items} that it may: wait with timeout_s, or take some out",
            queue=queue.name,
        )
        if command.count > queue.max_items:
            raise ItemTooLarge(
                f"{command.count} items never fit into the queue {queue.name!r}, which holds "
                f"{queue.max_items}: put fewer at once",
                queue=queue.name,
            )
        if command.timeout_s == 0:
            raise full
        self.handling.crowded[queue.name] = queue
        let_in = self.handling.let_in
        return self.shared.wait(
            asked, queue.putters, command.timeout_s, now, again=let_in, empty=full
        )

    def _take(self, command: TakeItems, asked: Asked, now: float) -> Any:
        if asked.origin is not None and self.shared.journal is not None:
            # Once the store knows that they are gone, a crash would lose what is on its way.
            queue, count, partition = command.queue, command.count, command.partition
            claim: Any = ClaimItems(queue, count, partition, command.timeout_s)
            return self._given(claim, Asked(claim, asked.token, asked.origin), now)
        return self._given(command, asked, now)

    def _claim(self, command: ClaimItems, asked: Asked, now: float) -> Any:
        check_lease("lease_s", command.lease_s)
        return self._given(command, asked, now)

    def _given(self, command: TakeItems | ClaimItems, asked: Asked, now: float) -> Any:
        queue = self._find(command.queue)
        partition = self._looked_for(queue, command)
        if partition is None:
            return NONE
        if partition.ready:  # then nobody waits for it
            items = self.handling.give(partition, command, now)
            if items.count:
                return items
            partition = queue.partition(command.partition)
        if command.timeout_s == 0:
            return NONE
        return self.shared.wait(
            asked,
            partition.getters,
            command.timeout_s,
            now,
            again=partition.tidy,
            empty=NONE,
        )

    def _peek(self, command: PeekItems, asked: Asked, now: float) -> Any:
        partition = self._looked_for(self._find(command.queue), command)
        if partition is None:
            return NONE.replace(last=command.after)
        found = self.handling.look(partition, command)
        if found.count or command.timeout_s == 0:
            return found
        return self.shared.wait(
            asked,
            partition.lookers,
            command.timeout_s,
            now,
            again=partition.tidy,
            empty=found,
        )

    def _looked_for(
        self, queue: Queue, command: TakeItems | ClaimItems | PeekItems
    ) -> Partition | None:
        """The partition to look at; none if it holds nothing and nobody waits."""
        if not 0 < command.count <= MOST_AT_ONCE:
            raise InvalidOption(
                f"1 to {MOST_AT_ONCE} items can be had at once, not {command.count}"
            )
        partition = queue.partitions.get(command.partition)
        if partition is None:
            if command.partition:
                check_name("partition", command.partition)
            if command.timeout_s != 0:
                partition = queue.partition(command.partition)
        return partition

    # --- watches --------------------------------------------------------------------------------

    def state(self, name: str, wants: Wants | None, here: Cursor) -> list[Event]:
        """The snapshot that a watch begins with."""
        found = self._snapshot(self._find(name))
        told: dict[str, Any] = {
            "queue": name,
            "max_items": found.max_items,
            "max_deliveries": found.max_deliveries,
            "partitions": {
                partition: {field: getattr(counts, field) for field in counts.fields}
                for partition, counts in found.partitions.items()
            },
        }
        return [Event("queue.snapshot", told, here)]

    def look_for(self, name: str) -> None:
        """See to it that there is a queue of that name."""
        self._find(name)

    # --- records --------------------------------------------------------------------------------

    def number_after(self, number: int) -> None:
        """Give messages higher numbers than that."""
        for queue in self.queues.values():
            queue.last = max(queue.last, number)

    def load(self, key: list[str], record: bytes, now: float) -> None:
        """Take a record back; messages wait until all queues are known."""
        number = int(key[0])
        if len(key) == 1:
            queue = partitions.unpacked(number, record, self.shared.feed.events.wall_offset)
            self.queues[queue.name] = queue
            self._last = max(self._last, number)
        else:
            self._loading.setdefault(number, []).append((int(key[1]), record))

    def loaded(self, now: float) -> None:
        """All records are back: each lease has its full period again."""
        loading, self._loading = self._loading, {}
        for queue in self.queues.values():
            messages: list[Message] = []
            for number, record in sorted(loading.get(queue.number, ())):
                name, message = unpacked(number, record, queue.wall_offset)
                message.partition = queue.partition(name)
                messages.append(message)
                queue.last = number
            for message in sorted(messages, key=_ended_at):
                self._restore(queue, message, now)
            for partition in list(queue.partitions.values()):
                queue.tidy(partition)

    def undo_of(self, told: list[Any], items: QueueItems) -> Untake | None:
        """What puts items back that were taken before a restart, if their queue is there still."""
        number, heads = told
        queue = next((it for it in self.queues.values() if it.number == number), None)
        if queue is None:
            return None
        return restored(self.handling.untake, queue, heads, split(items.items, items.count))

    def _restore(self, queue: Queue, message: Message, now: float) -> None:
        """Put a message back as it was."""
        handling, partition, state = self.handling, message.partition, message.state
        handling.nbytes += len(message.data)
        known = queue.keys.get(message.key or "")
        if message.key and (known is None or known.state is GONE):
            queue.keys[message.key] = message
        if state is GONE:
            queue.past[message.number] = message
            return
        message.state = GONE  # and from there to where it was
        if state is DEAD:
            partition.move(message, DEAD)
            queue.dead[message.number] = message
            return
        queue.messages[message.number] = message
        if state is CLAIMED and message.claim is not None:
            partition.move(message, CLAIMED)
            handling.lease(message, message.claim.lease_s, now)
            return
        if state is DELAYED:
            partition.move(message, DELAYED)
            handling.timers.set(message, message.due)
        else:
            partition.append(message)
        handling.timers.set(message, message.expires_at)

    # --- what is always true --------------------------------------------------------------------

    def check(self) -> None:
        """See to it that everything agrees; for tests."""
        from apothic_emulator.core.queue_check import check_queues  # noqa: PLC0415 - tests only

        check_queues(self.handling)


def _ended_at(message: Message) -> tuple[float, int]:
    """Dead letters and those that are gone in the order in which they became so."""
    if message.state is DEAD and message.past is not None:
        return message.past.died_at, message.number
    return (message.due if message.state is GONE else 0.0), message.number


def _whole(what: str, number: int, most: int) -> None:
    if not 1 <= number <= most:
        raise InvalidOption(
            f"{what} must be a whole number from 1 to {most}, not {number!r}",
            option=what,
            value=number,
        )


def _is_plain(command: PutItems) -> bool:
    """Whether it is one item, about which nothing more is said; as most are."""
    is_plain = command.count == 1 and not command.partition and command.key is None
    return is_plain and command.ttl_s is None and not command.delay_s


def _check_put(queue: Queue, command: PutItems) -> None:
    """See to it that items can be put so."""
    partition, key, count = command.partition, command.key, command.count
    if partition and partition not in queue.partitions:
        check_name("partition", partition)
        if len(queue.partitions) >= MOST_PARTITIONS:
            raise OverLimit(
                f"the queue {queue.name!r} has {MOST_PARTITIONS} partitions that hold "
                "something; use another queue",
                queue=queue.name,
            )
    if not 0 < count <= MOST_AT_ONCE:
        raise InvalidOption(f"1 to {MOST_AT_ONCE} items can be put at once, not {count}")
    if key is not None and not (count == 1 and 0 < len(key) <= MOST_KEY):
        raise InvalidOption(f"a key is for one item, and has 1 to {MOST_KEY} characters")
    if command.delay_s:
        check_lease("delay_s", command.delay_s)
    if command.ttl_s is not None and not command.ttl_s > 0:
        raise InvalidOption(f"ttl_s must be more than 0 seconds, not {command.ttl_s!r}")
