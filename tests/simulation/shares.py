"""Who has what of machines, reckoned without the core's own rules.

P1  no more of a machine is given away than it has
P2  a device is one executor's at a time, or that of some who share it and find their memory there:
    in the books, and as processes on the machine
P3  no job waits while a machine could take it, or while what stands in its way is idle
P4  whoever has a device that is in trouble is being ended
P5  in the end it is known what is in trouble
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from apothic_backends.model.functions import FunctionSpec
from apothic_emulator.core.agent import Agent
from apothic_emulator.core.executors import Executor, ExecutorStatus
from apothic_emulator.core.hellos import Gpu
from apothic_emulator.core.plane import Plane
from apothic_emulator.core.pools import Pool
from tests.simulation.history import sure

if TYPE_CHECKING:
    from tests.simulation.agents import World
    from tests.simulation.machines import Machine

_GOING = (ExecutorStatus.DRAINING, ExecutorStatus.RETIRING, ExecutorStatus.STOPPING)


class Shares:
    """The shares of a run."""

    def __init__(self, world: World) -> None:
        self.world = world

    def started(self, machine: Machine, effect: Any) -> None:
        """A process has started."""
        there = [(it.spec, it.gpus) for it in machine.executors.values()]
        sure(not (twice := _wrong(there)), "P2", "%s has two processes", twice)
        alone = max(Counter(uuid for _, gpus in there for uuid in gpus).values(), default=0) < 2
        self.world.reached["shared"] += not alone
        wants = effect.spec.gpu_count
        sure(len(effect.gpus) == wants, "P2", "%s for %d", effect.gpus, wants)
        self.world.reached["gpu"] += bool(wants)

    def look(self, plane: Plane) -> None:
        """The books of the control plane, between two steps."""
        agents = [*plane.scheduler.agents.far.values()]
        there = [(it.function.spec, it.gpus) for a in agents for it in a.executors.values()]
        sure(not (twice := _wrong(there)), "P2", "given twice: %s", twice)
        for agent in agents:
            self._check_room(agent)
            for it in agent.executors.values():
                is_all = len(it.gpus) == it.function.spec.gpu_count
                sure(is_all, "P2", "executor %d has %s", it.number, it.gpus)
                self._check_trouble(agent, it)
        joined = [agent for agent in agents if agent.is_joined and not agent.is_draining]
        for pool in plane.pools.values():
            if pool.queue and not pool.rest_until and pool.may_start(0, self.world.now):
                self._check_waiting(joined, pool)

    def judge(self, plane: Plane) -> None:
        """The books in the end."""
        for machine in self.world.machines:
            for agent in plane.scheduler.agents.far.values():
                if agent.is_joined and agent.name == machine.outpost.name and machine.is_alive:
                    there, told = machine.outpost.capacity.gpus, agent.capacity.gpus
                    sure(there == told, "P5", "%s has %s, and not %s", agent.name, there, told)

    def _check_trouble(self, agent: Agent, executor: Executor) -> None:
        if agent.is_joined and agent.is_heard:
            bad = [gpu for gpu in agent.capacity.gpus if gpu.trouble and gpu.uuid in executor.gpus]
            sure(not bad or executor.deaf, "P4", "executor %d goes on", executor.number)
            self.world.reached["in_trouble"] += bool(bad)

    def _check_room(self, agent: Agent) -> None:
        if not agent.is_joined:
            return
        there = [
            it for it in agent.executors.values() if not it.is_given_up
        ]  # those it has stopped
        cores = sum(it.function.spec.cpu or 1 for it in there)
        memory_mb = sum(it.function.spec.memory_mb for it in there)
        room = agent.capacity
        is_in = cores <= room.cpu and memory_mb <= room.memory_mb
        sure(is_in, "P1", "%s gives %d cores, %d MB", agent.name, cores, memory_mb)
        own = {gpu.uuid for gpu in room.gpus}
        given = {uuid for it in agent.executors.values() for uuid in it.gpus}
        sure(given <= own, "P1", "%s gives %s", agent.name, given - own)

    def _check_waiting(self, joined: list[Agent], pool: Pool) -> None:
        """A job waits: for what is in use, or is about to be free."""
        self.world.reached["waits"] += 1
        spec = pool.function.spec
        others = [it for it in joined if it.cleared_for not in (None, spec)]
        self.world.reached["cleared"] += bool(others)
        if not pool.queue[0].level:
            joined = [it for it in joined if it not in others]
        if any(_has_room(agent, _staying(agent), spec) for agent in joined):
            free = [
                agent for agent in joined if _has_room(agent, [*agent.executors.values()], spec)
            ]
            sure(not free, "P3", "jobs:%d waits, and there is room", pool.queue[0].number)
            return
        for agent in joined:
            busy = [it for it in _staying(agent) if not _is_idle(it)]
            could = _has_room(agent, busy, spec)
            sure(not could, "P3", "jobs:%d waits, and %s is idle", pool.queue[0].number, agent.name)


def _wrong(executors: Iterable[tuple[FunctionSpec, Sequence[str]]]) -> list[str]:
    """Devices that have more executors than may be."""
    held: dict[str, list[FunctionSpec]] = defaultdict(list)
    for spec, gpus in executors:
        for uuid in gpus:
            held[uuid].append(spec)
    return [uuid for uuid, specs in held.items() if len(specs) > 1 and not _may_share(specs)]


def _may_share(specs: Sequence[FunctionSpec]) -> bool:
    return all(it.gpu_share for it in specs) and sum(it.min_vram_gb for it in specs) <= 17


def _staying(agent: Agent) -> list[Executor]:
    """Those that do not end by themselves."""
    return [it for it in agent.executors.values() if it.line or it.status not in _GOING]


def _is_idle(executor: Executor) -> bool:
    is_empty = not executor.line and not executor.recalling  # else what comes back may be its next
    return executor.status is ExecutorStatus.READY and is_empty


def _has_room(agent: Agent, executors: list[Executor], spec: FunctionSpec) -> bool:
    """Whether there is room beside these, by counting."""
    names = Counter(gpu.name for gpu in agent.capacity.gpus if _is_open(gpu, executors, spec))
    cores = sum(it.function.spec.cpu or 1 for it in executors) + (spec.cpu or 1)
    memory_mb = sum(it.function.spec.memory_mb for it in executors) + spec.memory_mb
    models = [names[name] for name in spec.gpu or names]
    is_there = not spec.gpu_count or any(count >= spec.gpu_count for count in models)
    return is_there and cores <= agent.capacity.cpu and memory_mb <= agent.capacity.memory_mb


def _is_open(gpu: Gpu, executors: Sequence[Executor], spec: FunctionSpec) -> bool:
    holders = [it.function.spec for it in executors if gpu.uuid in it.gpus]
    return not gpu.trouble and (not holders or _may_share([*holders, spec]))
