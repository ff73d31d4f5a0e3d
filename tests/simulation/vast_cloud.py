"""The simulation of rented machines, where these are Vast's: its provider, over HTTP to the fake.

`python -m tests.simulation.vast_cloud FIRST END` runs many seeds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from apothic_backends.model.functions import Condition
from apothic_backends.providers.base import RUNNING, STOPPED, Order, ProviderError
from apothic_backends.providers.http import Clock
from apothic_backends.providers.vast.provider import VastProvider
from apothic_emulator.core.renting import (
    Destroy,
    Failure,
    ListRented,
    MachineEnded,
    MachineRented,
    MachinesSeen,
    OffersFound,
    Rent,
    SeekOffers,
)
from tests.fakes.serving import served
from tests.fakes.vast import market
from tests.fakes.vast.fake import KEY, FakeVast
from tests.fakes.vast.faults import Faults
from tests.fakes.vast.instance import Instance
from tests.simulation import seeds
from tests.simulation.history import sure
from tests.simulation.lying_cloud import BLOCK_S, NAME, Box, Cloud
from tests.simulation.renting import World

BOOT_S = 60.0

RATES = {
    "drop": 0.03,
    "broken": 0.03,
    "garbage": 0.02,
    "busy": 0.05,
    "lose_reply": 0.1,
    "gone": 0.1,
    "refused": 0.05,
    "leaves": 0.05,
    "lag": 0.2,
    "fate": 0.15,
    "dearer": 0.1,
    "stubborn": 0.2,
    "stale": 0.1,
}
"""How likely each fault is, as long as there are any."""

BEFALLS = ("preempt", "vanish", "blocked")


class VastCloud(Cloud):
    """One provider that does one thing after another."""

    world: VastWorld

    def __init__(self, world: VastWorld, fake: FakeVast) -> None:
        super().__init__(world)
        self.is_regional = False
        self.fake, self.is_busy = fake, False
        self.provider = VastProvider(KEY, fake.url, clock=world.clock)
        self.waiting: deque[tuple[Any, int]] = deque()
        self.rents: dict[str, Rent] = {}
        self.of: dict[int, Box] = {}

    def carry_out(self, errand: Any) -> None:
        if isinstance(errand, Rent):
            self.rents[errand.tag] = errand
            super().carry_out(errand)  # which keeps the books of what was ordered
        elif isinstance(errand, SeekOffers | Destroy | ListRented):
            if isinstance(errand, Destroy):
                self.note_why(errand)
            self.queue(errand, self.world.epoch)

    def rent(self, errand: Rent, epoch: int) -> None:
        self.queue(errand, epoch)

    def queue(self, errand: Any, epoch: int) -> None:
        self.waiting.append((errand, epoch))
        if not self.is_busy:
            self.begin()

    def begin(self) -> None:
        """What was asked for is done, whether or not who asked is there still."""
        self.is_busy = bool(self.waiting)
        if self.is_busy:
            errand, epoch = self.waiting.popleft()
            fact = self.fact_of(errand)
            self.notice()
            done_at, self.world.ahead_s = self.world.moment() + 0.05, 0.0
            self.world.at(done_at, self.finish, fact, epoch)

    def finish(self, fact: Any, epoch: int) -> None:
        self.is_busy = False
        self.answer(fact, epoch)
        if not self.is_busy:
            self.begin()

    def fact_of(self, errand: Any) -> Any:
        match errand:
            case SeekOffers():
                seek = lambda: tuple(self.provider.offers(errand.spec, errand.disk_gb))  # noqa: E731
                found, failure = self.tried(seek)
                self.offered_to(errand.function, found or ())
                return OffersFound(errand.function, NAME, found or (), failure)
            case Rent():
                del self.orders[errand.tag]
                rented, failure = self.tried(lambda: self.provider.create(order_of(errand)))
                return MachineRented(errand.machine, NAME, errand.tag, rented, failure)
            case Destroy():
                _, failure = self.tried(lambda: self.provider.destroy(errand.provider_id))
                return MachineEnded(errand.machine, failure)
            case _:
                listing, failure = self.tried(lambda: self.provider.list(errand.prefix))
                return MachinesSeen(NAME, errand.asked_at, listing, failure)

    def tried(self, call: Callable[[], Any]) -> tuple[Any, Failure | None]:
        try:
            return call(), None
        except ProviderError as error:
            self.world.reached[error.code] += 1
            return None, Failure(error.code, error.message, error.data.get("after_s", 0.0))

    # --- machines that are there ----------------------------------------------------------------

    def notice(self) -> None:
        """New ones have boxes, and boot; those that have ended stop."""
        world = self.world
        for number, it in self.fake.instances.items():
            if number not in self.of:
                self.of[number] = self.box_of(it)
                self.boxes.append(self.of[number])
                world.reached[f"fate {it.fate}"] += 1
                if it.fate == "runs" and it.stopped_at is None:
                    world.at(world.now + BOOT_S, world.boots, self.of[number])
            self.follow(self.of[number], it)

    def box_of(self, it: Instance) -> Box:
        box = Box(0, self.rents[it.label or ""], it.usd_per_hour(), self.world.now)
        box.provider_id = str(it.number)
        box.is_excess = it.stopped_at is not None  # made beside an error
        return box

    def follow(self, box: Box, it: Instance) -> None:
        ended = min((t for t in (it.gone_at, it.lost_at) if t is not None), default=None)
        if ended is not None and box.gone_at == float("inf"):
            self.is_gone(box)
            self.world.stops(box)
        elif it.stopped_at is not None and box.state == RUNNING:
            box.state = STOPPED
            self.world.stops(box)

    def befall(self, kind: str) -> None:
        alive = [it for it in self.fake.alive() if it.number in self.of]
        self.world.reached[kind] += kind in BEFALLS
        if kind == "blocked":
            self.fake.keys.clear()
            self.world.at(self.world.now + BLOCK_S, self.fake.keys.add, KEY)
        elif kind in BEFALLS and alive:
            victim = alive[self.chance(len(alive))].number
            (self.fake.outbid if kind == "preempt" else self.fake.lose_host)(victim)
        self.notice()

    def look(self, cap: float) -> None:
        self.notice()
        super().look(cap)

    def look_for_owners(self, longest_s: float) -> None:
        for box in () if self.fake.keys else self.alive:
            box.owned_at = self.world.now  # nobody can do anything about it
        super().look_for_owners(longest_s)

    def heal(self) -> None:
        super().heal()
        self.fake.faults.stop()
        self.fake.keys.add(KEY)


class VastWorld(World):
    """One run."""

    def __init__(self, seed: int, fake: FakeVast) -> None:
        super().__init__(seed)
        self.ahead_s = 0.0
        """How much of what is to come the provider has slept away."""
        self.cloud = VastCloud(self, fake)
        if self.calm:
            fake.faults.stop()
        told = Condition("provider", "eq", NAME, "offer_filters")
        self.specs[0] = self.specs[0].replace(placement=(told,))

    def moment(self) -> float:
        return self.now + self.ahead_s

    def sleep(self, pause_s: float) -> None:
        self.ahead_s += pause_s

    @property
    def clock(self) -> Clock:
        return Clock(self.moment, lambda: self.moment() + self.offset, self.sleep, lambda: 0.5)


def stock() -> list[market.Row]:
    """Offers on some hosts, with one GPU or two."""
    same = {"cpu_cores": 8, "cpu_cores_effective": 8, "cpu_ram": 32_000, "gpu_name": "RTX 4090"}
    return [
        market.offer(i, num_gpus=1 + i % 3 // 2, dph_base=0.1 + i % 17 / 50, **same)
        for i in range(60)
    ]


def order_of(rent: Rent) -> Order:
    """As a host has it."""
    most, env = rent.most_usd_per_hour, {"APOTHIC_AGENT_TOKEN": "a-token-of-one-machine"}
    return Order(rent.tag, rent.offer, "image", ("apothic", "agent"), most, rent.disk_gb, env)


def run(seed: int) -> VastWorld:
    """One run, to its end."""
    worlds: list[VastWorld] = []
    now = lambda: worlds[0].clock.now() if worlds else 0.0  # noqa: E731
    fake = FakeVast(offers=stock(), faults=Faults(seed, **RATES), now=now, boot_s=BOOT_S)
    with served(fake):
        world = VastWorld(seed, fake)
        worlds.append(world)
        world.run()
        world.cloud.provider.close()
    sure(len(fake.labels) == len({*fake.labels}), "C4", "asked for twice: %s", fake.labels)
    sure(not fake.violations, "C4", "%s", fake.violations)
    sure(not fake.throttled, "C6", "asked too often: %s", fake.throttled)
    return world


def failure_of(seed: int) -> str:
    """What is wrong in the run of a seed; nothing if nothing is."""
    return seeds.trouble(run, seed)


if __name__ == "__main__":
    seeds.main(failure_of)
