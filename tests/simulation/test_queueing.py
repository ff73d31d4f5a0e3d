from __future__ import annotations

import os

import pytest

from tests.simulation.queue_mutants import QUEUE_MUTANTS
from tests.simulation.queueing import failure_of

SEEDS = int(os.environ.get("APOTHIC_SIMULATION_SEEDS", "300")) // 10


@pytest.mark.parametrize("first", range(0, SEEDS, 10))
def test_every_promise_of_queues_holds_under_every_fault(first: int) -> None:
    assert {seed: why for seed in range(first, first + 10) if (why := failure_of(seed))} == {}


@pytest.mark.parametrize("name", QUEUE_MUTANTS)
def test_a_planted_bug_of_queues_is_found(name: str) -> None:
    with QUEUE_MUTANTS[name]():
        found = next((why for seed in range(40) if (why := failure_of(seed))), None)

    assert found
