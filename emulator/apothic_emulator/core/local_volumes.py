"""Volumes that are rented for those who mount a `vast_local` one: each is on one host, for good.

`local_volume.py` has the life of one. It outlives machines, and costs until it is deleted: because
its volume was deleted here, or because it is empty and of no use. One that had data is never
replaced by another, whatever becomes of its host; functions that mount it wait, and are told why.
"""

from __future__ import annotations

from typing import Any, Final

from apothic_backends.model.costs import NANO
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.machines import (
    CREATING,
    DESTROYING,
    LOST,
    THERE,
    UNCLEAR,
)
from apothic_backends.placement.offers import Offer
from apothic_backends.providers.base import SeenVolume, VolumeListing, VolumeOrder, label_of
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.local_volume import (
    VAST,
    LocalVolume,
    most_of,
    needs_of,
    sought_of,
)
from apothic_emulator.core.machine import Machine, host_of
from apothic_emulator.core.rented import AGAIN_S, LONGEST_AGAIN_S, Books
from apothic_emulator.core.renting import (
    DeleteVolume,
    Failure,
    ListLabels,
    RentedVolume,
    RentVolume,
    Terms,
    VolumeDropped,
    VolumeEnded,
    VolumeRented,
    VolumesSeen,
)
from apothic_emulator.core.shared import Shared
from apothic_emulator.core.suppliers import LIST_S, LOOK_S, NOT_MADE
from apothic_emulator.core.volume_books import VolumeBooks

EMPTY_S: Final = 300.0
"""How long one is kept that is empty, and that no machine is rented with."""


