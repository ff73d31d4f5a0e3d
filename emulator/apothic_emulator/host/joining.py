"""The connection of an agent, from its hello to its end.

Whoever accepts connections has seen that the agent may join. Nothing of a connection counts before
its hello, which has to come soon; a frame that cannot have come ends it.
"""

from __future__ import annotations

from typing import Any, Protocol

import anyio
from anyio.abc import TaskGroup

from apothic_backends.model.agents import AgentSuperseded, StaleSession
from apothic_backends.model.errors import ApothicError, BackendError, UsageError
from apothic_backends.ticket import Ticket
from apothic_emulator.agent import channel, messages
from apothic_emulator.agent.channel import ChannelError, Frame
from apothic_emulator.agent.remote import Fleet, RemoteAgent
from apothic_emulator.core.facts import Asked, Input
from apothic_emulator.core.hellos import Cut, Join, Leave, Welcome
from apothic_emulator.unheard import Unheard

HELLO_S = 5.0
"""What an agent gets for its hello."""

SEND_S = 30.0
"""What a connection gets to take one frame."""

DONE, WRONG, SUPERSEDED = 1000, 1002, 4001
"""Why a connection is closed: it has ended, it broke the rules, or there is a later one."""


class Connection(Protocol):
    """A WebSocket."""

    async def receive(self) -> bytes | None:
        """The next message; None when there is none any more."""
        ...

    async def send(self, data: bytes) -> None:
        """Send a message."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """End it."""
        ...


class Joined(Protocol):
    """The control plane that an agent joins."""

    dead: ApothicError | None

    def open_fleet(self) -> Fleet:
        """What agents join."""
        ...

    def post(self, item: Input) -> None:
        """Bring an input, and step the core."""
        ...

    def pump(self) -> None:
        """Step the core until there is nothing to step it with."""
        ...


async def serve_agent(connection: Connection, host: Joined) -> None:
    """Serve one agent for as long as its connection lasts."""
    try:
        joined = await _join(connection, host)
    except ChannelError as error:
        await connection.close(WRONG, str(error)[:100])
        return
    except ApothicError as error:
        await connection.send(Frame(channel.REFUSED, 0, 0, messages.error_to_bytes(error)).pack())
        is_later = isinstance(error, AgentSuperseded)
        await connection.close(SUPERSEDED if is_later else DONE, error.code)
        return
    if joined is not None:
        agent, session, bell = joined
        try:
            await _serve(connection, host, agent, session, bell)
        finally:
            agent.hang_up(session)
            host.post(_asked(Cut(agent.number, session), Unheard()))


async def _join(connection: Connection, host: Joined) -> tuple[RemoteAgent, int, _Bell] | None:
    """Take a hello, and welcome the agent; None if it has gone before that."""
    fleet = host.open_fleet()
    data: bytes | None = None
    with anyio.move_on_after(HELLO_S):
        data = await connection.receive()
    if data is None:
        await connection.close(WRONG, "no hello")
        return None
    frame = channel.parse(data)
    if frame.kind != channel.HELLO:
        raise ChannelError("a connection that does not begin with a hello")
    if frame.flags != channel.VERSION:
        raise UsageError(
            f"this control plane speaks version {channel.VERSION} of the protocol of agents, and "
            f"the agent version {frame.flags}: install the same version of apothic on both"
        )
    join: Join = messages.from_bytes(frame.body, frozenset({"Join"}))
    welcome: Welcome = await _ask(host, join)
    agent = fleet.agents.get(welcome.agent)
    if agent is None:
        raise BackendError("the agent was forgotten while it joined")
    bell = _Bell()
    here = agent.begin(welcome.session, frame.number if welcome.resumes else 0, bell.ring)
    if host.dead is not None:
        raise host.dead  # and nobody hangs up any more
    await connection.send(Frame(channel.WELCOME, here, 0, messages.to_bytes(welcome)).pack())
    return agent, welcome.session, bell


async def _ask(host: Joined, command: Any) -> Any:
    ticket: Ticket[Any] = Ticket()
    host.post(_asked(command, ticket))
    if host.dead is not None:
        ticket.fail(host.dead)  # unless it was answered before
    return await ticket


def _asked(command: Any, token: object) -> Asked:
    return Asked(command, token)


async def _serve(
    connection: Connection, host: Joined, agent: RemoteAgent, session: int, bell: _Bell
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_write, connection, agent, session, bell, tasks)
        try:
            while (data := await connection.receive()) is not None:
                if _take(data, host, agent, session):
                    break
        except ChannelError as error:
            await connection.close(WRONG, str(error)[:100])
        except StaleSession as error:
            await connection.close(SUPERSEDED, error.code)
        tasks.cancel_scope.cancel()


def _take(data: bytes, host: Joined, agent: RemoteAgent, session: int) -> bool:
    """Take in a frame; whether it was the last."""
    frame = channel.parse(data)
    if frame.kind == channel.LEAVE:
        host.post(_asked(Leave(agent.number, session), Unheard()))
        return True
    agent.received(session, frame)
    host.pump()
    return False


async def _write(
    connection: Connection, agent: RemoteAgent, session: int, bell: _Bell, tasks: TaskGroup
) -> None:
    """Send what is for the agent, until another connection takes over."""
    while True:
        wait = bell.next()
        while (data := agent.next_frame(session)) is not None:
            with anyio.move_on_after(SEND_S) as patience:
                await connection.send(data)
            if patience.cancelled_caught:
                tasks.cancel_scope.cancel()  # nobody reads
                return
        if agent.session != session:
            await connection.close(SUPERSEDED, StaleSession.code)
            tasks.cancel_scope.cancel()
            return
        await wait


class _Bell:
    """Rung by any thread, waited for by one task."""

    def __init__(self) -> None:
        self._ticket: Ticket[None] = Ticket()

    def next(self) -> Ticket[None]:
        """What is done when it is rung from now on."""
        self._ticket = Ticket()
        return self._ticket

    def ring(self) -> None:
        """Have whoever waits look."""
        self._ticket.complete(None)
