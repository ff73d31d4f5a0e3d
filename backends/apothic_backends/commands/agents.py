"""The machines that dial in, and what they have."""

from __future__ import annotations

from apothic_backends.commands.base import Command
from apothic_backends.model.agents import AgentSnapshot


class ListAgents(Command[tuple[AgentSnapshot, ...]]):
    """Look at the agents that are there or expected back, in the order in which they came."""
