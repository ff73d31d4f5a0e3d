"""Planted bugs of queues: what `queueing` has to find."""

from __future__ import annotations

from functools import partial
from typing import Any

from apothic_backends.model.queues import Receipt
from apothic_emulator.core.effects import Outcome
from apothic_emulator.core.facts import GivenUp
from apothic_emulator.core.handling import Handling
from apothic_emulator.core.messages import Message
from apothic_emulator.core.plane import Plane
from apothic_emulator.core.queues import Rules
from apothic_emulator.core.settling import Settling
from apothic_emulator.core.shared import Shared
from apothic_emulator.core.timers import Timers
from tests.simulation.disk import Disk
from tests.simulation.mutants import Mutant, mutant

QUEUE_MUTANTS: dict[str, Mutant] = {}
plant = partial(mutant, among=QUEUE_MUTANTS)


@plant(Plane, "_give_up")
def a_reply_that_reaches_nobody_is_dropped(
    right: Any, self: Plane, item: GivenUp, now: float
) -> None:
    right(self, GivenUp(item.token), now)


@plant(Settling, "_claimed")
def an_old_receipt_settles_the_claim_of_somebody_else(
    right: Any, self: Settling, receipt: Receipt, now: float
) -> Message | None:
    held = self._find(receipt.queue).messages.get(receipt.message)
    if held is not None and held.claim is not None:
        receipt = receipt.replace(fence=held.claim.fence)
    message: Message | None = right(self, receipt, now)
    return message


@plant(Handling, "lease")
def every_other_claim_holds_for_ever(
    right: Any, self: Handling, message: Message, lease_s: float, now: float
) -> None:
    right(self, message, lease_s * (1 if message.number % 2 else 1e9), now)


@plant(Handling, "bury")
def a_dead_letter_vanishes_now_and_then(
    right: Any, self: Handling, message: Message, now: float, reason: str
) -> None:
    if message.number % 8:
        right(self, message, now, reason)
    else:
        self.end(message, now, is_remembered=False)


@plant(Handling, "keep")
def every_fifth_message_is_not_written_down(right: Any, self: Handling, message: Message) -> None:
    if message.number % 5:
        right(self, message)


@plant(Rules, "_restore")
def what_was_claimed_is_gone_after_a_restart(
    right: Any, self: Rules, queue: Any, message: Message, now: float
) -> None:
    if message.claim is not None and message.claim.lease_s:
        message.claim = None
        return
    right(self, queue, message, now)


@plant(Handling, "_remember")
def an_acknowledgement_is_not_written_down(
    right: Any, self: Handling, queue: Any, message: Message, now: float
) -> None:
    journal, self.shared.journal = self.shared.journal, None
    right(self, queue, message, now)
    self.shared.journal = journal


@plant(Handling, "forget")
def what_was_taken_comes_back(right: Any, self: Handling, queue: Any, message: Message) -> None:
    if message.key is not None:
        right(self, queue, message)


@plant(Rules, "_restore")
def the_timer_of_a_claim_is_not_set_again(
    right: Any, self: Rules, queue: Any, message: Message, now: float
) -> None:
    timers: Timers = self.handling.timers
    heap = [*timers.heap]
    right(self, queue, message, now)
    timers.heap = heap


@plant(Rules, "_restore")
def keys_are_not_known_after_a_restart(
    right: Any, self: Rules, queue: Any, message: Message, now: float
) -> None:
    right(self, queue, message, now)
    queue.keys.clear()


@plant(Shared, "load")
def fences_begin_anew(right: Any, self: Shared, kind: str, *rest: Any) -> None:
    if kind != "rev":
        right(self, kind, *rest)


@plant(Disk, "holds_back")
def a_reply_leaves_before_its_commit(right: Any, self: Disk, outcome: Outcome) -> bool:
    is_held: bool = right(self, outcome.replace(replies=[]))
    return is_held and not outcome.replies
