from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.simulation.deploy_mutants import DEPLOY_MUTANTS
from tests.simulation.deploying import DeployWorld, failure_of

SEEDS = int(os.environ.get("APOTHIC_SIMULATION_SEEDS", "300")) // 15


@pytest.mark.parametrize("first", range(0, SEEDS, 10))
def test_every_promise_of_deployments_holds_under_every_fault(first: int) -> None:
    assert {seed: why for seed in range(first, first + 10) if (why := failure_of(seed))} == {}


def test_everything_that_can_happen_to_a_deployment_happens() -> None:
    reached: Counter[str] = Counter()
    for seed in range(6):
        world = DeployWorld(seed)
        world.run()
        reached += world.reached

    wanted = {"Deploy", "RollbackDeployment", "StopDeployment", "DeleteDeployment", "no-op"}
    wanted |= {"fired", "crash", "crash_before_commit", "crash_after_commit", "waited"}
    wanted |= {"succeeded", "cancelled", "lost"}
    assert wanted <= reached.keys()


@pytest.mark.parametrize("name", DEPLOY_MUTANTS)
def test_a_planted_bug_of_deployments_is_found(name: str) -> None:
    with DEPLOY_MUTANTS[name]():
        found = next((why for seed in range(30) if (why := failure_of(seed))), None)

    assert found
