"""What all agents have left, in order: who looks for a place asks those that have one, and no more.

An agent's place in the order is by what `Agents` would like best: the fewest devices that nobody
has, then the most cores, then the most memory. It is found anew whenever an executor comes or goes,
or the agent tells what it has; for jobs whose callers wait, which may have more, nobody looks here.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from apothic_backends.model.functions import FunctionSpec
from apothic_emulator.core.agent import Agent, cores
from apothic_emulator.core.executors import Executor

Key = tuple[float, float, float, int]
"""Devices that nobody has; cores and MB that are free, less than 0; the number of the agent."""


class Room:
    """Agents that may have room, and who has each device of all machines."""

    def __init__(self) -> None:
        self.held: dict[str, list[Executor]] = {}
        """Who has each device, by its UUID."""
        self.resting: dict[int, Agent] = {}
        """Agents with executors that have no work, perhaps: all that have some are here, in the
        order in which something has changed there."""
        self.changes = 0
        """How often something has."""
        self._changed_at: dict[int, int] = {}
        """Of those, which change was the last there."""
        self._order: list[Key] = []
        self._keys: dict[int, Key] = {}
        self._agents: dict[int, Agent] = {}
        self._with: dict[str, dict[int, Agent]] = {}
        """The agents that have a device: those of one machine may be on two."""
        self._told: dict[int, tuple[str, ...]] = {}
        """The devices of each agent."""

    @property
    def has_devices(self) -> bool:
        """Whether any agent has told of some."""
        return bool(self._with)

    def tells(self, agent: Agent) -> None:
        """An agent is there, or has something else than before."""
        self.forget(agent)
        self._agents[agent.number] = agent
        self._rests(agent)
        self._told[agent.number] = told = tuple(gpu.uuid for gpu in agent.capacity.gpus)
        for uuid in told:
            self._with.setdefault(uuid, {})[agent.number] = agent
        self._put(agent)

    def forget(self, agent: Agent) -> None:
        """It is not there any more."""
        if self._agents.pop(agent.number, None) is not None:
            self._take(agent)
            self.works(agent)
            for uuid in self._told.pop(agent.number):
                del self._with[uuid][agent.number]
                if not self._with[uuid]:
                    del self._with[uuid]

    def took(self, agent: Agent, executor: Executor) -> None:
        """An executor is there, with its devices."""
        for uuid in executor.gpus:
            self.held.setdefault(uuid, []).append(executor)
        self._changed(agent, executor)

    def gave(self, agent: Agent, executor: Executor) -> None:
        """It is gone."""
        for uuid in executor.gpus:
            self.held[uuid].remove(executor)
            if not self.held[uuid]:
                del self.held[uuid]
        self._changed(agent, executor)

    def _changed(self, agent: Agent, executor: Executor) -> None:
        self.look(agent)
        for uuid in executor.gpus:
            for other in self._with.get(uuid, {}).values():
                self.look(other)

    def look(self, agent: Agent) -> None:
        """What an agent has left is something else, perhaps."""
        if agent.number in self._agents:
            self._take(agent)
            self._put(agent)
            if agent.number in self.resting:
                self._rests(agent)

    def _take(self, agent: Agent) -> None:
        del self._order[bisect_left(self._order, self._keys.pop(agent.number))]

    def _put(self, agent: Agent) -> None:
        key = self._keys[agent.number] = self.key_of(agent)
        insort(self._order, key)

    def key_of(self, agent: Agent) -> Key:
        """Its place in the order."""
        cpu, memory_mb = agent.free(0)
        unheld = sum(1 for gpu in agent.capacity.gpus if gpu.uuid not in self.held)
        return unheld, -cpu, -memory_mb, agent.number

    def free_for(self, spec: FunctionSpec) -> Iterator[Agent]:
        """The agents with as many cores and devices, and as much memory, in their order."""
        order, need = self._order, cores(spec)
        place = bisect_left(order, (spec.gpu_count,))
        while place < len(order):
            unheld, cpu, memory_mb, number = order[place]
            if -cpu < need:  # and so has nobody else who has as many devices
                place = bisect_left(order, (unheld + 1,), place)
                continue
            place += 1
            if -memory_mb >= spec.memory_mb:
                yield self._agents[number]

    def rests(self, executor: Executor) -> None:
        """An executor has no work, or is about to end."""
        agent = self._agents.get(executor.agent)
        if agent is not None:
            self._rests(agent)

    def _rests(self, agent: Agent) -> None:
        self.works(agent)
        self.changes += 1
        self.resting[agent.number], self._changed_at[agent.number] = agent, self.changes

    def works(self, agent: Agent) -> None:
        """All of its executors have work."""
        if self.resting.pop(agent.number, None) is not None:
            del self._changed_at[agent.number]

    def changed_since(self, change: int) -> list[Agent]:
        """Those of `resting` where something has changed after that."""
        found: list[Agent] = []
        for number in reversed(self.resting):
            if self._changed_at[number] <= change:
                break
            found.append(self.resting[number])
        return found

    def check(self) -> None:
        """See to it that all of that is so; for tests."""
        held: dict[str, list[Executor]] = {}
        for agent in self._agents.values():
            for executor in agent.executors.values():
                for uuid in executor.gpus:
                    held.setdefault(uuid, []).append(executor)
            if agent.is_joined:
                assert self._keys[agent.number] == self.key_of(agent), agent.name
        for uuid, those in held.items():
            assert {it.number for it in those} <= {it.number for it in self.held[uuid]}, uuid
        assert sorted(self._keys.values()) == self._order
