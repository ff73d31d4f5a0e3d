"""Machines that executors run on: this one, and those that dial in; who has room for what.

                ┌────────── joins ─────────┐
    (new) ──► joined ◄──────────────────► cut ──lease ends──► given up ──grace ends──► (forgotten)
                └─── another incarnation of it, or it leaves: all that it ran is lost ───┘

An executor takes of its machine what its function may use, unless all its calls are parked: then
its place is lent to the jobs that are waited for. Its GPUs are never lent, and nobody else's unless
both functions share: each is held, by its UUID, until the executor has ended. What finds no place
waits, and executors without work make room for it. One whose GPU is in trouble is ended.

Of the machines that have room an executor gets, in this order: one with the model that its
function would like best; the one with the fewest GPUs left over, so that those with many are kept
for who needs many, and those with any for who needs one; the one with the smallest that will do;
this program's; the one with most cores free, then with most memory. What needs no GPU runs in this
program only where no agent has room, and not if its machine is too small and others can be rented.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from apothic_backends.model.functions import FunctionSpec
from apothic_emulator.core.agent import Agent, Holders, open_gpus
from apothic_emulator.core.executors import Executor, ExecutorStatus
from apothic_emulator.core.functions import Function
from apothic_emulator.core.hellos import Capacity
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.journal import Journal, Kept
from apothic_emulator.core.placement import NOTHING, Pick, made_up, pick
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.room import Room

MOST_REMEMBERED = 16
"""Earlier incarnations of an agent that are known if they come back."""

_ENOUGH_MB = 1 << 60

LAST_EXECUTOR = "last/2"
"""The key of the highest number that an executor on an agent has got."""

Place = tuple[int, tuple[str, ...]]
"""The number of a machine, 0 for this program, and the UUIDs of GPUs there."""

_GOING = (ExecutorStatus.DRAINING, ExecutorStatus.RETIRING, ExecutorStatus.STOPPING)


class Agents:
    """All of them. With `has_home`, executors run in this program's care, too."""

    def __init__(
        self, pools: Mapping[int, Pool], *, has_home: bool = True, python: str = ""
    ) -> None:
        self.has_home = has_home
        self._pools = pools
        self.home = Agent(0, "this machine", "", Capacity(NEVER, _ENOUGH_MB))
        """This program, as far as it has GPUs; it is not asked for cores and memory."""
        self.home.is_joined, self.home.python = has_home, python
        self.has_looked = not has_home
        """Whether it is known which GPUs are here."""
        self.is_looking = False
        self.without_gpus = ""
        """Why none were found."""
        self.missing = "error"
        """What becomes of a function whose GPUs no machine has: see `GpusFound`."""
        self.far: dict[int, Agent] = {}
        self.room = Room()
        self.starved: dict[int, Pool] = {}
        """Pools that have found no place for an executor, by the number of their function."""
        self.journal: Journal | None = None
        self.market: Any = None
        """What has machines rented, if that may be: see `supply.py`."""

    def place(self, function: Function, level: int) -> Place | None:
        """Where a new executor goes, and what GPUs it gets; None if no machine has room."""
        spec = function.spec
        self._make_up(spec)
        place = self._find(spec, level)
        is_home = place is None and not self.wants_gpus(spec) and self.home.takes(spec)
        return (0, ()) if is_home else place

    def place_service(self, function: Function, near: Collection[int]) -> Place | None:
        """Where a new process of a service goes; None if no machine has room.

        Here it takes connections itself. Else it goes where others of it are (`near`), if it can:
        those hand on their connections to it.
        """
        spec = function.spec
        self._make_up(spec)
        here = self._best([self.home], spec, 0)
        if here is not None:
            return here
        others = [self.far[number] for number in near if number in self.far]
        return self._best(others, spec, 0) or self._best(self.far.values(), spec, 0)

    def _find(self, spec: FunctionSpec, level: int) -> Place | None:
        """The best place on any machine of which an executor needs a part."""
        wants_gpus = self.wants_gpus(spec)
        if level or spec.gpu_share or (spec.gpu_count and not wants_gpus):
            return self._best(self.machines(spec), spec, level)
        free = self.room.free_for(spec)
        able = (agent for agent in free if agent.takes(spec) and agent.fits(spec, 0))
        if wants_gpus:
            return self._best([self.home, *able] if self.has_home else able, spec, level)
        first = next(able, None)
        return None if first is None else (first.number, ())

    def _best(self, among: Iterable[Agent], spec: FunctionSpec, level: int) -> Place | None:
        offers = [
            (agent, its)
            for agent in among
            if agent.takes(spec) and (its := self.offer(agent, spec, level)) is not None
        ]
        if not offers:
            return None
        agent, its = min(offers, key=lambda offer: self._cost(*offer, spec, level))
        return agent.number, tuple(gpu.uuid for gpu in its.gpus)

    def machines(self, spec: FunctionSpec) -> Sequence[Agent]:
        """Those of which an executor of a function needs a part that others may have taken."""
        far = self.far.values()
        return [self.home, *far] if spec.gpu_count and self.has_home else [*far]

    def offer(
        self, agent: Agent, spec: FunctionSpec, level: int, without: Collection[Executor] = ()
    ) -> Pick | None:
        """What an executor of a function would get there, once some are gone; None if no room."""
        if not agent.fits(spec, level, without):
            return None
        if not self.wants_gpus(spec):
            return NOTHING
        held = {
            gpu.uuid: [one for one in self.holders().get(gpu.uuid, ()) if one not in without]
            for gpu in agent.capacity.gpus
        }
        return pick(spec, open_gpus(agent, spec, held))

    def wants_gpus(self, spec: FunctionSpec) -> bool:
        """Whether it has to get GPUs; where none would ever do it may have to go without."""
        return spec.gpu_count > 0 and not self._is_waived(spec)

    def _is_waived(self, spec: FunctionSpec) -> bool:
        is_asked_for = self.missing == "cpu" and self.has_home and self.has_looked
        return is_asked_for and not any(it.could_ever(spec) for it in self.machines(spec))

    @property
    def has_gpus(self) -> bool:
        """Whether any machine is known to have some."""
        return bool(self.home.capacity.gpus) or self.room.has_devices

    def holders(self) -> Holders:
        """Who has each device; those of one machine may be on two agents."""
        return self.room.held

    def trouble_of(self, executor: Executor) -> str:
        """What is wrong with the devices of an executor; nothing if that is empty."""
        if not executor.gpus:
            return ""
        known = {gpu.uuid: gpu.trouble for gpu in self._machine_of(executor).capacity.gpus}
        troubles = {uuid: known.get(uuid, "it is not there any more") for uuid in executor.gpus}
        return "; ".join(f"{uuid}: {trouble}" for uuid, trouble in troubles.items() if trouble)

    def _cost(self, agent: Agent, its: Pick, spec: FunctionSpec, level: int) -> tuple[float, ...]:
        has_gpus = bool(agent.capacity.gpus)
        left = len(open_gpus(agent, spec, self.holders())) - len(its.gpus) if has_gpus else 0
        cpu, memory_mb = agent.free(level)
        return its.rank, left, its.memory_mb, -cpu, -memory_mb, agent.number

    def mean_s(self, function: Function) -> float:
        """How long a call of a function takes, as far as that is known."""
        return self._pools[function.number].mean_s or 0.0

    def could_ever(self, spec: FunctionSpec) -> bool:
        """Whether some machine has what a function needs, if nothing else ran there."""
        is_home = self.has_home and not (spec.gpu_count and self.has_looked)
        able = is_home or any(agent.could_ever(spec) for agent in self.machines(spec))
        return able or self._is_waived(spec)

    def _make_up(self, spec: FunctionSpec) -> None:
        """Have devices for a function that are none, if that is asked for and none would do."""
        if self.missing == "fake" and spec.gpu_count and not self.could_ever(spec):
            capacity = self.home.capacity
            gpus = (*capacity.gpus, *made_up(spec, len(capacity.gpus)))
            self.home.capacity = capacity.replace(gpus=gpus)

    def may_come(self, spec: FunctionSpec) -> bool:
        """Whether a machine for a function may be rented."""
        return self.market is not None and self.market.serves(spec)

    def strangers(self, spec: FunctionSpec) -> list[Agent]:
        """The machines that there are, if the Python of none of them can load a function."""
        known = [self.home, *self.far.values()] if self.has_home else [*self.far.values()]
        return [] if any(agent.loads(spec) for agent in known) else known

    def put(self, executor: Executor, agent: int, gpus: tuple[str, ...] = ()) -> None:
        """An executor is there."""
        executor.gpus = gpus
        if agent:
            executor.agent, executor.accepted = agent, set()
            self.far[agent].executors[executor.number] = executor
            self.far[agent].latest = executor.number
            self.room.took(self.far[agent], executor)
        elif gpus:
            self.home.executors[executor.number] = executor
            self.room.took(self.home, executor)

    def start(self, executor: Executor, place: Place) -> None:
        """An executor is started there: its number is not given again, whatever happens."""
        agent, _ = place
        self.put(executor, *place)
        if self.starved:
            self.starved.pop(executor.function.number, None)
        if agent and self.journal is not None:
            self.journal.keep(LAST_EXECUTOR, _Number(executor.number))

    def model_of(self, executor: Executor) -> str:
        """What its GPUs are called; if its machine has not been heard of, what was asked for."""
        known = {gpu.uuid: gpu.name for gpu in self._machine_of(executor).capacity.gpus}
        return known.get(executor.gpus[0]) or next(iter(executor.function.spec.gpu), "")

    def take(self, executor: Executor) -> None:
        """An executor is gone."""
        agent = self._machine_of(executor)
        del agent.executors[executor.number]
        self.room.gave(agent, executor)

    def _machine_of(self, executor: Executor) -> Agent:
        return self.far[executor.agent] if executor.agent else self.home

    def to_free(self, function: Function, level: int) -> list[Executor]:
        """Executors without work whose end makes room for a function; none if others end anyway."""
        spec = function.spec
        is_sought = self._find(spec, level) is None
        among = self._resting(function, level) if is_sought else ()
        able = [agent for agent in among if agent.takes(spec)]
        found = {agent.number: self._fewest(agent, spec, level) for agent in able}
        enough = {number: them for number, them in found.items() if them is not None}
        if is_sought and not level:
            self._pools[function.number].looked = self.room.changes, {*enough}
        fewest: list[Executor] = []
        return min((enough[number] for number in sorted(enough)), key=len, default=fewest)

    def _resting(self, function: Function, level: int) -> Iterable[Agent]:
        """The machines where room may be made, or may come.

        Those would do that did when it was looked last, and of the others only such where
        something has changed since.
        """
        spec = function.spec
        if level:
            return self.machines(spec)
        change, would_do = self._pools[function.number].looked
        resting = self.room.resting
        those = {agent.number: agent for agent in self.room.changed_since(change)}
        those |= {number: resting[number] for number in would_do if number in resting}
        for agent in [*those.values()]:
            if not any(_is_idle(one) or _is_going(one) for one in agent.executors.values()):
                self.room.works(agent)
                del those[agent.number]
        home = [self.home] if spec.gpu_count and self.has_home else []
        return [*home, *those.values()]

    def check(self) -> None:
        """See to it that what is known of all agrees with each; for tests."""
        self.room.check()
        for agent in self.far.values():
            is_resting = any(_is_idle(one) or _is_going(one) for one in agent.executors.values())
            assert agent.number in self.room.resting or not is_resting, agent.name

    def due(self, executor: Executor) -> list[Executor]:
        """Those without work there that make room beside one which has none any more.

        It does so for jobs that are older than what it gets itself, if it is not about to end; the
        oldest comes first.
        """
        if not executor.agent and not executor.gpus:
            return []
        agent = self._machine_of(executor)
        own = self._pools[executor.function.number].queue
        mine = own[0].number if own and executor.status not in _GOING else NEVER
        first = [pool.queue[0] for pool in self.starved.values() if pool.queue]
        ends: list[Executor] = []
        for job in sorted(first, key=lambda job: job.number):
            if job.number < mine or executor in ends:
                found = self._fewest(agent, job.function.spec, job.level)
                ends += [one for one in found or () if one not in ends]
        return ends

    def _fewest(self, agent: Agent, spec: FunctionSpec, level: int) -> list[Executor] | None:
        """Those that have been idle for longest, as few as will do; None if all will not."""
        executors = agent.executors.values()
        gone = [one for one in executors if _is_going(one)]
        idle = sorted(filter(_is_idle, executors), key=lambda executor: executor.idle_since)
        if self.offer(agent, spec, level, gone + idle) is None:
            return None
        needed = idle
        for one in reversed(idle):  # whoever has been idle for the shortest time is spared first
            without = [other for other in needed if other is not one]
            if self.offer(agent, spec, level, gone + without) is not None:
                needed = without
        return needed


def _is_going(executor: Executor) -> bool:
    return executor.status in _GOING and not executor.line


def _is_idle(executor: Executor) -> bool:
    is_idle = executor.status is ExecutorStatus.READY and not executor.line
    return is_idle and not executor.is_spared


class _Number(Kept):
    """A number as a record."""

    def __init__(self, number: int) -> None:
        self.number = number

    def pack(self) -> bytes:
        return b"%d" % self.number
