from __future__ import annotations

import pytest

from tests.simulation.lying_cloud import FAULTS
from tests.simulation.rent_mutants import RENT_MUTANTS
from tests.simulation.renting import ASKED, CRASHES, World, failure_of

SEEDS = 200


@pytest.mark.parametrize("first", range(0, SEEDS, 50))
def test_no_machine_is_left_behind_and_no_money_is_lost(first: int) -> None:
    assert [told for seed in range(first, first + 50) if (told := failure_of(seed))] == []


def test_every_lie_is_told_and_every_end_is_reached() -> None:
    reached = World(1).reached
    for seed in range(30):
        world = World(seed)
        world.run()
        reached += world.reached

    wanted = {
        *FAULTS,
        *CRASHES,
        *ASKED,
        "all released",
        "restarted",
        "told to go",
        "avoided",
        "tried again",
        "succeeded",
        "lost",
    }
    assert wanted <= reached.keys()


RARE = {
    "what_has_become_dearer_is_kept": 86,
    "nobody_looks_at_what_is_left": 65,
}
"""Found by few seeds: such ones."""


@pytest.mark.parametrize("name", RENT_MUTANTS)
def test_a_planted_bug_is_found(name: str) -> None:
    first = RARE.get(name, 0)
    with RENT_MUTANTS[name]():
        seeds = (*range(first, SEEDS), *range(first))
        found = next((seed for seed in seeds if failure_of(seed)), None)

    assert found is not None
