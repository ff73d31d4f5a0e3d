from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.simulation.name_mutants import NAME_MUTANTS
from tests.simulation.naming import NameWorld, failure_of

SEEDS = int(os.environ.get("APOTHIC_SIMULATION_SEEDS", "300")) // 15


@pytest.mark.parametrize("first", range(0, SEEDS, 10))
def test_every_promise_of_instances_holds_under_every_fault(first: int) -> None:
    assert {seed: why for seed in range(first, first + 10) if (why := failure_of(seed))} == {}


def test_everything_that_can_happen_to_an_instance_happens() -> None:
    reached: Counter[str] = Counter()
    for seed in range(8):
        world = NameWorld(seed)
        world.run()
        reached += world.reached

    wanted = {"Deploy", "StopInstance", "RestartInstance", "begun", "died", "lost", "opened"}
    wanted |= {"crash", "crash_before_commit", "crash_after_commit", "instance_dead"}
    wanted |= {"succeeded", "cancelled", "worker_lost"}
    assert wanted <= reached.keys()


@pytest.mark.parametrize("name", NAME_MUTANTS)
def test_a_planted_bug_of_instances_is_found(name: str) -> None:
    with NAME_MUTANTS[name]():
        found = next((why for seed in range(30) if (why := failure_of(seed))), None)

    assert found
