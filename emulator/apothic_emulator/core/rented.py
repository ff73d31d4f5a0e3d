"""The books: every machine that is rented or may be, what all cost, and how each comes to its end.

What is not known to be gone is destroyed again and again, until two whole listings that could show
it do not: see `machine.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from apothic_backends.model.costs import NANO
from apothic_backends.model.machines import BOOTING, CREATING, DESTROYING, UNCLEAR
from apothic_backends.providers.base import FAILED, STOPPED, Listing, Rented, Seen
from apothic_emulator.core.far import DISCONNECT
from apothic_emulator.core.leases import Leases
from apothic_emulator.core.losses import PREEMPTED
from apothic_emulator.core.machine import COMING, Head, Machine
from apothic_emulator.core.renting import Destroy, Failure, Forget, MachinesSeen, Terms
from apothic_emulator.core.shared import Shared
from apothic_emulator.core.suppliers import LIST_S, LOOK_S, Supplier

AGAIN_S, LONGEST_AGAIN_S = 15.0, 60.0
"""After how long a machine is destroyed again: twice as long each time, and never much longer, as
it costs until somebody who could not do so can, or does what it has only said."""

LATE_S = 600.0
"""How long after it was to go somebody has to hear that a machine is there still."""

COMES_BACK_S = 120.0
"""How long after a restart one may still join that was to come up meanwhile."""

UNSURE = frozenset((UNCLEAR, BOOTING, DESTROYING))
"""How those are of which a listing is to tell what has become of them."""


class Books:
    """All machines. `failed` hears of those that came to nothing, with the reason."""

    def __init__(self, shared: Shared, terms: Terms | None) -> None:
        self.shared = shared
        self.effects = shared.callers.scheduler
        self.offset = shared.ledger.events.wall_offset
        self.head = Head(shared.ledger.events.epoch)
        self.machines: dict[int, Machine] = {}
        self.by_tag: dict[str, Machine] = {}
        self._by_id: dict[tuple[str, str], Machine] = {}
        """By what providers call them."""
        self.rate = 0
        """What all of them count for, in nano-USD for an hour."""
        self.coming: Counter[int] = Counter()
        """For how many executors of each function there will be room."""
        self.leases = Leases(shared.wake_at)
        names = () if terms is None else terms.providers
        self.suppliers = {name: Supplier(name) for name in names}
        self.boot_s = 0.0 if terms is None else terms.boot_s
        self.failed: Callable[[Machine, str, float], object]

    # --- the records ----------------------------------------------------------------------------

    def new(self, provider: str, now: float) -> Machine:
        """A machine that is to be made, under a tag that was never used."""
        head = self.head
        if head.is_new:
            head.is_new, head.since = False, now + self.offset
        head.last += 1
        tag = f"{head.prefix}{head.last}-{self.shared.ledger.events.epoch}"
        machine = Machine(head.last, provider, tag, now)
        machine.is_asked, machine.offset = True, self.offset
        self.keep_head()
        self.look_by(provider, now + LIST_S)
        return machine

    def add(self, machine: Machine) -> None:
        """It counts from now on."""
        self.machines[machine.number] = machine
        self.by_tag.setdefault(machine.tag, machine)
        if machine.provider_id:
            self._by_id[machine.provider, machine.provider_id] = machine
        self.rate += machine.rate
        if machine.status in COMING:
            self.coming[machine.function] += machine.room

    def keep(self, machine: Machine) -> None:
        """Have it written down."""
        if self.shared.journal is not None:
            self.shared.journal.keep(machine.key, machine)

    def keep_head(self) -> None:
        """Have what is known of all written down."""
        if self.shared.journal is not None:
            self.shared.journal.keep(self.head.key, self.head)

    def reprice(self, machine: Machine, rate: int) -> None:
        """It counts for so much."""
        self.rate += rate - machine.rate
        machine.rate = rate

    def move(self, machine: Machine, what: str, now: float) -> None:
        """Something happens to it."""
        before = machine.status
        machine.move(what, now)
        if before in COMING and machine.status not in COMING:
            self.coming[machine.function] -= machine.room
        if machine.status in UNSURE:
            self.look_by(machine.provider, now + LOOK_S)
        self.keep(machine)

    def drop(self, machine: Machine, now: float) -> None:
        """It is not there, for certain: nothing of it has to be known any more."""
        if machine.status in COMING:
            self.coming[machine.function] -= machine.room
        if machine.provider_id or machine.agent:
            self.head.spent += machine.spent(now)
        self.lose_agent(machine, DISCONNECT, now)
        self.rate -= machine.rate
        self.leases.drop(machine)
        del self.machines[machine.number]
        if self.by_tag.get(machine.tag) is machine:
            del self.by_tag[machine.tag]
        self._by_id.pop((machine.provider, machine.provider_id), None)
        if self.shared.journal is not None:
            self.shared.journal.drop(machine.key)
        self.keep_head()
        self.effects.effects.append(Forget(machine.number, machine.provider, machine.tag))

    def spent(self, now: float) -> int:
        """What those have cost that are there, about, in nano-USD."""
        return sum(it.spent(now) for it in self.machines.values())

    def take_up(self, machine: Machine, look_at: float, now: float) -> None:
        """It was there when the control plane ended: whether it still is, has to be seen."""
        if machine.status == CREATING:
            self.move(machine, "doubt", now)
        elif machine.status == BOOTING:
            self.leases.set(machine, max(machine.since + self.boot_s, now + COMES_BACK_S))
        elif machine.status == DESTROYING:
            self.tell(machine, now)
        elif machine.status != UNCLEAR:
            self.leases.set(machine, look_at)

    def check(self) -> None:
        """See to it that the sums are right; for tests."""
        machines = self.machines.values()
        assert self.rate == sum(it.rate for it in machines), self.rate
        coming: Counter[int] = Counter()
        for it in machines:
            if it.status in COMING:
                coming[it.function] += it.room
        assert +self.coming == +coming, (self.coming, coming)
        assert all(self.machines[it.number] is it for it in self.by_tag.values())

    # --- what is told of one --------------------------------------------------------------------

    def rented(self, machine: Machine, told: Rented, now: float) -> None:
        """It was made."""
        machine.is_asked, machine.sure_from = False, now
        self._known_as(machine, told.provider_id, told.host, told.usd_per_hour, now)
        if machine.status == CREATING:
            self._boot(machine, now)
        self.check_price(machine, now)

    def not_rented(self, machine: Machine, failure: Failure, now: float, *, is_sure: bool) -> None:
        """It was not made, or may have been: somebody may have joined from it all the same."""
        machine.is_asked, machine.sure_from = False, now
        machine.note = failure.message
        if is_sure and not (machine.provider_id or machine.agent):
            self.drop(machine, now)
            return
        if machine.status == CREATING:
            self.move(machine, "doubt", now)
        self.look_by(machine.provider, now)

    def _known_as(
        self, machine: Machine, provider_id: str, host: str, usd_per_hour: float, now: float
    ) -> None:
        before = machine.provider_id, machine.rate
        machine.provider_id = machine.provider_id or provider_id
        machine.host = host or machine.host
        self._by_id[machine.provider, machine.provider_id] = machine
        if usd_per_hour > 0:
            self.reprice(machine, round(usd_per_hour * NANO))
        if before != (machine.provider_id, machine.rate):
            self.keep(machine)
        if not before[0] and machine.status == DESTROYING:
            self.tell(machine, now)

    def _boot(self, machine: Machine, now: float) -> None:
        self.move(machine, "boot", now)
        self.leases.set(machine, now + self.boot_s)

    def check_price(self, machine: Machine, now: float) -> None:
        """See to it that it does not cost more than it may."""
        if machine.rate > machine.most and machine.status != DESTROYING:
            self.fail(machine, f"it costs ${machine.rate / NANO:.3f}/h, more than it may", now)

    # --- ends -----------------------------------------------------------------------------------

    def fail(self, machine: Machine, why: str, now: float, *, reason: str = DISCONNECT) -> None:
        """It is of no use: it is destroyed, and who waits for one gets another."""
        was_coming = machine.has_failed = machine.status in COMING
        self.destroy(machine, why, now, reason=reason)
        if was_coming:
            self.failed(machine, why, now)

    def destroy(self, machine: Machine, why: str, now: float, *, reason: str = DISCONNECT) -> None:
        """Have it go, with all that it runs."""
        if machine.status == DESTROYING:
            return
        machine.note = why
        self.move(machine, "destroy", now)
        self.lose_agent(machine, reason, now)
        self.tell(machine, now)

    def tell(self, machine: Machine, now: float) -> None:
        """Its provider is told, and told again until it is gone; not while it may be made."""
        self.leases.drop(machine)
        if machine.provider_id and machine.provider in self.suppliers:
            late_s = now - machine.since
            self._destroy(machine, late_s if late_s >= LATE_S else 0.0)
            again_s = min(AGAIN_S * 2**machine.destroyed, LONGEST_AGAIN_S)
            self.leases.set(machine, now + again_s)

    def _destroy(self, machine: Machine, late_s: float = 0.0) -> None:
        names = machine.provider, machine.provider_id, machine.tag
        has_failed = machine.has_failed and not machine.destroyed
        self.effects.effects.append(Destroy(machine.number, *names, has_failed, late_s))
        machine.destroyed += 1

    def lose_agent(self, machine: Machine, reason: str, now: float) -> None:
        """What it runs is lost."""
        fleet = self.shared.fleet
        agent = fleet.agents.far.get(machine.agent)
        machine.agent = 0
        if agent is not None:
            fleet.forget(agent, now, reason)

    def avoid(self, machine: Machine, now: float) -> None:
        """It has not come up: nothing is rented where it is for a while."""
        self.head.avoided.fails(machine.host, machine.region, now + self.offset)
        self.keep_head()

    def avoided_at(self, now: float) -> dict[str, float]:
        """Where nothing is rented at that moment, and until when, Unix."""
        return self.head.avoided.at(now + self.offset)

    def came_up(self, machine: Machine, now: float) -> None:
        """Somebody has joined from it: it is as good where it is as anywhere."""
        self.move(machine, "join", now)
        if self.head.avoided.works(machine.region or machine.host):
            self.keep_head()

    # --- listings -------------------------------------------------------------------------------

    def look_by(self, provider: str, moment: float) -> None:
        """List all machines of a provider by then."""
        supplier = self.suppliers.get(provider)
        if supplier is not None:
            self.shared.wake_at(supplier.look_by(moment))

    def list(self, now: float) -> None:
        """Ask those for their machines whose time has come."""
        for supplier in self.suppliers.values():
            if supplier.list_at <= now:
                self.effects.effects.append(supplier.ask(self.head.prefix, now))
            else:
                self.shared.wake_at(supplier.list_at)

    def heard(self, supplier: Supplier, command: MachinesSeen, now: float) -> None:
        """A provider has answered."""
        if command.listing is not None:
            supplier.note = ""
            self.listed(supplier, command.listing, command.asked_at, now)
            return
        failure = command.failure or Failure("provider_error", "it has told nothing")
        supplier.note = failure.message
        supplier.hear(failure, now)
        self.shared.wake_at(supplier.go_on(now, max(2 * LOOK_S, failure.after_s)))

    def listed(self, supplier: Supplier, listing: Listing, asked_at: float, now: float) -> None:
        """A provider has listed its machines, as they were when it was asked or a little before."""
        unseen = {it.number: it for it in self.machines.values() if it.provider == supplier.name}
        for it in listing.machines:
            machine = self._machine_of(supplier, it)
            if machine is not None:
                unseen.pop(machine.number, None)
                self._shown(machine, it, now)
            elif it.tag.startswith(self.head.prefix):
                self._put_out(supplier, it, now)
        for machine in unseen.values() if listing.whole else ():
            if machine.is_missed(asked_at):
                self._vanished(machine, now)
        if listing.whole:
            supplier.listed_at = asked_at
        mine = (it for it in self.machines.values() if it.provider == supplier.name)
        is_sure = listing.whole and not any(it.status in UNSURE or it.misses for it in mine)
        self.shared.wake_at(supplier.go_on(now, LIST_S if is_sure else LOOK_S))

    def _machine_of(self, supplier: Supplier, it: Seen) -> Machine | None:
        """Which of ours that is; one of two under the same tag is none."""
        machine = self._by_id.get((supplier.name, it.provider_id)) or self.by_tag.get(it.tag)
        if machine is None or machine.provider != supplier.name:
            return None
        return machine if machine.provider_id in ("", it.provider_id) else None

    def _shown(self, machine: Machine, it: Seen, now: float) -> None:
        """It is there."""
        machine.is_shown(now)
        self._known_as(machine, it.provider_id, it.host, it.usd_per_hour, now)
        if machine.status == UNCLEAR:
            self._boot(machine, now)
        if it.preempted:
            self.fail(machine, "its provider gave it to somebody else", now, reason=PREEMPTED)
        elif it.state in (FAILED, STOPPED) and machine.status != DESTROYING:
            self._broke(machine, f"it has {it.state}: {it.detail}", now)
        self.check_price(machine, now)

    def _broke(self, machine: Machine, why: str, now: float) -> None:
        """It has ended by itself, perhaps before it came up."""
        if machine.status == BOOTING:
            self.avoid(machine, now)
        self.fail(machine, why, now)

    def _vanished(self, machine: Machine, now: float) -> None:
        """It is gone, or was never made."""
        was_coming = machine.has_failed = machine.status in COMING
        why = machine.note if machine.status == UNCLEAR else "it is gone"
        if machine.status == BOOTING:
            self.avoid(machine, now)
        if was_coming and machine.provider_id:
            self._destroy(machine)  # so that somebody looks at what it has printed
        self.drop(machine, now)
        if was_coming:
            self.failed(machine, why, now)

    def _put_out(self, supplier: Supplier, it: Seen, now: float) -> None:
        """It has a tag of ours, and nobody knows it: it goes."""
        machine = self.new(supplier.name, now)
        machine.tag, machine.is_asked = it.tag, False
        self.add(machine)
        self.keep(machine)
        self.destroy(machine, "nobody knows it", now)
        self._known_as(machine, it.provider_id, it.host, it.usd_per_hour, now)
