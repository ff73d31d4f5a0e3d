from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.simulation.nest_mutants import NEST_MUTANTS
from tests.simulation.nesting import NestWorld, failure_of

RARE = 723
"""A ring through an idle process that may not be used, which is found once in a hundred seeds."""
SEEDS = int(os.environ.get("APOTHIC_SIMULATION_SEEDS", "300")) // 3


def test_nobody_waits_for_ever_for_devices_that_are_held_meanwhile() -> None:
    assert {seed: why for seed in (*range(SEEDS), RARE) if (why := failure_of(seed))} == {}


def test_everything_that_can_happen_between_callers_happens() -> None:
    reached: Counter[str] = Counter()
    for seed in range(6):
        world = NestWorld(seed)
        world.run()
        reached += world.reached

    assert {"RunJob", "WaitJob", "refused", "succeeded", "cancelled"} <= reached.keys()


@pytest.mark.parametrize("name", NEST_MUTANTS)
def test_a_planted_bug_of_waits_is_found(name: str) -> None:
    with NEST_MUTANTS[name]():
        found = next((why for seed in reversed(range(200)) if (why := failure_of(seed))), None)

    assert found
