"""What happens to messages: they are put, given out, come back, end. Every move is told and kept.

Nothing is looked for in vain: whoever makes a message ready serves those who wait for one, and
whoever makes room has those let in who wait for that.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from apothic_backends.commands.queues import ClaimItems, PeekItems, PutItems
from apothic_backends.model.errors import OverLimit
from apothic_backends.model.queues import (
    MOST_TOGETHER,
    NO_ITEMS,
    QueueItems,
    Receipt,
    joined,
    split,
)
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.messages import CLAIMED, DEAD, DELAYED, GONE, Claim, Message, Past
from apothic_emulator.core.partitions import Partition, Queue
from apothic_emulator.core.shared import Shared
from apothic_emulator.core.timers import Timers
from apothic_emulator.core.untaking import Untake

MOST_CLAIMED = 100_000
"""Messages of a queue that are claimed at a time."""

MOST_DEAD = 100_000
"""Dead letters of a queue; beyond, the oldest are dropped, which is told."""

MOST_PAST = 100_000
"""Messages of a queue that are gone and remembered."""

PAST_S = 24 * 3600.0
"""How long it is known that a message was acknowledged."""

KEY_S = 300.0
"""How long a key is known after its message is gone."""

NONE = QueueItems(NO_ITEMS, 0)


class Handling:
    """All queues, and the moves of their messages."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.queues: dict[str, Queue] = {}
        self.timers = Timers(shared.wake_at)
        self.nbytes = 0
        """Of all items."""
        self.crowded: dict[str, Queue] = {}
        """Those at which somebody waits for room."""

    # --- in -------------------------------------------------------------------------------------

    def has_room(self, queue: Queue, count: int, nbytes: int) -> bool:
        """Whether so much more may be put."""
        is_within = len(queue.messages) + count <= queue.max_items
        most = self.shared.ledger.quotas.bytes
        return is_within and (self.nbytes + nbytes <= most or not self.nbytes)

    def is_known(self, queue: Queue, key: str | None, now: float) -> bool:
        """Whether something was put under this key a short while ago."""
        known = None if key is None else queue.keys.get(key)
        return known is not None and (known.state is not GONE or now < known.due + KEY_S)

    def add(self, queue: Queue, command: PutItems, items: list[bytes], now: float) -> bool:
        """Put items; False if their key is known."""
        key = command.key
        if key is not None and self.is_known(queue, key, now):
            return False
        partition = queue.partition(command.partition)
        expires_at = NEVER if command.ttl_s is None else now + command.ttl_s
        is_kept, delay_s = self.shared.journal is not None, command.delay_s
        for data in items:
            queue.last = number = queue.last + 1
            message = Message(number, partition, data, now, expires_at)
            queue.messages[number] = message
            self.nbytes += len(data)
            if delay_s:
                self._delay(message, now + delay_s)
            else:
                partition.append(message)
                if expires_at != NEVER:
                    self.timers.set(message, expires_at)
            if is_kept:
                self.keep(message)
        if key is not None:
            queue.keys[key] = queue.messages[queue.last]
            queue.keys[key].key = key
        self.tell("put", partition, command.count, now)
        if partition.getters or partition.lookers:
            self.serve(partition, now)
        return True

    def let_in(self, now: float) -> None:
        """There is room, perhaps: put what waits for it, first come, first served."""
        for queue in list(self.crowded.values()):
            putters = queue.putters
            while putters:
                if not self.shared.may_answer(putters[0]):
                    continue  # its process was stopped
                command: Any = putters[0].asked.command
                has_room = self.has_room(queue, command.count, command.items.nbytes)
                if not has_room and not self.is_known(queue, command.key, now):
                    break
                items = split(command.items, command.count)
                self.shared.answer(putters.popleft(), self.add(queue, command, items, now))
            if not putters:
                del self.crowded[queue.name]

    def made_room(self) -> None:
        """Have those let in who wait for room, at the end of the step."""
        if self.crowded:
            self.shared.again.append(self.let_in)

    # --- out ------------------------------------------------------------------------------------

    def serve(self, partition: Partition, now: float) -> None:
        """Give what is ready to those who wait for it, first come, first served."""
        getters, lookers = partition.getters, partition.lookers
        while lookers and partition.ready:
            look: Any = lookers.popleft()
            self.shared.answer(look, self.look(partition, look.asked.command))
        while getters and partition.ready:
            if not self.shared.may_answer(getters[0]):
                continue  # its process was stopped
            wait = getters.popleft()
            try:
                items = self.give(partition, wait.asked.command, now)
            except OverLimit as error:
                self.shared.answer(wait, None, error)
                continue
            if items.count:
                self.shared.answer(wait, items)
            else:  # what was ready has expired
                getters.appendleft(wait)

    def look(self, partition: Partition, command: PeekItems) -> QueueItems:
        """What can be seen; it stays."""
        messages = partition.in_order(command.after, command.count)
        if not messages:
            return NONE.replace(last=command.after)
        items = joined([message.data for message in messages])
        return QueueItems(items, len(messages), (), messages[-1].number)

    def give(self, partition: Partition, command: Any, now: float) -> QueueItems:
        """Take, or claim, what is ready; nothing if that has expired.

        Raises:
            OverLimit: too many are claimed.
        """
        if type(command) is ClaimItems:
            return self._claim(partition, command, now)
        messages = self._next(partition, command.count, now)
        if not messages:
            return NONE
        items = [message.data for message in messages]
        for message in messages:
            self.end(message, now, is_remembered=message.key is not None)
        self.tell("taken", partition, len(messages), now)
        undo = Untake(self.untake, partition.queue, messages, items)
        return QueueItems(joined(items), len(items), undo=undo)

    def _next(self, partition: Partition, count: int, now: float) -> list[Message]:
        """The first messages that can be given out; they are taken out of the order."""
        found: list[Message] = []
        expired = nbytes = 0
        while len(found) < count and nbytes < MOST_TOGETHER:
            message = partition.first()
            if message is None:
                break
            nbytes += len(message.data)
            if message.expires_at <= now:
                self.end(message, now, is_remembered=message.key is not None)
                expired += 1
            else:
                found.append(message)
        if expired:
            self.tell("expired", partition, expired, now)
        return found

    def untake(self, queue: Queue, messages: list[Message], items: list[bytes], now: float) -> None:
        """Nobody has got them: they have their old places again."""
        if self.queues.get(queue.name) is not queue:
            return  # it was deleted meanwhile
        partition = queue.partition(messages[0].partition.name)
        for message, data in zip(messages, items, strict=True):
            message.partition = partition
            message.data = data
            message.due = NEVER
            queue.past.pop(message.number, None)
            queue.messages[message.number] = message
            self.nbytes += len(message.data)
            if message.key is not None:
                queue.keys[message.key] = message
            self.show(message)
        self.tell("put_back", partition, len(messages), now)
        self.serve(partition, now)

    def _claim(self, partition: Partition, command: ClaimItems, now: float) -> QueueItems:
        queue = partition.queue
        room = MOST_CLAIMED - queue.claimed
        if room <= 0:
            raise OverLimit(
                f"{queue.claimed} messages of the queue {queue.name!r} are claimed, and more "
                "cannot be: acknowledge some first",
                queue=queue.name,
            )
        messages = self._next(partition, min(command.count, room), now)
        if not messages:
            return NONE
        for message in messages:
            partition.move(message, CLAIMED)
            message.claim = Claim(now, self.shared.next_rev(), command.lease_s)
            message.deliveries += 1
            self.lease(message, command.lease_s, now)
        self.tell("claimed", partition, len(messages), now)
        items = joined([message.data for message in messages])
        receipts = [message.receipt() for message in messages]
        undo = partial(self._unclaim, messages, receipts)
        return QueueItems(items, len(messages), tuple(receipts), messages[-1].number, undo)

    def _unclaim(self, messages: list[Message], receipts: list[Receipt], now: float) -> None:
        """Nobody has got them: they were not given out."""
        for message, receipt in zip(messages, receipts, strict=True):
            if message.state is CLAIMED and message.receipt() == receipt:
                self.come_back(message, now, "released", is_charged=False)

    def lease(self, message: Message, lease_s: float, now: float) -> None:
        """A claim holds from now on."""
        assert message.claim is not None
        message.claim.lease_s = lease_s
        message.due = now + lease_s
        self.timers.set(message, message.due)
        self.keep(message)

    # --- back -----------------------------------------------------------------------------------

    def come_back(
        self,
        message: Message,
        now: float,
        how: str,
        *,
        delay_s: float = 0.0,
        error: str = "",
        is_charged: bool = True,
    ) -> None:
        """A claim has ended, and its message is to be had again, unless that was the last time."""
        partition = message.partition
        if is_charged:
            message.note(now, how, error)
        else:
            message.deliveries -= 1
        if message.deliveries >= partition.queue.max_deliveries:
            self.tell(how, partition, 1, now, message=message.number)
            self.bury(message, now, "max_deliveries")
            return
        message.claim = None
        message.due = NEVER
        if delay_s:
            self._delay(message, now + delay_s)
        else:
            self.show(message)
        self.tell(how, partition, 1, now, message=message.number)
        self.serve(partition, now)

    def show(self, message: Message) -> None:
        """It can be had, in its old place."""
        message.partition.come_back(message)
        self.timers.set(message, message.expires_at)
        self.keep(message)

    def _delay(self, message: Message, until: float) -> None:
        """It can be had from a moment on."""
        message.partition.move(message, DELAYED)
        message.due = until
        self.timers.set(message, until)
        self.timers.set(message, message.expires_at)
        self.keep(message)

    def bury(self, message: Message, now: float, reason: str) -> None:
        """Make a claimed message a dead letter."""
        partition, queue = message.partition, message.partition.queue
        past = message.past = message.past or Past()
        past.reason, past.died_at = reason, now
        partition.move(message, DEAD)
        message.claim = None
        message.due = NEVER
        del queue.messages[message.number]
        queue.dead[message.number] = message
        self.keep(message)
        self.tell("dead", partition, 1, now, message=message.number, reason=reason)
        if len(queue.dead) > MOST_DEAD:
            oldest = queue.dead[next(iter(queue.dead))]
            self.end(oldest, now, is_remembered=False)
            self.tell("dropped", oldest.partition, 1, now, message=oldest.number)
        self.made_room()

    # --- ends -----------------------------------------------------------------------------------

    def end(self, message: Message, now: float, *, is_remembered: bool) -> None:
        """A message is gone."""
        partition = message.partition
        queue = partition.queue
        del (queue.dead if message.state is DEAD else queue.messages)[message.number]
        partition.move(message, GONE)
        self.nbytes -= len(message.data)
        message.due = now
        if is_remembered:
            self._remember(queue, message, now)
        elif message.key is not None or self.shared.journal is not None:
            self.forget(queue, message)
        if partition.name:
            queue.tidy(partition)
        if self.crowded:
            self.made_room()

    def _remember(self, queue: Queue, message: Message, now: float) -> None:
        past = queue.past
        past[message.number] = message
        message.data = b""
        self.keep(message)
        while True:
            oldest = past[next(iter(past))]
            if len(past) <= MOST_PAST and now < oldest.due + PAST_S:
                return
            del past[oldest.number]
            self.forget(queue, oldest)

    def forget(self, queue: Queue, message: Message) -> None:
        """Nothing of a message matters any more."""
        if message.key is not None and queue.keys.get(message.key) is message:
            del queue.keys[message.key]
        journal = self.shared.journal
        if journal is not None and queue.number:
            journal.drop(f"queues/{queue.number}/{message.number}")

    # --- what is due ----------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Look at every message for which something is due."""
        expired: dict[Partition, int] = {}
        for message in self.timers.due(now):
            partition = message.partition
            if message.state is CLAIMED:
                self.come_back(message, now, "lapsed")
            elif message.expires_at <= now:
                self.end(message, now, is_remembered=message.key is not None)
                expired[partition] = expired.get(partition, 0) + 1
            else:
                message.due = NEVER
                self.show(message)
                self.tell("due", partition, 1, now)
                self.serve(partition, now)
        for partition, count in expired.items():
            partition.sweep()
            self.tell("expired", partition, count, now)

    # --- telling and keeping --------------------------------------------------------------------

    def tell(self, what: str, partition: Partition, count: int, now: float, **more: object) -> None:
        """Say what has happened to messages of a partition, and how many there are now."""
        queue = partition.queue
        told: dict[str, Any] = {
            "queue": queue.name,
            "partition": partition.name,
            "what": what,
            "count": count,
            "ready": partition.ready,
            "delayed": partition.delayed,
            "claimed": partition.claimed,
            "dead": partition.dead,
        }
        if more:
            told |= more
        self.shared.feed.events.append("queue.changed", queue.topic, now, 0, told)

    def keep(self, message: Message) -> None:
        """Have a message written down as it stands at the end of the step."""
        journal = self.shared.journal
        if journal is not None:
            queue = message.partition.queue
            if queue.number:
                journal.keep(f"queues/{queue.number}/{message.number}", message)
