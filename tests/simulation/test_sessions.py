from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.simulation.session_mutants import SESSION_MUTANTS
from tests.simulation.sessions import SessionWorld, failure_of

SEEDS = int(os.environ.get("APOTHIC_SIMULATION_SEEDS", "300")) // 15


@pytest.mark.parametrize("first", range(0, SEEDS, 10))
def test_every_promise_to_clients_holds_under_every_fault(first: int) -> None:
    assert {seed: why for seed in range(first, first + 10) if (why := failure_of(seed))} == {}


def test_everything_that_can_happen_to_a_client_happens() -> None:
    reached: Counter[str] = Counter()
    for seed in range(12):
        world = SessionWorld(seed)
        world.run()
        reached += world.reached

    wanted = {"cut", "die", "give up", "crash", "crash_before_commit", "crash_after_commit"}
    wanted |= {"twice", "taken over", "queue_full", "went back", "dropped", "killed before it ends"}
    assert wanted <= reached.keys()


@pytest.mark.parametrize("name", SESSION_MUTANTS)
def test_a_planted_bug_of_sessions_is_found(name: str) -> None:
    with SESSION_MUTANTS[name]():
        found = next((why for seed in range(60) if (why := failure_of(seed))), None)

    assert found
