from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.plan import CRASHES, FAULTS, make_plan
from tests.simulation.restart_mutants import RESTART_MUTANTS
from tests.simulation.runs import run_many
from tests.simulation.shrink import failure_of, shrink
from tests.simulation.world import World

SEEDS = int(os.environ.get("APOTHIC_SIMULATION_SEEDS", "100"))
"""A fraction of the nightly run: `APOTHIC_SIMULATION_SEEDS=1600` takes two million steps."""


def test_every_promise_holds_under_every_fault() -> None:
    tally = run_many(0, SEEDS, processes=2)

    assert tally.failure == ""
    assert tally.steps >= SEEDS * 800
    assert {kind: n for kind in FAULTS if (n := tally.fired[kind]) < SEEDS // 10} == {}


@pytest.mark.parametrize("seed", range(5000, 5010))
def test_everything_agrees_after_every_single_step(seed: int) -> None:
    World(make_plan(seed, ops=60), check_every=1).run()


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_found(name: str) -> None:
    with MUTANTS[name]():
        found = next((seed for seed in range(200) if failure_of(make_plan(seed, 80))), None)

    assert found is not None


@pytest.mark.parametrize("name", RESTART_MUTANTS)
def test_a_planted_bug_of_restarts_is_found(name: str) -> None:
    with RESTART_MUTANTS[name]():
        plans = (make_plan(seed, 80) for seed in range(400))
        crashing = (it for it in plans if "durable" in it.features and it.features & {*CRASHES})
        found = next((plan.seed for plan in crashing if failure_of(plan)), None)

    assert found is not None


def test_a_failure_is_made_small() -> None:
    with MUTANTS["an_unstarted_job_counts_as_started"]():
        plan = next(p for p in map(make_plan, range(100)) if failure_of(p) == "I7")
        smaller = shrink(plan, "I7")

        assert failure_of(smaller) == "I7"
    assert len(smaller.faults) <= 3
    assert len(smaller.ops) <= len(plan.ops)


def trace_of(seed: int) -> int:
    world = World(make_plan(seed), trace=True)
    world.run()
    return world.trace


def test_the_same_seed_is_the_same_run_whatever_the_hash_seed() -> None:
    code = "from tests.simulation.test_simulation import trace_of; print(trace_of(7))"
    traces = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1")
    }

    assert traces == {f"{trace_of(7)}\n".encode()}
