"""Rented machines: for whom they are made, what becomes of them, and that none is left behind.

`machine.py` has the life of one. What is wanted is found out when a function has found no place
(`wants.py`); what there is, providers are asked again and again (`rented.py`). Money is safe:

* A machine is written down before it is asked for, and counts for the most that it may cost until
  it is seen to be gone: so what all cost together does not exceed what they may.
* Whether one was made whose provider has not said so, or is there that should be gone, is told by
  listings alone: two whole ones, as a single one may be old. Each that is not gone is destroyed
  again; so is whatever has a tag of ours and no record, and one that has become too dear.
* After a restart all of them are doubted, until a listing or their agents say what they are.
* One that does not come up in time is destroyed, and others are sought elsewhere (`avoided.py`).
  Who joins with a tag that is not wanted is told to go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from apothic_backends.commands.machines import (
    AllowMachines,
    GetCloud,
    ListImages,
    ListMachines,
    PublishImage,
    ReleaseMachines,
)
from apothic_backends.model.agents import MachineGivenUp
from apothic_backends.model.costs import NANO
from apothic_backends.model.errors import NotFound
from apothic_backends.model.events import Cursor, Event
from apothic_backends.model.machines import (
    BOOTING,
    DESTROYING,
    RETIRING,
    UP,
    CloudSnapshot,
    MachineSnapshot,
    ProviderSnapshot,
    PublishedImage,
)
from apothic_emulator.core.agent import Agent
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.feeds import Wants
from apothic_emulator.core.hellos import Join
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.local_volume import PATH as VOLUMES
from apothic_emulator.core.machine import COMING, Machine, machine_of
from apothic_emulator.core.published import PATH
from apothic_emulator.core.rented import Books
from apothic_emulator.core.renting import (
    MachineEnded,
    MachineRented,
    MachinesSeen,
    OffersFound,
    Terms,
    VolumeDropped,
    VolumeEnded,
    VolumeRented,
    VolumesSeen,
)
from apothic_emulator.core.shared import Rule, Shared, SharedWait
from apothic_emulator.core.suppliers import LOOK_S
from apothic_emulator.core.supply import Supply

LOOK_AFTER = 4
"""So often is it looked at one that is up, within the time that it may be idle."""

DRAIN_S = 5.0
"""How often it is looked whether one that retires has finished."""

AGED = 0.9
"""The part of its life after which one is drained."""

BARRED_S = 3600.0
"""How long none is rented for a function for which one that has come up will not do."""


class Rules:
    """The rules: who gets a machine, and what is told of them. One for all pools."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.scheduler = shared.callers.scheduler
        self.fleet = shared.fleet
        self.agents = self.scheduler.agents
        terms: Terms | None = shared.terms
        self.terms = terms
        self.books = Books(shared, terms)
        self.supply = self.agents.market = Supply(shared, self.books, terms)
        self.volumes = self.supply.volumes
        self._waits: list[SharedWait] = []
        """Who waits for the end of all machines."""
        self._released_at = self._now = NEVER
        self.commands: Mapping[type, Rule] = {
            ListMachines: self._list,
            GetCloud: self._get,
            ReleaseMachines: self._release,
            AllowMachines: self._allow,
            PublishImage: self._publish,
            ListImages: self._images,
            OffersFound: self.supply.offers_found,
            MachineRented: self.supply.rented,
            MachineEnded: self._ended,
            MachinesSeen: self._seen,
            VolumeRented: self.supply.volume_rented,
            VolumeEnded: self.volumes.ended,
            VolumesSeen: self.volumes.seen,
            VolumeDropped: self.volumes.dropped,
        }

    # --- what becomes of one ---------------------------------------------------------------------

    def _ended(self, command: MachineEnded, asked: Asked, now: float) -> None:
        self.supply.said(command.machine, command.said)
        machine = self.books.machines.get(command.machine)
        if machine is None:
            return
        if command.failure is None:
            machine.ended_at = min(machine.ended_at, now)
            self.books.look_by(machine.provider, now + LOOK_S)
        else:
            machine.note = f"it cannot be destroyed: {command.failure.message}"

    def _seen(self, command: MachinesSeen, asked: Asked, now: float) -> None:
        supplier = self.books.suppliers.get(command.provider)
        if supplier is None or supplier.asked_at != command.asked_at:
            return
        self.books.heard(supplier, command, now)
        if self._waits and self._is_clean:
            for wait in self._waits:
                self.shared.answer(wait, self._look(now))
            self._waits.clear()

    # --- an agent joins -------------------------------------------------------------------------

    def admit(self, command: Join, now: float) -> Machine:
        """The machine from which an agent joins.

        Raises:
            MachineGivenUp: it is not wanted any more, and goes; or it is there twice.
        """
        tag = command.tag
        machine = self.books.by_tag.get(tag)
        if machine is not None and machine.status != DESTROYING:
            agent = self.agents.far.get(machine.agent)
            if agent is None or agent.name == command.name:
                return machine
        for it in self.books.suppliers if tag.startswith(self.books.head.prefix) else ():
            self.books.look_by(it, now)
        raise MachineGivenUp(f"the machine {tag} is not wanted here any more: it has to go")

    def joined(self, machine: Machine, agent: Agent, now: float) -> None:
        """It has come up, or is heard of again."""
        if machine.status in COMING:
            self.books.came_up(machine, now)
            want = self.supply.wants.get(machine.function)
            if want is not None:
                want.worked(machine)
        agent.tag, machine.agent, machine.note = machine.tag, agent.number, ""
        agent.volume = self.volumes.mounted(machine)
        machine.was_seen = True
        agent.is_draining |= machine.status == RETIRING
        self.books.keep(machine)
        self.books.leases.set(machine, now + self._patience_s)

    def cut(self, tag: str, now: float) -> None:
        """Nothing is heard of one: perhaps somebody else has it."""
        machine = self.books.by_tag.get(tag)
        if machine is not None:
            self.books.look_by(machine.provider, now + 1.0)

    # --- time passes ----------------------------------------------------------------------------

    @property
    def _patience_s(self) -> float:
        return (DRAIN_S if self.terms is None else self.terms.idle_s) / LOOK_AFTER

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._now = now
        due: Any = self.books.leases.take(now)
        for machine in due:
            self._look_at(machine, now)
        self.books.list(now)
        self.volumes.tick(now)
        for want in self.supply.wants.values():
            if now < want.at:
                self.shared.wake_at(want.at)
            else:
                self.supply.soon(want)

    def _look_at(self, machine: Machine, now: float) -> None:
        """A machine has not done in time what it was to do, or may be idle."""
        agent = self.agents.far.get(machine.agent)
        if machine.status == BOOTING:
            self.books.avoid(machine, now)
            self.books.fail(machine, f"it has not come up within {self.books.boot_s:g} s", now)
        elif machine.status == DESTROYING:
            self.books.tell(machine, now)
        elif agent is None:
            self.books.destroy(machine, "nothing is heard of it any more", now)
        elif machine.status == RETIRING:
            self._drain(machine, agent, now)
        elif self._is_over(machine, agent, now):
            self._retire(machine, agent, now)
        else:
            self.books.leases.set(machine, now + self._patience_s)

    def _is_over(self, machine: Machine, agent: Agent, now: float) -> bool:
        """Whether it has run nothing for long, or is old."""
        idle_s = 0.0 if self.terms is None else self.terms.idle_s
        if agent.executors or agent.latest != machine.latest:
            machine.latest, machine.idle_since = agent.latest, None
        elif machine.idle_since is None:
            machine.idle_since = now
        is_idle = machine.idle_since is not None and now - machine.idle_since >= idle_s
        return is_idle or (now - machine.created_at >= AGED * self._lifetime_s)

    @property
    def _lifetime_s(self) -> float:
        return NEVER if self.terms is None else self.terms.lifetime_s

    def _retire(self, machine: Machine, agent: Agent, now: float) -> None:
        want = self.supply.wants.get(machine.function)
        if want is not None and machine in want.fresh and want.missing(now) > 0:
            told = f"{machine} has come up, and cannot run it"
            self.supply.wait(want, now + BARRED_S, "; ".join([told, *agent.lacks(want.spec)]))
        self.books.move(machine, "retire", now)
        self.fleet.drain(agent, now)
        self._drain(machine, agent, now)

    def _drain(self, machine: Machine, agent: Agent, now: float) -> None:
        is_too_old = now - machine.created_at >= self._lifetime_s
        if is_too_old or not agent.executors:
            self.books.destroy(machine, "", now)
        else:
            self.books.leases.set(machine, now + DRAIN_S)

    # --- for people -----------------------------------------------------------------------------

    def _snapshot(self, machine: Machine) -> MachineSnapshot:
        agent = self.agents.far.get(machine.agent)
        name, executors = ("", 0) if agent is None else (agent.name, len(agent.executors))
        return machine.snapshot(name, executors)

    def _list(self, command: ListMachines, asked: Asked, now: float) -> tuple[MachineSnapshot, ...]:
        return tuple(map(self._snapshot, self.books.machines.values()))

    def _get(self, command: GetCloud, asked: Asked, now: float) -> CloudSnapshot:
        return self._look(now)

    def _look(self, now: float) -> CloudSnapshot:
        books, head = self.books, self.books.head
        return CloudSnapshot(
            head.prefix,
            (books.rate + self.volumes.rate) / NANO,
            self.supply.cap / NANO,
            (head.spent + books.spent(now) + self.volumes.spent(now)) / NANO,
            head.since,
            head.is_paused,
            self._providers(now),
            tuple(map(self._snapshot, books.machines.values())),
            {
                want.label: told
                for want in self.supply.wants.values()
                if (told := self.supply.why(want.number, now))
            },
            self.volumes.snapshots(),
            self.volumes.note,
        )

    def _providers(self, now: float) -> tuple[ProviderSnapshot, ...]:
        counts: Counter[str] = Counter()
        rates: Counter[str] = Counter()
        for machine in self.books.machines.values():
            counts[machine.provider] += 1
            rates[machine.provider] += machine.rate
        known = self.books.suppliers
        strange = "it is not configured here: its machines can be neither seen nor destroyed"
        return tuple(
            known[name].snapshot(counts[name], rates[name], now, self.books.offset)
            if name in known
            else ProviderSnapshot(name, counts[name], rates[name] / NANO, strange)
            for name in {**known, **counts}
        )

    @property
    def _is_clean(self) -> bool:
        """Whether no machine is left, as each provider has said since they were released."""
        suppliers = self.books.suppliers.values()
        is_seen = all(it.listed_at >= self._released_at for it in suppliers)
        return is_seen and not self.books.machines

    def _release(self, command: ReleaseMachines, asked: Asked, now: float) -> Any:
        self._now = self._released_at = now
        self.books.head.is_paused = True
        self.books.keep_head()
        for machine in [*self.books.machines.values()]:
            agent = self.agents.far.get(machine.agent) if command.drain else None
            if agent is None:
                self.books.destroy(machine, "all are released", now)
            elif machine.status == UP:
                self._retire(machine, agent, now)
        for name in self.books.suppliers:
            self.books.look_by(name, now)
        if self._is_clean:
            return self._look(now)
        empty = lambda: self._look(self._now)  # noqa: E731 - of that moment
        timeout_s = command.timeout_s
        return self.shared.wait(asked, self._waits, timeout_s, now, empty=empty, lends=False)

    def _allow(self, command: AllowMachines, asked: Asked, now: float) -> CloudSnapshot:
        self.books.head.is_paused = False
        self.books.keep_head()
        for want in self.supply.wants.values():
            self.supply.soon(want)
        return self._look(now)

    def _publish(self, command: PublishImage, asked: Asked, now: float) -> None:
        self.supply.published.add(command.image)
        for want in self.supply.wants.values():
            self.supply.soon(want)

    def _images(self, command: ListImages, asked: Asked, now: float) -> tuple[PublishedImage, ...]:
        return tuple(self.supply.published)

    # --- a restart ------------------------------------------------------------------------------

    def load(self, key: list[str], record: bytes, now: float) -> None:
        """Take one back."""
        if key[0] == PATH:
            self.supply.published.load(record)
            return
        if key[0] == VOLUMES:
            self.volumes.load(int(key[1]), record, now)
            return
        number = int(key[0])
        if number:
            self.books.add(machine_of(number, record, self.books.offset, now))
        else:
            self.books.head.load(record)

    def loaded(self, now: float) -> None:
        """All are back: look for each of them."""
        for machine in [*self.books.machines.values()]:
            if machine.status == RETIRING and machine.agent in self.agents.far:
                self.agents.far[machine.agent].is_draining = True
            self.books.take_up(machine, now + self._patience_s, now)
        self.volumes.loaded(now)
        for name in () if self.books.head.is_new else self.books.suppliers:
            self.books.look_by(name, now)

    def number_after(self, number: int) -> None:
        """Give higher numbers than that."""
        self.books.head.last = max(self.books.head.last, number)

    def state(self, name: str, wants: Wants | None, here: Cursor) -> list[Event]:
        """Nothing is told of machines."""
        raise _untold()

    def look_for(self, name: str) -> None:
        """Nothing is told of machines."""
        raise _untold()

    def check(self) -> None:
        """See to it that the sums are right; for tests."""
        self.books.check()
        self.volumes.check()


def _untold() -> NotFound:
    return NotFound("of machines nothing is told: look at them with `apothic cloud status`")
