"""What agents tell of themselves: they join, are heard of, are cut off, and are given up.

An agent has a lease, which it renews by being heard of. It counts from the moment at which it said
something that was acknowledged, so it knows before we do when its lease has ended, and stops all of
its work. Then what may run again does so elsewhere; what may not waits for a grace, in which the
agent may come back with the outcome. Whoever comes back later is a stranger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from apothic_backends.commands.agents import ListAgents
from apothic_backends.model.agents import AgentSnapshot, AgentSuperseded, StaleSession
from apothic_backends.model.errors import UsageError
from apothic_emulator.core.agent import Agent, agent_of
from apothic_emulator.core.agents import MOST_REMEMBERED, Agents
from apothic_emulator.core.effects import Attach, Detach
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.far import DISCONNECT, FarAttempts
from apothic_emulator.core.hellos import (
    MADE_UP,
    Capacity,
    Cut,
    Drain,
    Gpu,
    GpusFound,
    Heard,
    Join,
    Leave,
    Welcome,
)
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.journal import Journal
from apothic_emulator.core.reasons import snapshot


class Fleet:
    """The rules for agents, over their attempts."""

    def __init__(
        self,
        attempts: FarAttempts,
        epoch: str,
        lease_s: float,
        grace_s: float,
        journal: Journal | None,
    ) -> None:
        self.attempts = attempts
        self.scheduler = attempts.scheduler
        self.agents: Agents = self.scheduler.agents
        self.agents.journal = journal
        self.lease_s, self.grace_s = lease_s, grace_s
        self._epoch = epoch
        self._last = 0
        self.on_ahead: Callable[[float], object] = bool
        """Told when an agent has what only a later state than this one can have given it."""
        self.rented: Callable[[], Any]
        """Gives the rules for machines that are rented: few have any."""
        self._look_at = NEVER
        """When to look at the leases next: if that is much later, nothing could be heard."""
        self.commands = {
            Join: self._join,
            Heard: self._heard,
            Cut: self._cut,
            Drain: self._drain,
            Leave: self._leave,
            GpusFound: self._gpus_found,
            ListAgents: self._list,
        }

    # --- an agent comes -------------------------------------------------------------------------

    def _join(self, command: Join, asked: Asked, now: float) -> Welcome:
        _check_capacity(command.capacity)
        machine = self.rented().admit(command, now) if command.tag else None
        agent = self._known(command, now)
        if agent is None:
            agent = self._new(command)
        elif any(it.executor > self.scheduler.last_executor for it in command.held):
            self.on_ahead(now)
        resumes = bool(agent.channel) and command.channel == agent.channel
        agent.capacity = command.capacity
        agent.session += 1
        if not resumes:
            agent.channel = f"{self._epoch}:{agent.number}:{agent.session}"
        agent.is_joined, agent.is_heard = True, False
        self.agents.room.tells(agent)
        if machine is not None:
            self.rented().joined(machine, agent, now)
        self._renew(agent, now)
        attach = Attach(agent.number, agent.channel, resumes)
        self.scheduler.effects.append(attach)
        kills = () if resumes else self._match(agent, command, now)
        attach.executors = tuple(agent.executors)
        agent.is_given_up = False
        self._fill(now)
        return Welcome(agent.number, agent.session, agent.channel, resumes, self.lease_s, kills)

    def _known(self, command: Join, now: float) -> Agent | None:
        """The agent that it was before, if it is that still; another one in its place goes.

        Raises:
            AgentSuperseded: there is a later one.
        """
        agent = next((a for a in self.agents.far.values() if a.name == command.name), None)
        if agent is None or agent.incarnation == command.incarnation:
            return agent
        if command.incarnation in agent.past:
            raise AgentSuperseded(
                f"another process has joined as {command.name!r} since; give each a name of its own"
            )
        past = (*agent.past, agent.incarnation)[-MOST_REMEMBERED:]
        self._drop(agent, now)
        follower = self._new(command)
        follower.past = past
        return follower

    def _new(self, command: Join) -> Agent:
        self._last += 1
        agent = Agent(self._last, command.name, command.incarnation, command.capacity)
        agent.python, agent.platform = command.python, command.platform
        self.agents.far[agent.number] = agent
        if self.agents.journal is not None:
            self.agents.journal.keep(f"agent/{agent.number}", agent)
        return agent

    def _match(self, agent: Agent, command: Join, now: float) -> tuple[int, ...]:
        """Bring together what it has and what it should have; the executors that it is to kill."""
        held = {it.executor: it for it in command.held}
        for executor in list(agent.executors.values()):
            its = held.pop(executor.number, None)
            is_right = its is not None and its.function == executor.function.number
            if its is not None and is_right:
                self.attempts.set_adrift(executor, now)
                self.attempts.match(executor, its, now)
                self.agents.room.look(agent)
            else:
                self.attempts.lose(executor, now)
        return tuple(held)

    def _fill(self, now: float) -> None:
        """There may be more room, and jobs may have come back."""
        waiting = [pool for pool in self.attempts.pools.values() if pool.queue]
        self.agents.starved = {pool.function.number: pool for pool in waiting}
        self.scheduler.feed(now)

    # --- who there is ---------------------------------------------------------------------------

    def _gpus_found(self, command: GpusFound, asked: Asked, now: float) -> None:
        """What needs them has a place here, or is refused."""
        agents = self.agents
        agent = self._of(command) if command.agent else agents.home
        made_up = (gpu for gpu in agent.capacity.gpus if gpu.uuid.startswith(MADE_UP))
        capacity: Capacity = agent.capacity.replace(gpus=(*command.gpus, *made_up))
        _check_capacity(capacity)
        agent.capacity = capacity
        if agent is not agents.home:
            agents.room.tells(agent)
        if agent is agents.home:
            agents.has_looked, agents.is_looking, agents.without_gpus = True, False, command.reason
            agents.missing = command.missing or agents.missing
        self._stop_troubled(agent, now)
        self._fill(now)

    def _stop_troubled(self, agent: Agent, now: float) -> None:
        """What has a GPU that is in trouble is ended; of what is not heard yet, once it is."""
        if agent.is_heard or agent is self.agents.home:
            for executor in list(agent.executors.values()):
                if not executor.deaf and self.agents.trouble_of(executor):
                    self.scheduler.kill(executor, now)

    def _list(self, command: ListAgents, asked: Asked, now: float) -> tuple[AgentSnapshot, ...]:
        return tuple(snapshot(self.agents, agent) for agent in self.agents.far.values())

    # --- an agent is there ----------------------------------------------------------------------

    def _heard(self, command: Heard, asked: Asked, now: float) -> None:
        agent = self._of(command)
        self._renew(agent, now)
        if command.is_beat and not agent.is_heard:
            agent.is_heard = True
            self.agents.room.look(agent)
            for executor in list(agent.executors.values()):
                self.attempts.find(executor, now)
            self._stop_troubled(agent, now)
            self._fill(now)

    def _renew(self, agent: Agent, now: float) -> None:
        agent.lease_until = now + self.lease_s
        agent.forget_at = agent.lease_until + self.grace_s
        self._look_at = min(self._look_at, now + self.lease_s / 3)
        self.scheduler.wake_at(self._look_at)

    def _of(self, command: Heard | Drain | Leave | GpusFound) -> Agent:
        """The agent that speaks.

        Raises:
            StaleSession: there is a later session, or its lease has ended.
        """
        agent = self.agents.far.get(command.agent)
        if agent is None or agent.session != command.session or not agent.is_joined:
            raise StaleSession("this session has ended; join again")
        return agent

    # --- an agent goes --------------------------------------------------------------------------

    def _cut(self, command: Cut, asked: Asked, now: float) -> None:
        agent = self.agents.far.get(command.agent)
        if agent is not None and agent.session == command.session:
            self._set_adrift(agent, now)
            for executor in list(agent.executors.values()):
                self.attempts.take_unbegun(executor, now)
            if agent.tag:
                self.rented().cut(agent.tag, now)
            self._fill(now)

    def _set_adrift(self, agent: Agent, now: float) -> None:
        agent.is_joined = False
        for executor in agent.executors.values():
            self.attempts.set_adrift(executor, now)

    def _drain(self, command: Drain, asked: Asked, now: float) -> None:
        self.drain(self._of(command), now)

    def drain(self, agent: Agent, now: float) -> None:
        """It gets nothing new, and what it runs may end."""
        agent.is_draining = True
        for executor in list(agent.executors.values()):
            self.attempts.use_up(executor, now)
        self._fill(now)  # what was to have a place there needs another one

    def _leave(self, command: Leave, asked: Asked, now: float) -> None:
        self.forget(self._of(command), now)

    def forget(self, agent: Agent, now: float, reason: str = DISCONNECT) -> None:
        """It is gone: what it had may run elsewhere."""
        self._drop(agent, now, reason)
        self._fill(now)

    def _drop(self, agent: Agent, now: float, reason: str = DISCONNECT) -> None:
        """All that it had is lost, and what it says does not count any more."""
        agent.is_joined = False
        for executor in list(agent.executors.values()):
            self.attempts.lose(executor, now, reason)
        del self.agents.far[agent.number]
        self.agents.room.forget(agent)
        self.scheduler.effects.append(Detach(agent.number))
        if self.agents.journal is not None:
            self.agents.journal.drop(f"agent/{agent.number}")

    def tick(self, now: float) -> None:
        """Give up those whose lease has ended, unless it is us of whom nobody could hear."""
        if now < self._look_at:
            self.scheduler.wake_at(self._look_at)
            return
        has_stood = now - self._look_at > self.lease_s / 3
        for agent in list(self.agents.far.values()):
            if has_stood:
                self._renew(agent, now)
            elif agent.forget_at <= now:
                self.forget(agent, now)
            elif agent.lease_until <= now and not agent.is_given_up:
                self._give_up(agent, now)
        self._look_at = self._due(now)
        self.scheduler.wake_at(self._look_at)

    def _give_up(self, agent: Agent, now: float) -> None:
        agent.is_given_up = True
        self._set_adrift(agent, now)
        for executor in list(agent.executors.values()):
            self.attempts.give_up(executor, now)
        self._fill(now)

    def _due(self, now: float) -> float:
        """When to look again."""
        moments = [
            agent.forget_at if agent.is_given_up else agent.lease_until
            for agent in self.agents.far.values()
        ]
        return min([*moments, now + self.lease_s / 3]) if moments else NEVER

    # --- a restart of the control plane ---------------------------------------------------------

    def load(self, records: Mapping[int, bytes], now: float) -> None:
        """Await the agents that there were, for a whole lease."""
        for number, record in sorted(records.items()):
            agent = self.agents.far[number] = agent_of(number, record)
            self._last = max(self._last, number)
            self._renew(agent, now)


def _check_capacity(capacity: Capacity) -> None:
    """See to it that an agent says what it has so that it can be reckoned with.

    Raises:
        UsageError: it does not.
    """
    given: Any = capacity.gpus
    uuids = [gpu.uuid for gpu in given if isinstance(gpu, Gpu)]
    if len({*uuids}) < len(given) or not (capacity.cpu > 0 and capacity.memory_mb > 0):
        raise UsageError(f"what this agent says it has cannot be: {capacity!r:.200}")
    if capacity.offer:
        from apothic_backends.placement.own import check_told  # few tell more  # noqa: PLC0415

        check_told(capacity.offer)
