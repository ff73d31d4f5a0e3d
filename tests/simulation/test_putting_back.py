from __future__ import annotations

import os
from collections import Counter
from functools import partial
from typing import Any

import pytest

from apothic_emulator.core import floors
from apothic_emulator.core.fleet import Fleet
from apothic_emulator.core.plane import Plane
from apothic_emulator.core.registry import Registry
from apothic_emulator.core.shared import Shared
from tests.simulation.mutants import Mutant, mutant
from tests.simulation.putting_back import PuttingBack, failure_of

SEEDS = int(os.environ.get("APOTHIC_SIMULATION_SEEDS", "300")) // 10

MUTANTS: dict[str, Mutant] = {}
plant = partial(mutant, among=MUTANTS)


@plant(Plane, "_lift")
def nobody_minds(right: Any, self: Plane, *_: Any) -> None:
    pass


@plant(floors.Floor, "pack")
def the_floor_is_not_kept(right: Any, self: Any) -> bytes:
    return b"0"


@plant(Registry, "number_after")
def functions_begin_where_they_were(right: Any, self: Registry, number: int) -> None:
    pass


@plant(Shared, "number_after")
def fences_begin_where_they_were(right: Any, self: Shared, number: int) -> None:
    pass


@plant(Fleet, "_match")
def what_an_agent_has_is_left_alone(right: Any, self: Fleet, *rest: Any) -> tuple[int, ...]:
    right(self, *rest)
    return ()


@pytest.mark.parametrize("first", range(0, SEEDS, 10))
def test_nothing_is_handed_out_twice_whatever_copy_is_put_back(first: int) -> None:
    assert {seed: why for seed in range(first, first + 10) if (why := failure_of(seed))} == {}


def test_everything_that_can_happen_to_a_copy_happens() -> None:
    reached: Counter[str] = Counter()
    for seed in range(10):
        run = PuttingBack(seed)
        run.run()
        reached += run.reached

    wanted = {"job", "function", "deployment", "revision", "executor", "refused", "stopped"}
    assert wanted | {"put back", "put back unseen"} <= reached.keys()


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_of_putting_back_is_found(name: str) -> None:
    with MUTANTS[name]():
        found = next((why for seed in range(30) if (why := failure_of(seed))), None)

    assert found
