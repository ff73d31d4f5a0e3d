"""Who gets a machine: for what functions lack, offers are sought and machines are asked for.

What all count for, those that are being made included, stays below what they may cost together;
each counts for the most that it may cost until it is known what it does.
"""

from __future__ import annotations

from typing import Any

from apothic_backends.model.costs import NANO
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.machines import CREATING, UP
from apothic_backends.placement.offers import Offer
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.local_volume import VAST
from apothic_emulator.core.local_volumes import LocalVolumes
from apothic_emulator.core.machine import COMING, Machine
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.published import Published, needs_one
from apothic_emulator.core.rented import Books
from apothic_emulator.core.renting import (
    Failure,
    MachineRented,
    OffersFound,
    Rent,
    SeekOffers,
    Terms,
    VolumeRented,
)
from apothic_emulator.core.shared import Shared
from apothic_emulator.core.suppliers import NOT_MADE, Supplier
from apothic_emulator.core.wants import SEEK_S, Want, nano_of

CAP_S = 30.0
"""How often it is looked whether there is money again."""


class Supply:
    """What functions want that have found no place."""

    def __init__(self, shared: Shared, books: Books, terms: Terms | None) -> None:
        self.shared, self.books, self.terms = shared, books, terms
        books.failed = self.failed
        self.scheduler = shared.callers.scheduler
        self.agents = self.scheduler.agents
        self.cap = 0 if terms is None else round(terms.max_usd_per_hour * NANO)
        """In nano-USD for an hour."""
        self.agents.home.limits = None if terms is None else terms.home
        self.wants: dict[int, Want] = {}
        """By the number of their function."""
        self._restless: dict[int, Want] = {}
        self.published = Published(shared.journal)
        self.volumes = LocalVolumes(shared, books, terms)
        self.volumes.changed = self._volume_changed

    def serves(self, spec: FunctionSpec) -> bool:
        """Whether a function could run on a machine that is rented."""
        return self.terms is not None and self.agents.home.loads(spec)

    def wanted(self, pool: Pool, now: float) -> None:
        """A function has found no place: it gets machines, at the end of the step."""
        number = pool.function.number
        if self.serves(pool.function.spec):
            want = self.wants.get(number) or Want(pool)
            self.wants[number], want.called_at = want, now
            self.soon(want)

    def placed(self, pool: Pool) -> None:
        """A process of a service has found the place that it lacked."""
        want = self.wants.get(pool.function.number)
        if want is not None:
            want.called_at = -NEVER

    def soon(self, want: Want) -> None:
        """Look at what it lacks, at the end of the step."""
        if not self._restless:
            self.shared.again.append(self._plan)
        self._restless[want.number] = want

    def _plan(self, now: float) -> None:
        wants, self._restless = self._restless, {}
        for want in wants.values():
            self._supply(want, now)

    def _supply(self, want: Want, now: float) -> None:
        """Have as many machines made for a function as it lacks, and as may be."""
        lacking = want.missing(now)
        missing = lacking - self.books.coming[want.number] - self._fresh(want)
        if lacking <= 0 and now >= want.at and not (want.awaits or want.fresh):
            self.wants.pop(want.number, None)
        elif missing <= 0:
            return
        elif why := self._bar(want):
            want.reason = why
        elif now < want.at:
            self.shared.wake_at(want.at)
        elif not want.awaits and (not want.offers or now >= want.sought_at + SEEK_S):
            self._seek(want, now)
        elif not want.awaits:
            while missing > 0 and (machine := self._rent(want, now)) is not None:
                missing -= machine.room

    def _bar(self, want: Want) -> str:
        """Why nothing is rented for a function, whatever there is."""
        if self.books.head.is_paused:
            return "machines were released: none is rented until `apothic cloud up`"
        return self.volumes.why_not(want.spec)

    def _fresh(self, want: Want) -> int:
        """For how many executors there is room on machines that have come up and run nothing."""
        for machine in [*want.fresh]:
            agent = self.agents.far.get(machine.agent)
            if machine.status != UP or agent is None or agent.latest:
                want.fresh.remove(machine)
        return sum(machine.room for machine in want.fresh)

    def _seek(self, want: Want, now: float) -> None:
        suppliers = self._suppliers(want.spec)
        if not suppliers:
            want.reason = self.published.why_not(want.spec)
            return
        able = [it for it in suppliers if not it.why_not(now)]
        if not able:
            why = "; ".join(f"{it.name}: {it.why_not(now)}" for it in suppliers)
            self.wait(want, min(it.until for it in suppliers), f"nothing can be rented: {why}")
            return
        assert self.terms is not None
        spec = want.spec
        disk_gb = max(spec.disk_gb, self.terms.disk_gb)
        want.needs, volume = self.volumes.needs(spec), self.volumes.of(spec)
        want.where = "" if volume is None else f"; {volume.where()}"
        want.found, want.reason = [], want.reason or "offers are sought"
        want.troubles = self._left_out(spec, suppliers)
        want.troubles += [f"{it.name}: {it.why_not(now)}" for it in suppliers if it not in able]
        for it in able:
            want.awaits.add(it.name)
            self.scheduler.effects.append(
                SeekOffers(want.number, it.name, self.volumes.sought(spec), disk_gb)
            )

    def _left_out(self, spec: FunctionSpec, suppliers: list[Supplier]) -> list[str]:
        """Why others are not asked."""
        others = [it for it in self.books.suppliers if it not in {one.name for one in suppliers}]
        if spec.local_volume:
            return [f"machines of {it} have no volume {spec.local_volume}" for it in others]
        return [f"machines of {name} cannot load its image" for name in others]

    def _suppliers(self, spec: FunctionSpec) -> list[Supplier]:
        """Those whose machines can be made of what a function needs."""
        every = [*self.books.suppliers.values()]
        if spec.local_volume:
            every = [it for it in every if it.name == VAST]
        if not needs_one(spec):
            return every
        return [it for it in every if self.published.of(spec, it.name) is not None]

    def wait(self, want: Want, until: float, why: str) -> None:
        """Try nothing for it before."""
        want.wait(until, why)
        self.shared.wake_at(until)

    def offers_found(self, command: OffersFound, asked: Asked, now: float) -> None:
        """A provider has said what it has."""
        want = self.wants.get(command.function)
        if want is None or command.provider not in want.awaits:
            return
        want.awaits.remove(command.provider)
        supplier = self.books.suppliers[command.provider]
        if command.failure is not None:
            self._hear(supplier, command.failure, now)
            want.troubles.append(f"{supplier.name}: {command.failure.message}")
        for it in () if supplier.why_not(now) else command.offers:
            want.found.append(it.replace(values={**it.values, "provider": supplier.name}))
        if not want.awaits:
            want.sift(now)
            self.shared.wake_at(want.at)
            self.soon(want)

    def _rent(self, want: Want, now: float) -> Machine | None:
        """Ask for one more; None if there is no offer, or no money, or no volume for it yet."""
        books, volume = self.books, self.volumes.of(want.spec)
        avoided = books.avoided_at(now)
        if volume is not None:
            want.stays_on(volume.host)
            avoided = {}
        must_have = volume is None and bool(want.spec.local_volume)
        taken, beside = books.rate + self.volumes.rate, must_have * self.volumes.most
        room = self.cap - taken - beside
        offer = want.next(avoided, room, now)
        if offer is None and want.offers:
            least = f"${(min(map(nano_of, want.offers)) + beside) / NANO:.4f}/h"
            told = f"${taken / NANO:.4f} of ${self.cap / NANO:.4f}/h are taken"
            self.wait(want, now + CAP_S, f"what will do costs {least} at the least, and {told}")
        elif offer is None:
            told = "all that will do has failed, or is on a host that has"
            self.wait(want, now + SEEK_S, f"{told}{want.where}")
        elif must_have:
            want.offers.insert(0, offer)  # its machine is rented once there is a volume
            self.volumes.rent(want.spec, want.number, offer, now)
        else:
            return self._order(want, offer, room, now)
        return None

    def _order(self, want: Want, offer: Offer, room: int, now: float) -> Machine:
        """Have a machine made of an offer, once it is written down."""
        books, terms, spec = self.books, self.terms, want.spec
        assert terms is not None
        machine = books.new(offer.values["provider"], now)
        machine.wants(offer, want.most(offer, room))
        machine.function, machine.label = want.number, f"{spec.app_name}/{spec.name}"
        machine.room = want.room(offer)
        volume = self.volumes.given_to(machine, spec)
        if machine.region in books.avoided_at(now):
            machine.note = f"it is tried in {machine.region} again, as all that will do has failed"
        books.add(machine)
        books.keep(machine)
        disk_gb = max(spec.disk_gb, terms.disk_gb)
        image = self.published.of(spec, machine.provider) if needs_one(spec) else None
        what = offer, machine.most / NANO, disk_gb, terms.lifetime_s, image, volume
        self.scheduler.effects.append(Rent(machine.number, machine.provider, machine.tag, *what))
        return machine

    def _volume_changed(self, name: str) -> None:
        """A volume has come, or gone: whoever waits for it looks again."""
        for want in self.wants.values():
            if want.spec.local_volume == name:
                want.sought_at = -NEVER if name not in self.volumes.by_name else want.sought_at
                self.soon(want)

    def volume_rented(self, command: VolumeRented, asked: Asked, now: float) -> None:
        """A provider that was asked for a volume has answered."""
        failure, supplier = command.failure, self.books.suppliers.get(command.provider)
        if failure is not None and supplier is not None:
            self._hear(supplier, failure, now)
        lost = self.volumes.rented(command, now)
        want = None if lost is None else self.wants.get(lost.function)
        if lost is not None and want is not None:
            told = f"{command.provider}: {lost.note}"
            want.failed((lost.host,), 0, told, now, was_made=False)
            self.shared.wake_at(want.at)

    def rented(self, command: MachineRented, asked: Asked, now: float) -> None:
        """A provider that was asked for a machine has answered."""
        machine = self.books.machines.get(command.machine)
        if machine is None or machine.tag != command.tag:
            self.books.look_by(command.provider, now)  # it was given up, and is nobody's
        elif machine.is_asked and command.rented is not None:
            self.books.rented(machine, command.rented, now)
        elif machine.is_asked and command.failure is not None:
            self._not_rented(machine, command, now)

    def _not_rented(self, machine: Machine, command: MachineRented, now: float) -> None:
        failure: Any = command.failure
        supplier = self.books.suppliers[machine.provider]
        self._hear(supplier, failure, now)
        want = self.wants.get(machine.function)
        is_sure = failure.code in NOT_MADE
        if is_sure and machine.status == CREATING and want is not None:
            if now < supplier.until:
                self.wait(want, supplier.until, f"{machine.provider}: {failure.message}")
            else:
                self.failed(machine, failure.message, now)
        self.books.not_rented(machine, failure, now, is_sure=is_sure)

    def _hear(self, supplier: Supplier, failure: Failure, now: float) -> None:
        """It may be that nothing can be had there for a while: nobody tries what it has offered."""
        supplier.hear(failure, now)
        for want in self.wants.values() if now < supplier.until else ():
            want.found, want.offers = (
                [it for it in those if it.values["provider"] != supplier.name]
                for those in (want.found, want.offers)
            )

    def failed(self, machine: Machine, why: str, now: float) -> None:
        """One has come to nothing: whoever waits for it gets another, for a while."""
        self.volumes.give_up(machine, why, now)
        want = self.wants.get(machine.function)
        if want is not None:
            is_avoided = machine.region in self.books.avoided_at(now)
            names = () if is_avoided else (machine.offer, machine.host)
            told = f"{machine.provider}: {why}"
            want.failed(names, machine.number, told, now, was_made=bool(machine.provider_id))
            self.shared.wake_at(want.at)
            self.soon(want)

    def said(self, machine: int, text: str) -> None:
        """One that has come to nothing has printed this; empty if that is not known."""
        for want in self.wants.values() if text else ():
            if want.failed_last == machine and want.failure:
                want.failure += f"; it has printed: {text}"

    def is_coming(self, number: int) -> bool:
        """Whether a machine for a function is on its way."""
        return self.books.coming[number] > 0

    def why(self, number: int, now: float) -> str:
        """What is done for a function that waits for a machine."""
        want = self.wants.get(number)
        if self.is_coming(number):
            those = [it for it in self.books.machines.values() if it.function == number]
            it = next(it for it in those if it.status in COMING)
            told = f"a machine is being rented: {it}, {it.status} for {now - it.since:.0f} s"
            told = f"{told}; {it.note}" if it.note else told
        else:
            told = "" if want is None else self.volumes.why_not(want.spec) or want.reason
        return f"{told}{want.last_failure}" if told and want is not None else told
