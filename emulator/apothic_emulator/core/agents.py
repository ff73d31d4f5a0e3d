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
program only where no agent has room.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from apothic_backends.model.functions import FunctionSpec
from apothic_emulator.core.executors import Executor, ExecutorStatus
from apothic_emulator.core.functions import Function
from apothic_emulator.core.hellos import Capacity, Gpu
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.journal import Journal, Kept
from apothic_emulator.core.placement import NOTHING, Pick, lacks, made_up, may_join, pick
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.records import pack, unpack

MOST_REMEMBERED = 16
"""Earlier incarnations of an agent that are known if they come back."""

_ENOUGH_MB = 1 << 60

LAST_EXECUTOR = "last/2"
"""The key of the highest number that an executor on an agent has got."""

Place = tuple[int, tuple[str, ...]]
"""The number of a machine, 0 for this program, and the UUIDs of GPUs there."""

Holders = Mapping[str, Sequence[Executor]]
"""Who has each device, by its UUID."""

_GOING = (ExecutorStatus.DRAINING, ExecutorStatus.RETIRING, ExecutorStatus.STOPPING)


class Agent(Kept):
    """A machine as the core knows it."""

    __slots__ = (
        "capacity",
        "channel",
        "executors",
        "forget_at",
        "incarnation",
        "is_draining",
        "is_given_up",
        "is_heard",
        "is_joined",
        "latest",
        "lease_until",
        "name",
        "number",
        "past",
        "platform",
        "python",
        "session",
        "tag",
    )

    def __init__(self, number: int, name: str, incarnation: str, capacity: Capacity) -> None:
        self.number, self.name, self.incarnation = number, name, incarnation
        self.capacity = capacity
        self.past: tuple[str, ...] = ()
        """Incarnations before this one."""
        self.python = self.platform = ""
        """The series of its Python, and its system and hardware."""
        self.session = 0
        """The number of the connection that counts."""
        self.channel = ""
        self.executors: dict[int, Executor] = {}
        self.latest = 0
        """The number of the last one that was put here."""
        self.tag = ""
        """That of the machine, if it is rented."""
        self.is_joined = self.is_draining = False
        """Whether it is connected; and whether it is about to leave."""
        self.is_heard = False
        """Whether it has said, since it joined, what it had to say before."""
        self.is_given_up = False
        """Whether its lease has ended."""
        self.lease_until = self.forget_at = NEVER

    def pack(self) -> bytes:
        """Who it is; all else it says itself."""
        return pack((self.name, self.incarnation, self.past, self.python, self.platform))

    def loads(self, spec: FunctionSpec) -> bool:
        """Whether its Python can load the code of a function; an unknown one is believed to.

        So is that of an image, which is looked at where that is made.
        """
        is_of_image = spec.image is not None
        return is_of_image or not spec.python or self.python in ("", spec.python)

    def takes(self, spec: FunctionSpec) -> bool:
        """Whether it may get another executor of a function, if it has room."""
        is_there = self.is_joined and not self.is_draining
        return is_there and self.loads(spec) and not self.lacks(spec)

    def lacks(self, spec: FunctionSpec) -> list[str]:
        """Why it does not meet the conditions of a function; of this one only the GPUs have to."""
        return lacks(spec, self.capacity) if self.number else []

    def free(self, level: int) -> tuple[float, float]:
        """The cores and MB that are free for a job of that level."""
        cpu, memory_mb = self.capacity.cpu, float(self.capacity.memory_mb)
        for executor in self.executors.values():
            if not executor.is_lent(level):
                spec = executor.function.spec
                cpu -= cores(spec)
                memory_mb -= spec.memory_mb
        return cpu, memory_mb

    def fits(self, spec: FunctionSpec, level: int, without: Iterable[Executor] = ()) -> bool:
        """Whether an executor of a function has room here, once some are gone."""
        cpu, memory_mb = self.free(level)
        for executor in without:
            cpu += cores(executor.function.spec)
            memory_mb += executor.function.spec.memory_mb
        return cores(spec) <= cpu and spec.memory_mb <= memory_mb

    def could_ever(self, spec: FunctionSpec) -> bool:
        """Whether it has what a function needs, if nothing else ran here."""
        capacity = self.capacity
        has_room = cores(spec) <= capacity.cpu and spec.memory_mb <= capacity.memory_mb
        return (
            has_room
            and self.loads(spec)
            and not self.lacks(spec)
            and (not spec.gpu_count or pick(spec, capacity.gpus) is not None)
        )


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
        self.starved: dict[int, Pool] = {}
        """Pools that have found no place for an executor, by the number of their function."""
        self.journal: Journal | None = None
        self.market: Any = None
        """What has machines rented, if that may be: see `supply.py`."""

    def place(self, function: Function, level: int) -> Place | None:
        """Where a new executor goes, and what GPUs it gets; None if no machine has room."""
        spec = function.spec
        self._make_up(spec)
        place = self._best(self.machines(spec), spec, level)
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
        others = [agent for agent in self.far.values() if agent.number in near]
        return self._best(others, spec, 0) or self._best(self.far.values(), spec, 0)

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
            uuid: [one for one in those if one not in without]
            for uuid, those in self.holders().items()
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
        return any(agent.capacity.gpus for agent in (self.home, *self.far.values()))

    def holders(self) -> Holders:
        """Who has each device; those of one machine may be on two agents."""
        held: dict[str, list[Executor]] = {}
        for agent in (self.home, *self.far.values()):
            for executor in agent.executors.values():
                for uuid in executor.gpus:
                    held.setdefault(uuid, []).append(executor)
        return held

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
        elif gpus:
            self.home.executors[executor.number] = executor

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
        self._machine_of(executor).executors.pop(executor.number, None)

    def _machine_of(self, executor: Executor) -> Agent:
        return self.far[executor.agent] if executor.agent else self.home

    def to_free(self, function: Function, level: int) -> list[Executor]:
        """Executors without work whose end makes room for a function; none if others end anyway."""
        spec = function.spec
        able = [agent for agent in self.machines(spec) if agent.takes(spec)]
        found = [self._fewest(agent, spec, level) for agent in able]
        enough = [them for them in found if them is not None]
        return min(enough, key=len) if enough else []

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
        gone = [one for one in executors if one.status in _GOING and not one.line]
        idle = sorted(filter(_is_idle, executors), key=lambda executor: executor.idle_since)
        if self.offer(agent, spec, level, gone + idle) is None:
            return None
        needed = idle
        for one in reversed(idle):  # whoever has been idle for the shortest time is spared first
            without = [other for other in needed if other is not one]
            if self.offer(agent, spec, level, gone + without) is not None:
                needed = without
        return needed


def _is_idle(executor: Executor) -> bool:
    is_idle = executor.status is ExecutorStatus.READY and not executor.line
    return is_idle and not executor.is_spared


def open_gpus(agent: Agent, spec: FunctionSpec, held: Holders) -> list[Gpu]:
    """The devices there that an executor of a function may have, where those are held."""
    return [
        gpu
        for gpu in agent.capacity.gpus
        if may_join(spec, gpu, [one.function.spec for one in held.get(gpu.uuid, ())])
    ]


def cores(spec: FunctionSpec) -> float:
    """How many cores an executor of a function takes."""
    return spec.cpu or 1


def agent_of(number: int, record: bytes) -> Agent:
    """The agent that was packed."""
    (name, incarnation, past, python, platform), _ = unpack(record)
    agent = Agent(number, name, incarnation, Capacity(0, 0))
    agent.past = tuple(past)
    agent.python, agent.platform = python, platform
    return agent


class _Number(Kept):
    """A number as a record."""

    def __init__(self, number: int) -> None:
        self.number = number

    def pack(self) -> bytes:
        return b"%d" % self.number
