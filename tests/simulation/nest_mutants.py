"""Planted bugs in who may wait while GPUs are held."""

from __future__ import annotations

from functools import partial
from typing import Any

from apothic_backends.model.errors import SlotDeadlock
from apothic_emulator.core.jobs import Job
from apothic_emulator.core.standstill import Standstill
from tests.simulation.mutants import Mutant, mutant

NEST_MUTANTS: dict[str, Mutant] = {}
plant = partial(mutant, among=NEST_MUTANTS)


@plant(Standstill, "check")
def nobody_is_refused(right: Any, self: Standstill, job: Job, caller: Job) -> None:
    pass


@plant(Standstill, "_held")
def who_waits_gives_devices_back(right: Any, self: Standstill, stuck: Any) -> dict[str, Any]:
    return {}


@plant(Standstill, "_is_in_need")
def only_devices_can_be_waited_for(right: Any, self: Standstill, job: Job) -> bool:
    return job.function.spec.gpu_count > 0 and right(self, job)


@plant(Standstill, "check")
def whoever_holds_a_device_may_not_wait_for_one(
    right: Any, self: Standstill, job: Job, caller: Job
) -> None:
    if caller.function.spec.gpu_count and job.function.spec.gpu_count:
        raise SlotDeadlock(f"{caller.job_id} would wait for ever", level=1)
    right(self, job, caller)
