"""Agent: a machine that has joined the control plane and runs functions for it."""

from __future__ import annotations

from apothic._twins import awaited, blocking
from apothic_backends.model.agents import AgentSnapshot


class Agents:
    """`Agent.list`: blocks when called; its `aio` is the same to be awaited."""

    name = "Agent"

    def __call__(self) -> list[AgentSnapshot]:
        """Every machine that has joined or is expected back, in the order in which they came.

        Each with its `status` ("joined", "cut" or "lost"), its cores, memory and GPUs, and what of
        that is taken. The machine of the control plane is none of them: a program that runs its
        functions itself finds none.
        """
        return [*blocking(self, "list", _listed)]

    async def aio(self) -> list[AgentSnapshot]:
        """The same on asyncio or trio."""
        return [*await awaited(_listed())]


class Agent:
    """A machine that runs `apothic agent`."""

    list = Agents()


async def _listed() -> tuple[AgentSnapshot, ...]:
    from apothic._connect import ask  # what carries it out  # noqa: PLC0415
    from apothic_backends.commands.agents import ListAgents  # noqa: PLC0415 - at use

    return await ask(ListAgents())
