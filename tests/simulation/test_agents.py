from __future__ import annotations

import pytest

from tests.simulation.agent_mutants import AGENT_MUTANTS
from tests.simulation.agents import World, failure_of


@pytest.mark.parametrize("first", range(0, 12, 4))
def test_agents_keep_every_promise_under_every_fault(first: int) -> None:
    assert [told for seed in range(first, first + 4) if (told := failure_of(seed))] == []


def test_every_fault_falls_and_every_end_is_reached() -> None:
    reached = World(1).reached
    for seed in range(6):
        world = World(seed)
        world.run()
        reached += world.reached

    wanted = {"cut", "silence", "kill_agent", "restart", "crash", "kill_executor", "twice"}
    wanted |= {
        "answered",
        "crash_on_code",
        "drain",
        "drained",
        "in_trouble",
        "lose_gpu",
        "shared",
        "resumed",
        "restarted",
        "fenced",
        "lost",
        "succeeded",
        "cancelled",
    }
    assert wanted <= reached.keys()


def test_who_is_idle_gives_way_to_each_that_waits_for_more_than_one_that_ends() -> None:
    assert failure_of(573) == ""


RARE = {"all_that_an_agent_has_is_believed_to_have_begun": (523, 553, 587, 622)}
"""Found by one seed of a hundred: such ones."""


@pytest.mark.parametrize("name", AGENT_MUTANTS)
def test_a_planted_bug_is_found(name: str) -> None:
    seeds = RARE.get(name) or reversed(range(60))
    with AGENT_MUTANTS[name]():
        found = next((seed for seed in seeds if failure_of(seed)), None)

    assert found is not None
