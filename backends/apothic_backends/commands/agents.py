"""The machines that there are, what they have, and what runs there."""

from __future__ import annotations

from apothic_backends.commands.base import Command
from apothic_backends.model.agents import AgentSnapshot, Overview


class ListAgents(Command[tuple[AgentSnapshot, ...]]):
    """Look at the agents that are there or expected back, in the order in which they came."""


class GetOverview(Command[Overview]):
    """Look at all that runs or waits at this moment: up to so many of each, and how many more."""

    most: int = 100
