"""How services are reached whose processes are on agents.

    adrift ──for CUT_S──► another is started ──the first is back──► it retires
    lost, or about to leave ──────► another is started at once

While its agent is cut off a process may go on, but nobody can be sent there. A service that was up
is not left to the next connection then: its next process starts as soon as one may.
"""

from __future__ import annotations

from apothic_emulator.core.doors import Reach
from apothic_emulator.core.executors import Executor, ExecutorStatus
from apothic_emulator.core.scheduler import Scheduler
from apothic_emulator.core.served import Service

CUT_S = 1.0
"""How long an agent that is cut off may take to come back, before a process starts elsewhere."""


def reach(it: Service, scheduler: Scheduler) -> None:
    """Have connections taken for those of its processes that are on agents, as they are now."""
    if it.url is None:
        return
    agents, is_public = tuple(sorted(it.near - {0})), it.is_public
    if (agents, is_public) != it.reached:
        it.reached = agents, is_public
        scheduler.effects.append(Reach(it.service_id, agents, is_public))


def call(it: Service, moment: float, scheduler: Scheduler) -> None:
    """Have a process started by then, unless one is there."""
    it.is_called, it.rest_until = True, moment
    scheduler.wake_at(moment)


def moved(it: Service, executor: Executor, scheduler: Scheduler, now: float) -> None:
    """A process was cut off, or is back, or its agent is about to leave."""
    if executor.status is ExecutorStatus.READY:
        if is_needed(it, executor):
            it.is_called = False
        else:
            scheduler.retire(executor, now)
    elif it.is_wanted and not it.live and it.error is None:
        is_cut = executor.status is ExecutorStatus.ADRIFT
        call(it, now + (CUT_S if is_cut else 0.0), scheduler)


def is_needed(it: Service, executor: Executor) -> bool:
    """Whether one that is ready, or back, is to go on."""
    if it.pool is None or not it.is_wanted:
        return False
    live = [e for e in it.live if e.number not in it.before]
    if executor not in live:  # it is of a version before
        others = [e for e in (*live, *it.before.values()) if e is not executor]
        return not any(e.status is ExecutorStatus.READY for e in others)
    return len(live) <= executor.function.spec.max_containers
