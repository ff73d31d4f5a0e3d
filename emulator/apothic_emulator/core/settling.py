"""How claims end, by their receipts, and what becomes of dead letters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice

from apothic_backends.commands.queues import (
    AckItems,
    BuryItem,
    ListDeadLetters,
    RedriveItems,
    RenewClaim,
    ReturnItem,
)
from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.queues import (
    MOST_AT_ONCE,
    MOST_LEASE_S,
    NO_ITEMS,
    DeadLetters,
    Receipt,
    StaleClaim,
    joined,
)
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.handling import Handling
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.messages import CLAIMED, GONE, Message
from apothic_emulator.core.partitions import Partition, Queue
from apothic_emulator.core.shared import Rule


def check_lease(what: str, seconds: float, least: float = 0.0) -> None:
    """Refuse a lease or a delay that cannot be.

    Raises:
        InvalidOption: it is negative, longer than 12 hours, or no number.
    """
    if not least <= seconds <= MOST_LEASE_S:
        raise InvalidOption(
            f"{what} must be {least:g} to {MOST_LEASE_S:g} seconds, not {seconds!r}",
            option=what,
            value=seconds,
        )


class Settling:
    """The rules for claims and dead letters."""

    def __init__(self, handling: Handling, find: Callable[[str], Queue]) -> None:
        self.handling = handling
        self._find = find
        self.commands: Mapping[type, Rule] = {
            AckItems: self._ack,
            RenewClaim: self._renew,
            ReturnItem: self._return,
            BuryItem: self._bury,
            ListDeadLetters: self._letters,
            RedriveItems: self._redrive,
        }

    def _claimed(self, receipt: Receipt, now: float) -> Message | None:
        """The message of a claim; None if that was acknowledged.

        Raises:
            StaleClaim: the claim does not hold any more.
        """
        queue = self._find(receipt.queue)
        message = queue.messages.get(receipt.message) or queue.past.get(receipt.message)
        claim = message.claim if message is not None else None
        if message is None or claim is None or claim.fence != receipt.fence:
            raise _stale(receipt)
        if message.state is GONE:
            return None
        if now >= message.due:
            self.handling.come_back(message, now, "lapsed")
            raise _stale(receipt)
        return message

    def _held(self, receipt: Receipt, now: float) -> Message:
        message = self._claimed(receipt, now)
        if message is None:
            raise StaleClaim(
                f"message {receipt.message} of {receipt.queue!r} was acknowledged already",
                queue=receipt.queue,
                number=receipt.message,
            )
        return message

    def _ack(self, command: AckItems, asked: Asked, now: float) -> int:
        handling = self.handling
        handling.shared.check_fence(command.fence)
        found = [self._claimed(receipt, now) for receipt in command.receipts]
        count = 0
        for message in found:
            if message is not None and message.state is CLAIMED:  # once, if it was named twice
                handling.end(message, now, is_remembered=True)
                handling.tell("acked", message.partition, 1, now)
                count += 1
        return count

    def _renew(self, command: RenewClaim, asked: Asked, now: float) -> None:
        check_lease("lease_s", command.lease_s)
        message = self._held(command.receipt, now)
        self.handling.lease(message, command.lease_s, now)
        self.handling.tell("renewed", message.partition, 1, now)

    def _return(self, command: ReturnItem, asked: Asked, now: float) -> None:
        check_lease("delay_s", command.delay_s)
        error = command.error
        self.handling.come_back(
            self._held(command.receipt, now),
            now,
            "released" if error is None else "retried",
            delay_s=command.delay_s,
            error=error or "",
            is_charged=not command.uncharged,
        )

    def _bury(self, command: BuryItem, asked: Asked, now: float) -> None:
        message = self._held(command.receipt, now)
        message.note(now, "buried", command.error)
        self.handling.bury(message, now, command.reason)

    def _letters(self, command: ListDeadLetters, asked: Asked, now: float) -> DeadLetters:
        dead = self._find(command.queue).dead
        found = list(dead.values())
        if command.after:
            at = next((i for i, it in enumerate(found, 1) if it.number == command.after), 0)
            found = found[at:]
        found = found[: max(0, min(command.count, MOST_AT_ONCE))]
        wall = self.handling.shared.feed.events.wall_offset
        items = joined([it.data for it in found]) if found else NO_ITEMS
        return DeadLetters(items, tuple([it.letter(wall) for it in found]))

    def _redrive(self, command: RedriveItems, asked: Asked, now: float) -> int:
        handling = self.handling
        source = self._find(command.queue)
        target = source if command.to is None else self._find(command.to)
        moved, most = 0, len(source.dead)
        count = most if command.count is None else max(0, min(command.count, most))
        for message in list(islice(source.dead.values(), count)):
            if not handling.has_room(target, 1, 0):
                break
            partition = message.partition
            if target is source:
                self._revive(message)
            else:
                partition = target.partition(partition.name)
                self._move_to(message, partition, now)
            handling.tell("redriven", message.partition, 1, now, message=message.number)
            handling.serve(partition, now)
            moved += 1
        return moved

    def _revive(self, message: Message) -> None:
        """A dead letter has its old place again."""
        queue = message.partition.queue
        del queue.dead[message.number]
        _forget_deliveries(message)
        queue.messages[message.number] = message
        self.handling.show(message)

    def _move_to(self, message: Message, partition: Partition, now: float) -> None:
        """A dead letter is the last message of another queue."""
        self.handling.end(message, now, is_remembered=False)
        self.handling.nbytes += len(message.data)
        queue = partition.queue
        queue.last = message.number = queue.last + 1
        message.partition = partition
        message.key = None
        _forget_deliveries(message)
        queue.messages[message.number] = message
        partition.append(message)
        self.handling.keep(message)


def _forget_deliveries(message: Message) -> None:
    message.due = message.expires_at = NEVER
    message.deliveries = 0
    message.past = None


def _stale(receipt: Receipt) -> StaleClaim:
    return StaleClaim(
        f"the claim of message {receipt.message} of {receipt.queue!r} does not hold any more: "
        "its lease is over, or it was settled in another way. Claim with a longer lease_s, or "
        "renew in time",
        queue=receipt.queue,
        number=receipt.message,
    )
