"""Planted bugs of dicts and locks: what `sharing` has to find."""

from __future__ import annotations

from functools import partial
from typing import Any

from apothic_backends.commands.dicts import AcquireLock, PutKey
from apothic_emulator.core.dicts import Rules
from apothic_emulator.core.effects import Outcome
from apothic_emulator.core.entries import Entry, Lock, SharedDict
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.fences import Fences
from apothic_emulator.core.leases import Leased, Leases
from apothic_emulator.core.ledger import Ledger
from apothic_emulator.core.locks import Locks
from apothic_emulator.core.shared import Shared
from tests.simulation.disk import Disk
from tests.simulation.mutants import Mutant, mutant

SHARED_MUTANTS: dict[str, Mutant] = {}
plant = partial(mutant, among=SHARED_MUTANTS)


@plant(Fences, "check")
def an_old_fence_is_good_enough(right: Any, self: Fences, fence: int | None) -> None:
    pass


@plant(Rules, "_put")
def a_condition_is_not_looked_at(right: Any, self: Rules, command: PutKey, *rest: Any) -> object:
    return right(self, command.replace(if_rev=None), *rest)


@plant(Rules, "_remove")
def what_is_taken_out_stays(right: Any, self: Rules, entry: Entry, op: str, now: float) -> None:
    if op != "deleted":
        right(self, entry, op, now)


@plant(Rules, "_dropped")
def what_is_gone_counts_for_ever(right: Any, self: Rules, entry: Entry) -> None:
    right(self, entry)
    self.keys += 1


@plant(Rules, "_check_room")
def there_is_always_room(right: Any, self: Rules, *what: Any) -> None:
    pass


@plant(SharedDict, "keep")
def every_third_change_is_not_written_down(
    right: Any, self: SharedDict, thing: Any, *place: Any
) -> None:
    if not isinstance(thing, Entry) or thing.rev % 3:
        right(self, thing, *place)


@plant(SharedDict, "drop")
def what_is_gone_comes_back(right: Any, self: SharedDict, *place: Any) -> None:
    if len(place) != 1:
        right(self, *place)


@plant(Leases, "set")
def leases_end_early(right: Any, self: Leases, thing: Leased, due: float) -> None:
    right(self, thing, due - 0.5 if isinstance(thing, Entry) else due)


@plant(Leases, "set")
def leases_end_late(right: Any, self: Leases, thing: Leased, due: float) -> None:
    right(self, thing, due + 2.0)


@plant(Locks, "due")
def who_has_not_renewed_by_a_third_loses(right: Any, self: Locks, lock: Lock, now: float) -> None:
    if not lock.renewing:
        lock.deadline = now
    right(self, lock, now)


@plant(Locks, "_next")
def the_last_in_line_is_served_first(right: Any, self: Locks, lock: Lock, *rest: Any) -> None:
    lock.waiting.reverse()
    right(self, lock, *rest)


@plant(Locks, "_next")
def whoever_waits_is_not_served(right: Any, self: Locks, lock: Lock, *rest: Any) -> None:
    waiting = [*lock.waiting]
    lock.waiting.clear()
    right(self, lock, *rest)
    lock.waiting.extend(waiting)


@plant(Ledger, "give_up")
def whoever_has_gone_still_waits(right: Any, self: Ledger, token: object) -> Any:
    return None


@plant(Locks, "_acquire")
def a_lock_has_two_holders(
    right: Any, self: Locks, command: AcquireLock, asked: Asked, now: float
) -> object:
    home = self._find(command.name, now, create=True)
    lock = home.locks.pop((command.kind, command.key), None)
    if lock is not None:
        self.leases.drop(lock)
    return right(self, command, asked, now)


@plant(Shared, "next_rev")
def fences_do_not_grow(right: Any, self: Shared) -> int:
    self.rev = self.rev % 50
    rev: int = right(self)
    return rev


@plant(Locks, "loaded")
def leases_go_on_after_a_restart_as_if_nothing_were(
    right: Any, self: Locks, lock: Lock, now: float
) -> None:
    right(self, lock, now - lock.lease_s / 2)


@plant(Locks, "loaded")
def the_lease_of_a_lock_is_not_armed_again(right: Any, self: Locks, lock: Lock, now: float) -> None:
    right(self, lock, now)
    self.leases.drop(lock)


@plant(Shared, "load")
def fences_begin_one_too_low(right: Any, self: Shared, kind: str, *rest: Any) -> None:
    right(self, kind, *rest)
    if kind == "rev":
        self.rev -= 1


@plant(Disk, "holds_back")
def a_reply_leaves_before_its_commit(right: Any, self: Disk, outcome: Outcome) -> bool:
    is_held: bool = right(self, outcome.replace(replies=[]))
    return is_held and not outcome.replies
