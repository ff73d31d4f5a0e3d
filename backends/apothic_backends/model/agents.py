"""What goes wrong between agents and their control plane."""

from __future__ import annotations

from apothic_backends.model.errors import BackendError


class StaleSession(BackendError):
    """An agent speaks in a session that has ended: it has to join again."""

    code = "stale_session"


class AgentSuperseded(BackendError):
    """An agent was followed by another process of the same name: it has to stop its work."""

    code = "agent_superseded"