class LocalVolumes(VolumeBooks):
    """What is rented for whom, what becomes of it, and that none is left behind."""

    def __init__(self, shared: Shared, books: Books, terms: Terms | None) -> None:
        super().__init__(shared, books)
        self.effects = shared.callers.scheduler
        self.size_gb = 0 if terms is None else terms.volume_gb
        self.has_market = VAST in books.suppliers
        self.note = ""
        """Why they are not known; or what is there, and not of ours."""
        self._list_at, self._asked_at, self._listed_at = NEVER, NEVER, -NEVER

    # --- what a function needs ------------------------------------------------------------------

    def of(self, spec: FunctionSpec) -> LocalVolume | None:
        """The one that a function mounts, if there is one."""
        return self.by_name.get(spec.local_volume) if spec.mounts else None

    def needs(self, spec: FunctionSpec) -> FunctionSpec:
        """What a machine has to meet for it."""
        return needs_of(spec, self.of(spec), self.size_gb) if spec.local_volume else spec

    def sought(self, spec: FunctionSpec) -> FunctionSpec:
        """What offers are asked for."""
        return sought_of(spec, self.of(spec), self.size_gb) if spec.local_volume else spec

    def why_not(self, spec: FunctionSpec) -> str:
        """Why no machine can be rented with the volume of a function now."""
        name = spec.local_volume
        if name and not self.has_market:
            return (
                f"volume {name} is vast_local, and nothing is rented at Vast here (--provider "
                "vast): nothing was rented. Make it portable, or rent there, too"
            )
        volume = self.of(spec)
        if volume is None or volume.status == THERE:
            return ""
        if volume.status == LOST:
            return volume.note
        return f"volume {name} is being rented on {VAST}'s machine {volume.host}: {volume.status}"

    # --- one comes ------------------------------------------------------------------------------

    @property
    def most(self) -> int:
        """What another one may cost, in nano-USD for an hour."""
        return most_of(self.size_gb)

    def rent(self, spec: FunctionSpec, function: int, offer: Offer, now: float) -> None:
        """Have one made on the host of an offer: it is written down first."""
        head = self.books.head
        head.last += 1
        self.books.keep_head()
        label = f"{self.prefix}{head.last}_{label_of(self.shared.ledger.events.epoch)}"
        it = LocalVolume(head.last, spec.local_volume, host_of(offer), label, now)
        it.is_asked, it.offset, it.function = True, self.books.offset, function
        it.size_gb = self.size_gb
        self.add(it)
        self.reprice(it, self.most)
        self.keep(it)
        if self.past.is_new:
            self.past.is_new = False
            self.keep_past()
        order = VolumeOrder(label, it.host, it.size_gb, it.rate / NANO)
        self.effects.effects.append(RentVolume(it.number, VAST, it.name, order))
        self._look_by(now + LIST_S)

    @property
    def prefix(self) -> str:
        """How all labels begin."""
        return label_of(self.books.head.prefix)

    def rented(self, told: VolumeRented, now: float) -> LocalVolume | None:
        """A provider has answered; gives the one that certainly was not made."""
        it = self.volumes.get(told.volume)
        if it is None or it.label != told.label:
            self._look_by(now)
            return None
        it.is_asked, it.sure_from = False, now
        if told.seen is not None:
            self._shown(it, told.seen, now)
            return None
        failure = told.failure or Failure("provider_unclear", "it has told nothing")
        it.note = failure.message
        if failure.code in NOT_MADE and not it.provider_id:
            self.drop(it, now)
            return it
        if it.status == CREATING:
            self.move(it, UNCLEAR, now, it.note)
        self._look_by(now)
        return None

    def mounted(self, machine: Machine) -> str:
        """The name of the volume that a machine has come up with; it may have data from now on."""
        it = self.volumes.get(machine.volume)
        if it is None or it.status == DESTROYING:
            return ""
        if not it.is_used:
            it.is_used = True
            self.keep(it)
        return it.name

    def given_to(self, machine: Machine, spec: FunctionSpec) -> RentedVolume | None:
        """What a machine for a function is to have of them."""
        it = self.of(spec)
        if it is None:
            return None
        machine.volume = it.number
        return RentedVolume(it.name, it.provider_id, it.host)

    # --- one goes -------------------------------------------------------------------------------

    def dropped(self, told: VolumeDropped, asked: Asked, now: float) -> None:
        """A volume was deleted here: what was rented for it goes, with all that is in it."""
        it = self.by_name.get(told.name)
        if it is not None:
            for agent in self.effects.agents.far.values():
                agent.volume = "" if agent.volume == told.name else agent.volume
            self._go(it, "its volume was deleted", now)

    def give_up(self, machine: Machine, why: str, now: float) -> None:
        """A machine has come to nothing: its volume goes, if it is empty and of no other's."""
        it = self.volumes.get(machine.volume)
        if (
            it is not None
            and it.status == THERE
            and not (it.is_used or self._has_other(it, machine))
        ):
            self._go(it, f"it is empty, and no machine was to be had with it: {why}", now)

    def _has_other(self, it: LocalVolume, than: Machine | None = None) -> bool:
        """Whether a machine is there with it, or may come up."""
        those = (one for one in self.books.machines.values() if one.volume == it.number)
        return any(one is not than and one.status != DESTROYING for one in those)

    def _go(self, it: LocalVolume, why: str, now: float) -> None:
        if it.status == LOST:
            self.drop(it, now)
            return
        self.by_name.pop(it.name, None)
        self.move(it, DESTROYING, now, why)
        self._tell(it, now)
        self.changed(it.name)

    def _tell(self, it: LocalVolume, now: float) -> None:
        """Its provider is told, and told again until it is gone; not while it may be made."""
        self._look_by(now + LOOK_S)
        if it.provider_id and self.has_market:
            self.effects.effects.append(DeleteVolume(it.number, VAST, it.provider_id))
            again_s = min(LONGEST_AGAIN_S, AGAIN_S * 2.0 ** min(it.told, 8))
            it.told += 1
            self.leases.set(it, now + again_s)

    def ended(self, told: VolumeEnded, asked: Asked, now: float) -> None:
        """A provider was told to delete one, or could not be."""
        it = self.volumes.get(told.volume)
        if it is None:
            return
        if told.failure is None:
            it.ended_at = min(it.ended_at, now)
            self._look_by(now + LOOK_S)
        else:
            it.note = f"it cannot be deleted yet: {told.failure.message}"

    # --- listings -------------------------------------------------------------------------------

    def _look_by(self, moment: float) -> None:
        if self.has_market:
            self._list_at = min(self._list_at, max(moment, self._listed_at + LOOK_S))
            self._wake()

    def _wake(self) -> None:
        if self._asked_at == NEVER > self._list_at:
            self.shared.wake_at(self._list_at)

    def tick(self, now: float) -> None:
        """Do what is due."""
        due: Any = self.leases.take(now)
        for it in due:
            if it.status == DESTROYING:
                self._tell(it, now)
            elif it.status == THERE and not it.is_used:
                self._look_at(it, now)
        if self._list_at <= now and self._asked_at == NEVER:
            self._asked_at, self._list_at = now, NEVER
            self.effects.effects.append(ListLabels(VAST, self.prefix, now))
        self._wake()

    def _look_at(self, it: LocalVolume, now: float) -> None:
        """It is empty: perhaps a machine is about to come up with it."""
        if self._has_other(it):
            self.leases.set(it, now + EMPTY_S)
        else:
            self._go(it, "it is empty, and no machine was rented with it", now)

    def seen(self, told: VolumesSeen, asked: Asked, now: float) -> None:
        """A provider has listed them, as they were when it was asked or a little before."""
        if told.asked_at != self._asked_at:
            return
        self._asked_at, self._listed_at = NEVER, now
        if told.listing is None:
            self.note = "" if told.failure is None else f"volumes: {told.failure.message}"
        else:
            self._listed(told.listing, told.asked_at, now)
        is_sure = told.listing is not None and told.listing.whole and not self._unsure()
        self._look_by(now + (LIST_S if is_sure else LOOK_S))

    def _unsure(self) -> bool:
        unsure = (UNCLEAR, DESTROYING)
        return any(it.status in unsure or it.misses for it in self.volumes.values())

    def _listed(self, listing: VolumeListing, asked_at: float, now: float) -> None:
        labels = {it.label: it for it in self.volumes.values()}
        unseen = {it.number: it for it in self.volumes.values()}
        strange: list[str] = []
        for it in listing.volumes:
            mine = labels.get(it.label)
            if mine is not None and mine.provider_id in ("", it.provider_id):
                unseen.pop(mine.number, None)
                self._shown(mine, it, now)
            elif mine is not None or it.label in self.past.labels:
                self.effects.effects.append(DeleteVolume(0, VAST, it.provider_id))
            else:
                strange.append(it.label)
        self.note = _strangers(strange) if strange else ""
        for one in unseen.values() if listing.whole else ():
            if one.is_missed(asked_at):
                self._vanished(one, now)

    def _shown(self, it: LocalVolume, seen: SeenVolume, now: float) -> None:
        """It is there."""
        it.is_shown(now)
        is_new, it.provider_id = not it.provider_id, seen.provider_id
        if seen.usd_per_hour > 0:
            self.reprice(it, round(seen.usd_per_hour * NANO))
        if it.status == DESTROYING and is_new:
            self._tell(it, now)
        elif it.status not in (DESTROYING, THERE):
            self.move(it, THERE, now)
            if not it.is_used:
                self.leases.set(it, now + EMPTY_S)
            self.changed(it.name)
        if is_new:
            self.keep(it)

    def _vanished(self, it: LocalVolume, now: float) -> None:
        """It is gone, or was never made."""
        if it.status == THERE and it.is_used:
            self.reprice(it, 0)
            told = (
                f"volume {it.name} was on {VAST}'s machine {it.host}, and is not there any more: "
                "all that was in it is lost, unless that machine is back. To begin with an empty "
                f"one: `apothic volume rm -r {it.name}`"
            )
            self.move(it, LOST, now, told)
        elif it.status != LOST:
            self.drop(it, now)

    def loaded(self, now: float) -> None:
        """All are back: look for each of them."""
        for it in self.volumes.values():
            if it.status == CREATING:
                self.move(it, UNCLEAR, now, "the control plane has ended meanwhile")
            elif it.status == DESTROYING or not it.is_used:
                self.leases.set(it, now + EMPTY_S * (it.status != DESTROYING))
        if not self.past.is_new:
            self._look_by(now)


def _strangers(labels: list[str]) -> str:
    return (
        f"volumes of this control plane that it does not know: {', '.join(sorted(labels))}. They "
        "cost, and may have data: look with `apothic cloud sweep --dry-run`"
    )
