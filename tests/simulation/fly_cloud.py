"""The simulation of rented machines, where these are Fly's: its provider, over HTTP to the fake.

`python -m tests.simulation.fly_cloud FIRST END` runs many seeds. The core knows this provider by
the name that the simulation has for any.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from apothic_backends.model.functions import FunctionSpec, RetryPolicy
from apothic_backends.providers.base import FAILED, RUNNING
from apothic_backends.providers.fly.machines import TAG
from apothic_backends.providers.fly.provider import FlyProvider
from apothic_emulator.core.renting import Rent
from tests.fakes.fly.fake import FakeFly
from tests.fakes.fly.faults import Faults
from tests.fakes.fly.machines import Machine, usd_per_s
from tests.fakes.serving import served
from tests.simulation import seeds
from tests.simulation.history import sure
from tests.simulation.lying_cloud import BLOCK_S, Box, Cloud
from tests.simulation.renting import World
from tests.simulation.vast_cloud import VastCloud, VastWorld

BOOT_S = 20.0

RATES = {
    "drop": 0.03,
    "broken": 0.03,
    "garbage": 0.02,
    "busy": 0.05,
    "lose_reply": 0.1,
    "garble": 0.03,
    "full": 0.1,
    "fate": 0.15,
    "stubborn": 0.2,
    "stale": 0.1,
}
"""How likely each fault is, as long as there are any."""

CAP = 0.05
"""So many dollars an hour are three machines or so."""

BEFALLS = ("preempt", "vanish", "blocked")


class FlyCloud(VastCloud):
    """One provider that does one thing after another."""

    def __init__(self, world: FlyWorld, fake: FakeFly) -> None:
        Cloud.__init__(self, world)  # there is nothing of Vast here
        self.is_regional = True
        self.fly, self.is_busy = fake, False
        self.provider: Any = FlyProvider(fake.token, fake.org, url=fake.url, clock=world.clock)
        self.waiting: deque[tuple[Any, int]] = deque()
        self.rents: dict[str, Rent] = {}
        self.known: dict[str, Box] = {}

    def notice(self) -> None:
        """New ones have boxes, and boot; those that have ended stop."""
        world = self.world
        for it in [*self.fly.machines, *self.fly.state.gone]:
            if it.id not in self.known:
                self.known[it.id] = box = self.box_of(it)
                self.boxes.append(box)
                world.reached[f"fate {it.fate}"] += 1
                if not it.fate:
                    world.at(world.now + BOOT_S, world.boots, box)
            self.follow(self.known[it.id], it)

    def box_of(self, it: Any) -> Box:
        rent = self.rents[it.config["metadata"][TAG]]
        box = Box(0, rent, usd_per_s(it.guest, it.region) * 3600, self.world.now)
        box.provider_id = f"{it.app}/{it.id}"
        return box

    def follow(self, box: Box, it: Any) -> None:
        machine: Machine = it
        if machine.gone_at is not None and box.gone_at == float("inf"):
            self.is_gone(box)
            self.world.stops(box)
        elif machine.state == "failed" and box.state == RUNNING:
            box.state = FAILED
        elif machine.host_status != "ok":
            self.world.stops(box)

    def befall(self, kind: str) -> None:
        alive = self.fly.machines
        self.world.reached[kind] += kind in BEFALLS
        if kind == "blocked":
            self.fly.token = "fm2_another-token"
            self.world.at(self.world.now + BLOCK_S, self.allow)
        elif kind in BEFALLS and alive:
            victim = alive[self.chance(len(alive))]
            if kind == "preempt":  # its program ends, so nothing is left of it
                self.fly.state.destroy(self.fly.state.apps[victim.app], victim)
            else:
                self.fly.lose_host(victim.id, is_dark=bool(self.chance(2)))
        self.notice()

    def allow(self) -> None:
        self.fly.token = FakeFly.token

    def look_for_owners(self, longest_s: float) -> None:
        for box in () if self.fly.token == FakeFly.token else self.alive:
            box.owned_at = self.world.now  # nobody can do anything about it
        Cloud.look_for_owners(self, longest_s)

    def heal(self) -> None:
        Cloud.heal(self)
        self.fly.faults.stop()
        self.allow()


class FlyWorld(VastWorld):
    """One run."""

    def __init__(self, seed: int, fake: FakeFly) -> None:
        World.__init__(self, seed)
        self.ahead_s = 0.0
        self.terms = self.terms.replace(max_usd_per_hour=CAP)
        self.cloud: Any = FlyCloud(self, fake)
        if self.calm:
            fake.faults.stop()
        again = RetryPolicy(5, 0.0)
        self.specs = [
            FunctionSpec("sim", "four", cpu=4, max_containers=4, retries=again),
            FunctionSpec("sim", "one", cpu=1, memory_mb=3000, max_containers=3, retries=again),
            FunctionSpec("sim", "two", cpu=2, retries=again),
        ]


def run(seed: int) -> FlyWorld:
    """One run, to its end."""
    worlds: list[FlyWorld] = []
    now = lambda: worlds[0].clock.now() if worlds else 0.0  # noqa: E731
    fake = FakeFly(faults=Faults(seed, **RATES), now=now, is_limited=True)
    fake.state.start_s = BOOT_S
    fake.state.app_unknown_for = seed % 4
    with served(fake):
        world = FlyWorld(seed, fake)
        worlds.append(world)
        world.run()
        world.cloud.provider.close()
    sure(not fake.violations, "C4", "%s", fake.violations)
    sure(not fake.too_many, "C6", "asked too often: %d times", fake.too_many)
    return world


def failure_of(seed: int) -> str:
    """What is wrong in the run of a seed; nothing if nothing is."""
    return seeds.trouble(run, seed)


if __name__ == "__main__":
    seeds.main(failure_of)
