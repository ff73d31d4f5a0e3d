"""Planted bugs in what becomes of rented machines: they cost money, or leave jobs waiting."""

from __future__ import annotations

from functools import partial
from typing import Any

from apothic_backends.model.machines import BOOTING, CREATING, DESTROYING
from apothic_emulator.core.avoided import Avoided
from apothic_emulator.core.machine import COMING, Head, Machine
from apothic_emulator.core.machines import Rules
from apothic_emulator.core.rented import Books
from apothic_emulator.core.suppliers import Supplier
from apothic_emulator.core.supply import Supply
from apothic_emulator.core.wants import Want
from tests.simulation.mutants import Mutant, mutant

RENT_MUTANTS: dict[str, Mutant] = {}
plant = partial(mutant, among=RENT_MUTANTS)


@plant(Books, "keep")
def what_is_asked_for_is_written_down_when_it_is_there(
    right: Any, self: Books, machine: Machine
) -> None:
    if machine.status != CREATING:
        right(self, machine)


@plant(Books, "not_rented")
def what_is_unclear_was_not_made(
    right: Any, self: Books, machine: Machine, failure: Any, now: float, *, is_sure: bool
) -> None:
    right(self, machine, failure, now, is_sure=True)


@plant(Machine, "is_missed")
def one_listing_is_believed(right: Any, self: Machine, asked_at: float) -> bool:
    return not self.is_asked and asked_at >= self.sure_from


@plant(Machine, "is_missed")
def an_old_listing_is_believed(right: Any, self: Machine, asked_at: float) -> bool:
    self.misses += 1
    return not self.is_asked and self.misses > 1


@plant(Books, "tell")
def a_machine_is_destroyed_once(right: Any, self: Books, machine: Machine, now: float) -> None:
    if not machine.destroyed:
        right(self, machine, now)


@plant(Rules, "_ended")
def what_is_told_to_go_is_gone(
    right: Any, self: Rules, command: Any, asked: Any, now: float
) -> None:
    right(self, command, asked, now)
    machine = self.books.machines.get(command.machine)
    if command.failure is None and machine is not None:
        self.books.drop(machine, now)


@plant(Books, "_put_out")
def what_nobody_knows_stays(right: Any, self: Books, *rest: Any) -> None:
    pass


@plant(Books, "drop")
def what_is_gone_counts_on(right: Any, self: Books, machine: Machine, now: float) -> None:
    rate = machine.rate
    right(self, machine, now)
    self.rate += rate


@plant(Books, "reprice")
def what_is_being_made_costs_nothing(right: Any, self: Books, machine: Machine, rate: int) -> None:
    right(self, machine, rate if machine.status not in COMING else 0)


@plant(Avoided, "fails")
def where_none_has_come_up_another_is_tried(right: Any, self: Avoided, *rest: Any) -> None:
    pass


@plant(Want, "next")
def all_regions_are_alike(right: Any, self: Want, avoided: Any, *rest: Any) -> Any:
    return right(self, {place: it for place, it in avoided.items() if place.isdigit()}, *rest)


@plant(Want, "most")
def nobody_looks_at_what_is_left(right: Any, self: Want, offer: Any, room: int) -> int:
    return right(self, offer, 10**18)


@plant(Books, "check_price")
def what_has_become_dearer_is_kept(right: Any, self: Books, machine: Machine, now: float) -> None:
    pass


@plant(Books, "_boot")
def nobody_waits_for_a_machine_to_come_up(
    right: Any, self: Books, machine: Machine, now: float
) -> None:
    self.move(machine, "boot", now)


@plant(Books, "take_up")
def what_was_there_before_a_restart_is_believed_to_be(
    right: Any, self: Books, machine: Machine, look_at: float, now: float
) -> None:
    if machine.status not in (BOOTING, DESTROYING):
        right(self, machine, look_at, now)


@plant(Books, "keep_head")
def numbers_begin_anew(right: Any, self: Books) -> None:
    pass


@plant(Head, "load")
def after_a_restart_tags_begin_otherwise(right: Any, self: Head, record: bytes) -> None:
    plane = self.plane
    right(self, record)
    self.plane = plane


@plant(Rules, "_is_over")
def what_is_idle_is_kept(right: Any, self: Rules, *rest: Any) -> bool:
    return False


@plant(Rules, "admit")
def who_comes_too_late_is_let_in(right: Any, self: Rules, command: Any, now: float) -> Machine:
    machine = self.books.by_tag.get(command.tag)
    if machine is not None:
        machine.status = BOOTING if machine.status == DESTROYING else machine.status
        return machine
    return right(self, command, now)


@plant(Supplier, "hear")
def who_is_blocked_is_asked_again(right: Any, self: Supplier, failure: Any, now: float) -> None:
    pass


@plant(Supplier, "go_on")
def machines_are_listed_once(right: Any, self: Supplier, now: float, after_s: float) -> float:
    right(self, now, after_s)
    self.list_at = float("inf")
    return self.list_at


@plant(Supply, "failed")
def nobody_gets_another(right: Any, self: Supply, machine: Machine, why: str, now: float) -> None:
    want = self.wants.get(machine.function)
    if want is not None:
        want.at = float("inf")


@plant(Supply, "_fresh")
def who_has_got_one_gets_another(right: Any, self: Supply, want: Want) -> int:
    return -1


@plant(Books, "lose_agent")
def what_goes_has_its_work_still(
    right: Any, self: Books, machine: Machine, reason: str, now: float
) -> None:
    machine.agent = 0
