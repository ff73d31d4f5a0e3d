"""Planted bugs in what deployments are, and in how they come back."""

from __future__ import annotations

from functools import partial
from typing import Any

from apothic_emulator.core.deployments import Rules
from apothic_emulator.core.journal import Journal
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.registry import Registry
from apothic_emulator.core.schedules import Schedules
from apothic_emulator.core.versions import Deployment
from tests.simulation.mutants import Mutant, mutant

DEPLOY_MUTANTS: dict[str, Mutant] = {}
plant = partial(mutant, among=DEPLOY_MUTANTS)


@plant(Deployment, "is_made_of")
def the_same_again_is_another_version(right: Any, self: Deployment, functions: Any) -> bool:
    return False


@plant(Deployment, "is_made_of")
def other_code_is_no_other_version(right: Any, self: Deployment, functions: Any) -> bool:
    return self.entries.keys() == {one.spec.name for one in functions}


@plant(Registry, "name")
def a_name_stays_with_its_first_function(
    right: Any, self: Registry, name: str, pool: Pool | None
) -> None:
    if pool is None or name not in self._by_id:
        right(self, name, pool)


@plant(Registry, "name")
def what_has_no_name_any_more_is_called_by_it(
    right: Any, self: Registry, name: str, pool: Pool | None
) -> None:
    if pool is not None:
        right(self, name, pool)


@plant(Schedules, "drop")
def what_is_not_live_runs_by_itself(right: Any, self: Schedules, number: int) -> None:
    pass


@plant(Rules, "_tell")
def ends_are_not_written_down(
    right: Any, self: Rules, it: Deployment, what: str, now: float
) -> None:
    journal = self.shared.journal
    if what != "live":
        self.shared.journal = None
    right(self, it, what, now)
    self.shared.journal = journal


@plant(Journal, "drop")
def what_was_deleted_comes_back(right: Any, self: Journal, key: str) -> None:
    if not key.startswith("deployments/"):
        right(self, key)


@plant(Rules, "loaded")
def names_stand_for_nothing_after_a_restart(right: Any, self: Rules, now: float) -> None:
    registry: Any = self.registry
    named, registry.name = registry.name, lambda *_: None
    right(self, now)
    registry.name = named


@plant(Rules, "load")
def numbers_of_versions_begin_anew(right: Any, self: Rules, key: list[str], *rest: Any) -> None:
    if key != ["last"]:
        right(self, key, *rest)


@plant(Rules, "_let_go")
def jobs_of_a_version_that_is_replaced_are_stopped(
    right: Any, self: Rules, it: Deployment, status: str, now: float
) -> None:
    right(self, it, status, now)
    self._cancel(it, now)


@plant(Rules, "_is_anothers")
def what_was_gone_back_to_ends_with_what_it_came_from(
    right: Any, self: Rules, it: Deployment, pool: Pool
) -> bool:
    return False


@plant(Rules, "_goal")
def going_back_goes_to_the_latest(right: Any, self: Rules, app: str, version: Any) -> Deployment:
    right(self, app, version)
    return next(self._of_app(app))


@plant(Schedules, "load")
def times_are_seen_to_again_after_a_restart(
    right: Any, self: Schedules, number: int, record: bytes, now: float
) -> None:
    right(self, number, record, now)
    it = self.timetables[number]
    it.due -= 10.0


@plant(Rules, "_forget")
def what_was_shared_is_left_alone(right: Any, self: Rules, it: Deployment, now: float) -> None:
    before = {**self.draining}
    right(self, it, now)
    for number in self.draining.keys() - before.keys():
        del self.draining[number]
