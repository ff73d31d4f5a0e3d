"""A control plane that rents machines, of providers that are played by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from apothic_backends.commands.machines import GetCloud, ListMachines
from apothic_backends.model.machines import CloudSnapshot, MachineSnapshot
from apothic_backends.placement.offers import Offer, offer_of
from apothic_backends.providers.base import RUNNING, Listing, Rented, Seen
from apothic_emulator.core.effects import Effect, Errand
from apothic_emulator.core.facts import Input, Tick
from apothic_emulator.core.hellos import Capacity, Gpu, Heard, Join, Welcome
from apothic_emulator.core.journal import Journal
from apothic_emulator.core.plane import Plane
from apothic_emulator.core.renting import (
    Destroy,
    Failure,
    ListRented,
    MachineRented,
    MachinesSeen,
    OffersFound,
    Rent,
    SeekOffers,
    Terms,
)
from tests.unit.emulator.core.agents import LEASE_S, Far

T = TypeVar("T", bound=Errand)

TERMS = Terms(("vast",), 1.0, boot_s=600.0, idle_s=300.0, lifetime_s=36_000.0)
GONE = Failure("offer_gone", "somebody else has it")
UNCLEAR = Failure("provider_unclear", "no answer came")


def offer(name: str = "o1", usd: float = 0.3, host: int | None = 1, **more: Any) -> Offer:
    """A machine with 8 cores and 32 GB, of a host."""
    told: dict[str, Any] = {"cpu_cores": 8, "cpu_cores_effective": 8, "cpu_ram": 32_000}
    told |= {"disk_space": 100, "dph_base": usd}
    return offer_of(name, told | more | ({} if host is None else {"machine_id": host}), 16)


class Renter(Far):
    """Its one function needs a machine, and has up to four processes."""

    terms: Terms | None = TERMS

    def __init__(
        self, retries: int = 0, *, terms: Terms | None = TERMS, is_kept: bool = True, **how: Any
    ) -> None:
        self.terms, self.is_kept = terms, is_kept
        self.alive: set[str] = set()
        """Agents that are heard of while time passes."""
        self.asked: dict[str, ListRented] = {}
        """Who was asked to list all machines, and has not."""
        self.destroyed: list[float] = []
        """When somebody was told to destroy a machine."""
        super().__init__(retries, **{"max_containers": 4, "cpu": 8, **how})

    def new_plane(self, wall_offset: float) -> Plane:
        self.epochs += 1
        return Plane(
            f"e{self.epochs}",
            wall_offset,
            calendar=self.calendar,
            journal=Journal() if self.is_kept else None,
            has_home=self.terms is not None and self.terms.home is not None,
            lease_s=LEASE_S,
            terms=self.terms,
            python="3.11",
        )

    def step(self, *inputs: Input) -> list[Effect]:
        effects = super().step(*inputs)
        self.asked |= {it.provider: it for it in effects if isinstance(it, ListRented)}
        self.destroyed += [self.now for it in effects if isinstance(it, Destroy)]
        return effects

    def restart(self, after_s: float = 0.0) -> list[Effect]:
        self.asked.clear()
        self.alive.clear()
        return super().restart(after_s)

    # --- what is asked of a provider ------------------------------------------------------------

    def wanted(self, kind: type[T]) -> list[T]:
        """What the last step has asked for."""
        return [it for it in self.effects if isinstance(it, kind)]

    def offers(self, *offers: Offer, function: int = 1, **how: Any) -> list[Rent]:
        """A provider has these."""
        self.ask(OffersFound(function, how.pop("provider", "vast"), offers, **how))
        return self.wanted(Rent)

    def rent(self, *offers: Offer) -> Rent:
        """A job waits, and a machine is asked for."""
        self.submit()
        assert self.wanted(SeekOffers)
        (found,) = self.offers(*(offers or (offer(),)))
        return found

    def rented(self, rent: Rent, usd: float = 0.3, number: int = 1) -> list[Effect]:
        """It is made."""
        told = Rented(f"v{number}", usd, "1")
        self.ask(MachineRented(rent.machine, rent.provider, rent.tag, told))
        return self.effects

    def not_rented(self, rent: Rent, failure: Failure) -> list[Effect]:
        self.ask(MachineRented(rent.machine, rent.provider, rent.tag, None, failure))
        return self.effects

    def comes_up(self, tag: str, name: str = "m1", **more: Any) -> Welcome:
        """The agent of a machine joins."""
        capacity = more.pop("capacity", Capacity(8, 32_000))
        welcome: Welcome = self.ask(Join(name, "1", capacity, tag=tag, **more))
        self.welcomes[name] = welcome
        self.alive.add(name)
        return welcome

    def cut(self, name: str = "m1") -> list[Effect]:
        self.alive.discard(name)
        return super().cut(name)

    def up(self, *offers: Offer, **more: Any) -> Rent:
        """A machine is up that runs the job for which it was rented."""
        rent = self.rent(*offers)
        self.rented(rent)
        self.comes_up(rent.tag, **more)
        return rent

    def wait_until(self, moment: float) -> list[Effect]:
        """Agents are heard of meanwhile."""
        effects: list[Effect] = []
        while self.now < moment:
            effects += super().wait_until(min(moment, self.now + LEASE_S / 2))
            effects += self.beats()
        return effects

    def beats(self) -> list[Effect]:
        effects: list[Effect] = []
        for name in self.alive:
            it = self.welcomes[name]
            if it.agent in self.plane.fleet.agents.far:
                self.ask(Heard(it.agent, it.session, is_beat=True))
                effects += self.effects
        return effects

    def lists(self, *seen: Seen, whole: bool = True, provider: str = "vast") -> list[Effect]:
        """A provider answers, who was asked or is about to be."""
        asked = self.listing_asked(provider)
        self.ask(MachinesSeen(provider, asked.asked_at, Listing(seen, whole)))
        return self.effects

    def listing_asked(self, provider: str = "vast") -> ListRented:
        """The next time that a provider is asked for all machines, if it was not yet."""
        for _ in range(200):
            if provider in self.asked:
                return self.asked.pop(provider)
            self.now = max(self.now, self.plane.alarm)
            self.beats()
            self.step(Tick())
        raise AssertionError("nobody asks")

    def seen(self, tag: str, provider_id: str = "v1", usd: float = 0.3, **more: Any) -> Seen:
        return Seen(provider_id, tag, more.pop("state", RUNNING), "", usd, "1", **more)

    # --- what there is --------------------------------------------------------------------------

    @property
    def machines(self) -> Sequence[MachineSnapshot]:
        found: Sequence[MachineSnapshot] = self.ask(ListMachines())
        return found

    @property
    def statuses(self) -> list[str]:
        return [it.status for it in self.machines]

    @property
    def cloud(self) -> CloudSnapshot:
        found: CloudSnapshot = self.ask(GetCloud())
        return found


def avoided(driver: Renter) -> dict[str, float]:
    """Where nothing is rented now, and for how many seconds."""
    books: Any = driver.plane.shared.part("machines")
    unix = driver.now + books.books.offset
    found: dict[str, float] = books.books.avoided_at(driver.now)
    return {place: round(until - unix, 3) for place, until in found.items()}


def gpus(count: int) -> tuple[Gpu, ...]:
    return tuple(Gpu(f"GPU-{i}", "RTX 4090", 24_000) for i in range(count))
