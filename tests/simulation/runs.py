"""Many seeds, in several processes, and what they came to."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

from tests.simulation.plan import make_plan
from tests.simulation.shrink import failure_of, report, shrink
from tests.simulation.world import World


@dataclass
class Tally:
    """What many runs came to."""

    seeds: int = 0
    steps: int = 0
    fired: Counter[str] = field(default_factory=Counter[str])
    reached: Counter[str] = field(default_factory=Counter[str])
    failure: str = ""

    def add(self, other: Tally) -> None:
        self.seeds += other.seeds
        self.steps += other.steps
        self.fired += other.fired
        self.reached += other.reached
        self.failure = self.failure or other.failure


def run_seeds(seeds: range) -> Tally:
    """Run them in this process, up to the first failure."""
    tally = Tally()
    for seed in seeds:
        plan = make_plan(seed)
        world = World(plan)
        try:
            world.run()
        except Exception:
            failure = failure_of(plan) or "only with another check_every"
            tally.failure = report(shrink(plan, failure), failure)
            return tally
        tally.add(Tally(1, world.steps, world.fired, world.history.reached))
    return tally


def run_many(first: int, count: int, processes: int) -> Tally:
    """Run seeds in several processes."""
    chunks = [range(s, min(s + 20, first + count)) for s in range(first, first + count, 20)]
    tally = Tally()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for part in pool.map(run_seeds, chunks):
            tally.add(part)
            if tally.failure:
                pool.shutdown(cancel_futures=True)
                break
    return tally
