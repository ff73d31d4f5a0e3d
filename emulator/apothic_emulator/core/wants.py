"""What a function waits for that has found no place: how many machines, and of which offers.

Offers are sought when they are needed and are used for a minute. Those that meet all conditions are
tried in the order in which `placement.choose` has them; each that fails is not tried again for a
while, nor is its host. After a few there is a pause. Regions that have failed come last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from apothic_backends.model.costs import NANO
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.placement.compiling import conditions_of
from apothic_backends.placement.offers import Offer, choose
from apothic_emulator.core.agent import cores
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.machine import Machine, host_of, region_of
from apothic_emulator.core.pools import Pool

MOST_TRIES = 5
"""So many machines may fail before there is a pause."""

PAUSE_S = 300.0
"""How long that is; and for how long what has failed is not tried again."""

MOST_PAUSE_S = 3600.0
"""It doubles up to this, where machines were made, and paid for, of which none came up."""

SEEK_S = 60.0
"""How long offers are used; and how long it takes until they are sought again where none did."""

SERVICE_S = 5.0
"""A service asks for a place again and again: as long ago as this, it did not want one any more."""

DRIFT = 1.1
"""What is asked for may have become dearer by as much, since it was offered."""


_MOST = ("lt", "lte")
"""How a condition says what something may be at the most."""


class Want:
    """What one function waits for."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.called_at = -NEVER
        """When it has last found no place."""
        self.found: list[Offer] = []
        self.offers: list[Offer] = []
        """Those that are left, the best first."""
        self.sought_at = -NEVER
        self.awaits: set[str] = set()
        """Providers that have not told yet what they have."""
        self.troubles: list[str] = []
        """Why some of them have told nothing."""
        self.fresh: list[Machine] = []
        """Machines that have come up for it, and may not have run anything yet."""
        self.tries = self.pauses = 0
        """How many have failed since the last pause; and pauses since one has come up, before which
        some were made."""
        self.is_paying = False
        """Whether one of those that have failed since the last pause was made."""
        self.tried: dict[str, float] = {}
        """Names of offers, and hosts, that have failed; until when they are not tried again."""
        self.needs = pool.function.spec
        """The function, with what its volume adds to its conditions."""
        self.where = ""
        """Where it has to be, and what can be done if nothing is to be had there, for people."""
        self.at = -NEVER
        """Nothing is tried before."""
        self.reason = ""
        """Why there is no machine for it."""
        self.failure, self.failed_last = "", 0
        """Why the last machine for it came to nothing since one has come up, and its number."""

    @property
    def spec(self) -> FunctionSpec:
        """That of the function."""
        return self.pool.function.spec

    @property
    def label(self) -> str:
        """The function, for people."""
        return f"{self.spec.app_name}/{self.spec.name}"

    @property
    def number(self) -> int:
        """That of the function."""
        return self.pool.function.number

    def missing(self, now: float) -> int:
        """How many executors it lacks, and may have."""
        pool, spec = self.pool, self.spec
        if spec.service is not None:
            return int(now - self.called_at <= SERVICE_S)
        if not pool.queue:
            return 0
        most = 1 if pool.is_lone else spec.max_containers
        each = spec.concurrent_requests if spec.batch is None else spec.batch.max_size
        each = max(each, spec.tasks_per_container)
        wanted = -(-len(pool.queue) // each)
        return min(wanted, most - pool.taken(pool.queue[0].level, idle=True))

    def wait(self, until: float, reason: str) -> None:
        """Try nothing before."""
        self.at, self.reason = until, reason

    def sift(self, now: float) -> None:
        """All that could be had is known: keep what will do."""
        spec = self.spec
        choice = choose(conditions_of(self.needs), self.found, spec.gpu)
        self.offers = [it for it in choice.candidates if it.usd_per_hour is not None]
        self.sought_at = now
        troubles, self.troubles = self.troubles, []
        if self.offers:
            return
        rejected = [f"{count} do not meet {it.said}" for it, count in choice.rejected()[:3]]
        told = [f"none of {len(self.found)} offers will do", *troubles]
        self.wait(now + SEEK_S, "; ".join([*told, *rejected]) + self.where)

    def stays_on(self, host: str) -> None:
        """It can be on that host alone, whatever has failed there."""
        self.offers = [it for it in self.offers if host_of(it) == host]
        self.tried.clear()

    def next(self, avoided: Mapping[str, float], room: int, now: float) -> Offer | None:
        """The next offer to be tried that costs no more than there is room for.

        It is in a region that is avoided only if all are: in that which is avoided no more first.
        """
        out = {name for name, until in self.tried.items() if until > now} | avoided.keys()
        self.offers = [it for it in self.offers if not out.intersection((it.name, host_of(it)))]
        able = [it for it in self.offers if nano_of(it) <= room]
        found = min(able, key=lambda it: avoided.get(region_of(it), 0.0), default=None)
        if found is not None and host_of(found):
            self.offers.remove(found)  # there is one of it
        return found

    def most(self, offer: Offer, room: int) -> int:
        """What a machine of that offer may cost, in nano-USD for an hour."""
        limits = [
            round(it.value * NANO)
            for it in self.spec.placement
            if it.field == "dph_total"
            and it.operator in _MOST
            and isinstance(it.value, int | float)
        ]
        return min([round(nano_of(offer) * DRIFT), room, *limits])

    def room(self, offer: Offer) -> int:
        """How many executors a machine of that offer takes."""
        spec, values = self.spec, offer.values
        needs = {"cpu_cores_effective": cores(spec), "cpu_ram_effective": spec.memory_mb}
        needs["num_gpus"] = spec.gpu_count
        rooms = [int(values[field] // it) for field, it in needs.items() if it and field in values]
        return max(1, min(rooms, default=1))

    def failed(
        self, names: Iterable[str], machine: int, why: str, now: float, *, was_made: bool
    ) -> None:
        """A machine has come to nothing: no other is made of that offer now, nor on that host."""
        self.tries += 1
        self.is_paying |= was_made
        self.tried |= {name: now + PAUSE_S for name in names if name}
        self.failure, self.failed_last = why, machine
        self.reason = "another machine is sought"
        if self.tries >= MOST_TRIES:
            pause_s = min(MOST_PAUSE_S, PAUSE_S * 2**self.pauses)
            told = f"{self.tries} machines came to nothing; there is a pause of"
            self.wait(now + pause_s, f"{told} {pause_s / 60:.0f} min")
            self.pauses += self.is_paying
            self.tries, self.is_paying = 0, False
            self.tried.clear()

    @property
    def last_failure(self) -> str:
        """The end of what is told of it, for who has to find out what is wrong."""
        return f"; the last one: {self.failure}" if self.failure else ""

    def worked(self, machine: Machine) -> None:
        """A machine has come up for it."""
        self.fresh.append(machine)
        self.tries = self.pauses = 0
        self.is_paying, self.reason, self.failure = False, "", ""
        self.tried.clear()


def nano_of(offer: Offer) -> int:
    """What it costs, in nano-USD for an hour."""
    assert offer.usd_per_hour is not None
    return round(offer.usd_per_hour * NANO)
