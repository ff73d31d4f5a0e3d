"""Machines that executors run on: this one, and those that dial in; who has room for what.

                ┌────────── joins ─────────┐
    (new) ──► joined ◄──────────────────► cut ──lease ends──► given up ──grace ends──► (forgotten)
                └─── another incarnation of it, or it leaves: all that it ran is lost ───┘

An executor takes of its machine what its function may use, unless all its calls are parked: then
its place is lent to the jobs that are waited for. What finds no place waits, and executors without
work make room for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from apothic_backends.model.functions import FunctionSpec
from apothic_emulator.core.executors import Executor, ExecutorStatus
from apothic_emulator.core.functions import Function
from apothic_emulator.core.hellos import Capacity
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.journal import Journal, Kept
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.records import pack, unpack

MOST_REMEMBERED = 16
"""Earlier incarnations of an agent that are known if they come back."""

LAST_EXECUTOR = "last/2"
"""The key of the highest number that an executor on an agent has got."""

_GOING = (ExecutorStatus.DRAINING, ExecutorStatus.RETIRING, ExecutorStatus.STOPPING)


class Agent(Kept):
    """A machine as the core knows it."""

    __slots__ = (
        "capacity",
        "channel",
        "executors",
        "forget_at",
        "incarnation",
        "is_given_up",
        "is_heard",
        "is_joined",
        "lease_until",
        "name",
        "number",
        "past",
        "session",
    )

    def __init__(self, number: int, name: str, incarnation: str, capacity: Capacity) -> None:
        self.number, self.name, self.incarnation = number, name, incarnation
        self.capacity = capacity
        self.past: tuple[str, ...] = ()
        """Incarnations before this one."""
        self.session = 0
        """The number of the connection that counts."""
        self.channel = ""
        self.executors: dict[int, Executor] = {}
        self.is_joined = False
        self.is_heard = False
        """Whether it has said, since it joined, what it had to say before."""
        self.is_given_up = False
        """Whether its lease has ended."""
        self.lease_until = self.forget_at = NEVER

    def pack(self) -> bytes:
        """Who it is; all else it says itself."""
        return pack((self.name, self.incarnation, self.past))

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


class Agents:
    """All of them. With `has_home`, executors run in this program's care, too."""

    def __init__(self, pools: Mapping[int, Pool], *, has_home: bool = True) -> None:
        self.has_home = has_home
        self._pools = pools
        self.far: dict[int, Agent] = {}
        self.starved: dict[int, Pool] = {}
        """Pools that have found no place for an executor, by the number of their function."""
        self.journal: Journal | None = None

    def place(self, function: Function, level: int) -> int | None:
        """The number of the agent for a new executor, 0 for this program; None if none has room.

        Of those that have room it is the one with most cores free, then with most memory.
        """
        spec = function.spec
        able = [a for a in self.far.values() if a.is_joined and a.fits(spec, level)]
        if able:
            return max(able, key=lambda agent: (*agent.free(level), -agent.number)).number
        return 0 if self.has_home else None

    def put(self, executor: Executor, agent: int) -> None:
        """An executor is there."""
        if agent:
            executor.agent, executor.accepted = agent, set()
            self.far[agent].executors[executor.number] = executor

    def start(self, executor: Executor, agent: int) -> None:
        """An executor is started there: its number is not given again, whatever happens."""
        self.put(executor, agent)
        if self.starved:
            self.starved.pop(executor.function.number, None)
        if agent and self.journal is not None:
            self.journal.keep(LAST_EXECUTOR, _Number(executor.number))

    def take(self, executor: Executor) -> None:
        """An executor is gone."""
        agent = self.far.get(executor.agent)
        if agent is not None:
            agent.executors.pop(executor.number, None)

    def to_free(self, function: Function, level: int) -> list[Executor]:
        """Executors without work whose end makes room for a function; none if others end anyway."""
        joined = [agent for agent in self.far.values() if agent.is_joined]
        found = [_fewest(agent, function.spec, level) for agent in joined]
        enough = [them for them in found if them is not None]
        return min(enough, key=len) if enough else []

    def is_due(self, executor: Executor) -> bool:
        """Whether a job for which it could make room is older than those which it could get."""
        agent = self.far.get(executor.agent)
        own = self._pools[executor.function.number].queue
        mine = own[0].number if own else NEVER
        return agent is not None and any(
            other.queue
            and other.queue[0].number < mine
            and agent.fits(other.function.spec, other.queue[0].level, (executor,))
            for other in self.starved.values()
        )


def _fewest(agent: Agent, spec: FunctionSpec, level: int) -> list[Executor] | None:
    """Those that have been idle for longest, as few as will do there; None if all will not."""
    executors = agent.executors.values()
    gone = [executor for executor in executors if executor.status in _GOING and not executor.line]
    idle = sorted(filter(_is_idle, executors), key=lambda executor: executor.idle_since)
    for count in range(len(idle) + 1):
        if agent.fits(spec, level, gone + idle[:count]):
            return idle[:count]
    return None


def _is_idle(executor: Executor) -> bool:
    return executor.status is ExecutorStatus.READY and not executor.line


def cores(spec: FunctionSpec) -> float:
    """How many cores an executor of a function takes."""
    return spec.cpu or 1


def agent_of(number: int, record: bytes) -> Agent:
    """The agent that was packed."""
    (name, incarnation, past), _ = unpack(record)
    agent = Agent(number, name, incarnation, Capacity(0, 0))
    agent.past = tuple(past)
    return agent


class _Number(Kept):
    """A number as a record."""

    def __init__(self, number: int) -> None:
        self.number = number

    def pack(self) -> bytes:
        return b"%d" % self.number
