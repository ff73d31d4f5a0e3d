"""Planted bugs in what becomes of instances."""

from __future__ import annotations

from functools import partial
from typing import Any

from apothic_emulator.core.attempts import Attempts
from apothic_emulator.core.instance import Instance
from apothic_emulator.core.instances import Rules
from apothic_emulator.core.leaving import Leaving
from apothic_emulator.core.pools import Pool
from tests.simulation.mutants import Mutant, mutant

NAME_MUTANTS: dict[str, Mutant] = {}
plant = partial(mutant, among=NAME_MUTANTS)


@plant(Pool, "may_start")
def a_name_may_have_several_processes(right: Any, self: Pool, level: int, now: float) -> bool:
    is_lone, self.is_lone = self.is_lone, False
    found: bool = right(self, level, now)
    self.is_lone = is_lone
    return found


@plant(Leaving, "own")
def nobody_waits_for_the_process_before(
    right: Any, self: Leaving, it: Instance, pool: Pool
) -> None:
    right(self, it, pool)
    pool.behind = []


@plant(Leaving, "_was_of")
def a_name_is_another_one_after_a_stop(right: Any, self: Leaving, pool: Pool, it: Instance) -> bool:
    return self.owners[pool.function.number] is it


@plant(Leaving, "_left")
def whoever_waits_for_an_end_is_forgotten(
    right: Any, self: Leaving, pool: Pool, now: float
) -> None:
    fill, self.scheduler.fill = self.scheduler.fill, lambda *_: None  # type: ignore[method-assign]
    behind = [other for other in self.registry.pools.values() if pool in other.behind]
    right(self, pool, now)
    self.scheduler.fill = fill
    for other in behind:
        other.behind.append(pool)


@plant(Leaving, "settle")
def what_is_left_goes_on_for_ever(right: Any, self: Leaving, pool: Pool, now: float) -> None:
    if not pool.executors:
        right(self, pool, now)


@plant(Rules, "_adopt")
def what_was_left_before_a_restart_is_forgotten(
    right: Any, self: Rules, pool: Pool, now: float
) -> None:
    pass


@plant(Rules, "moved")
def a_new_version_changes_nothing(right: Any, self: Rules, *told: Any) -> None:
    pass


@plant(Instance, "is_lost_too_often")
def it_is_made_again_however_often_it_was_lost(right: Any, self: Instance, spec: Any) -> bool:
    return False


@plant(Attempts, "doom")
def calls_of_the_dead_wait_for_ever(
    right: Any, self: Attempts, pool: Pool, error: Any, now: float, line: Any = ()
) -> None:
    if error.code != "instance_dead":
        right(self, pool, error, now, line)


@plant(Rules, "_restart")
def a_restart_does_not_bring_it_back(right: Any, self: Rules, command: Any, *rest: Any) -> Any:
    it = self.find(command.instance)
    dead = it.dead
    found = right(self, command, *rest)
    it.dead = dead
    return found
