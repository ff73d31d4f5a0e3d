from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.simulation.serve_mutants import SERVE_MUTANTS
from tests.simulation.serving import ServeWorld, failure_of

SEEDS = int(os.environ.get("APOTHIC_SIMULATION_SEEDS", "300")) // 5


@pytest.mark.parametrize("first", range(0, SEEDS, 20))
def test_every_promise_of_services_holds_under_every_fault(first: int) -> None:
    assert {seed: why for seed in range(first, first + 20) if (why := failure_of(seed))} == {}


def test_everything_that_can_happen_to_a_service_happens() -> None:
    reached: Counter[str] = Counter()
    for seed in range(12):
        world = ServeWorld(seed)
        world.run()
        reached += world.reached

    wanted = {"Deploy", "RollbackDeployment", "StopDeployment", "DeleteDeployment", "Roused"}
    wanted |= {"GetService", "StartService", "StopService", "Listening", "GpusFound", "no door"}
    wanted |= {"served", "refused", "handed on", "taken", "late", "begun anew"}
    wanted |= {"crash", "crash_before_commit", "crash_after_commit"}
    assert wanted <= reached.keys()


@pytest.mark.parametrize("name", SERVE_MUTANTS)
def test_a_planted_bug_of_services_is_found(name: str) -> None:
    with SERVE_MUTANTS[name]():
        found = next((why for seed in range(60) if (why := failure_of(seed))), None)

    assert found
