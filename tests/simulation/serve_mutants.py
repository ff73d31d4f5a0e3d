"""Planted bugs in services: when their processes start and end, who listens, who is told."""

from __future__ import annotations

from functools import partial
from typing import Any

from apothic_backends.commands.services import StartService
from apothic_emulator.core.doors import Listen, Refuse, Unlisten
from apothic_emulator.core.executors import RETIRE_S, ExecutorStatus
from apothic_emulator.core.facts import Loaded
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.meters import Meters
from apothic_emulator.core.scheduler import Scheduler
from apothic_emulator.core.served import Service
from apothic_emulator.core.services import Rules
from apothic_emulator.core.shared import PARTS, Shared
from tests.simulation.mutants import Mutant, mutant

SERVE_MUTANTS: dict[str, Mutant] = {}
plant = partial(mutant, among=SERVE_MUTANTS)


@plant(Rules, "_listen_again")
def nobody_is_told_of_the_next_who_knocks(right: Any, self: Rules, it: Service, now: float) -> None:
    pass


@plant(Rules, "put")
def the_old_version_ends_when_the_new_one_is_deployed(right: Any, self: Rules, *rest: Any) -> None:
    right(self, *rest)
    self._drain(self.services[rest[0]], rest[-1])


@plant(Rules, "_drain")
def versions_before_go_on(right: Any, self: Rules, it: Service, now: float) -> None:
    if not it.is_wanted or it.pool is None:
        right(self, it, now)


@plant(Scheduler, "discard")
def who_starts_and_is_not_wanted_may_take_its_time(
    right: Any, self: Scheduler, executor: Any, now: float
) -> None:
    executor.is_used_up = True


@plant(Scheduler, "discard")
def who_is_ready_when_nobody_wants_it_goes_on(
    right: Any, self: Scheduler, executor: Any, now: float
) -> None:
    executor.step_at = min(executor.step_at, now + RETIRE_S)


@plant(Rules, "_said")
def who_is_crowded_gets_company_without_end(
    right: Any, self: Rules, executor: Any, fact: Any, now: float
) -> None:
    it = self._of_pool[executor.function.number]
    if fact.word == "crowded" and it.pool is not None and executor in it.live:
        self.scheduler.start(it.pool, now)
    else:
        right(self, executor, fact, now)


@plant(Rules, "_said")
def who_rests_goes_on(right: Any, self: Rules, executor: Any, fact: Any, now: float) -> None:
    if fact.word != "rests":
        right(self, executor, fact, now)


@plant(Rules, "_close")
def a_door_that_is_about_to_open_stays_open(
    right: Any, self: Rules, it: Service, now: float
) -> None:
    is_open = it.url is not None
    right(self, it, now)
    if not is_open:
        effects = self.scheduler.effects
        self.scheduler.effects = [one for one in effects if not isinstance(one, Unlisten)]


@plant(Rules, "_close")
def what_drains_already_is_forgotten(right: Any, self: Rules, it: Service, now: float) -> None:
    live = {**it.before, **{e.number: e for e in it.live}}
    right(self, it, now)
    it.before = live


@plant(Service, "is_over")
def who_waits_is_told_too_soon(right: Any, self: Service, command: Any) -> bool:
    return True


@plant(Service, "is_over")
def who_waits_for_a_start_is_forgotten(right: Any, self: Service, command: Any) -> bool:
    return not isinstance(command, StartService) and right(self, command)


@plant(Shared, "loaded")
def services_come_back_before_their_deployments(right: Any, self: Shared, now: float) -> None:
    for name in reversed(PARTS):
        if name in self.parts:
            self.parts[name].loaded(now)


@plant(Rules, "_keep")
def that_a_service_is_stopped_is_not_written_down(right: Any, self: Rules, it: Service) -> None:
    if it.is_wanted:
        right(self, it)


@plant(Rules, "drop")
def what_was_stopped_stays_so_when_it_is_deployed_again(
    right: Any, self: Rules, service_id: str, now: float
) -> None:
    it = self.services[service_id]
    is_wanted = it.is_wanted
    right(self, service_id, now)
    it.is_wanted = is_wanted


@plant(Rules, "_cannot")
def nobody_tries_again(right: Any, self: Rules, it: Service, error: Any, now: float) -> None:
    right(self, it, error, now)
    it.rest_until = NEVER


@plant(Rules, "_cannot")
def those_whom_the_old_version_would_take_are_refused(
    right: Any, self: Rules, it: Service, error: Any, now: float
) -> None:
    right(self, it, error, now)
    self.scheduler.effects.append(Refuse(it.service_id, error.message))


@plant(Rules, "tick")
def what_was_put_off_is_never_done(right: Any, self: Rules, now: float) -> None:
    pass


@plant(Rules, "_open")
def a_door_that_could_not_be_opened_stays_shut(right: Any, self: Rules, it: Service) -> None:
    if not it.note:
        right(self, it)


@plant(Rules, "_ready")
def a_version_that_is_late_is_used(
    right: Any, self: Rules, it: Service, executor: Any, now: float
) -> None:
    if it.pool is not None and it.is_wanted:
        self._drain(it, now)


@plant(Rules, "_await")
def who_waits_too_long_hears_how_it_was(
    right: Any, self: Rules, it: Service, asked: Any, timeout_s: float, now: float
) -> Any:
    late = it.snapshot()
    return self.shared.wait(asked, it.waits, timeout_s, now, empty=late, lends=False)


@plant(Rules, "heard")
def who_is_ready_too_late_has_the_old_version_end(
    right: Any, self: Rules, executor: Any, item: Any, now: float
) -> None:
    right(self, executor, item, now)
    if isinstance(item, Loaded) and executor.status is not ExecutorStatus.READY:
        self._drain(self._of_pool[executor.function.number], now)


@plant(Meters, "tick")
def what_is_up_is_charged_when_it_ends(right: Any, self: Meters, now: float) -> None:
    pass


@plant(Meters, "end")
def the_last_while_is_free(right: Any, self: Meters, executor: Any, now: float) -> None:
    self._up.pop(executor.number, None)


@plant(Meters, "begin")
def the_start_is_charged_for(right: Any, self: Meters, executor: Any, now: float) -> None:
    right(self, executor, now - 0.1)


@plant(Rules, "_cannot_be_paid")
def what_cannot_be_paid_starts(right: Any, self: Rules, it: Service, now: float) -> None:
    assert it.pool is not None
    self.scheduler.start(it.pool, now)


@plant(Service, "is_public")
def code_that_is_not_public_is_when_the_next_is(right: Any) -> Any:
    return property(lambda it: it.spec.public)


@plant(Rules, "_open")
def what_opens_is_not_said_to_be_public(right: Any, self: Rules, it: Service) -> None:
    right(self, it)
    self.scheduler.effects[-1] = Listen(it.service_id, it.port)
