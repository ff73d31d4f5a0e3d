"""What a key may be for."""

from __future__ import annotations

SCOPES = {
    "admin": "everything: keys of every account, and all that the other scopes allow",
    "run": "all that programs do: functions, jobs, queues, dicts",
    "read": "looking only",
    "service": "to send requests to services that are not public, and nothing else",
    "agent": "to join as an agent, and nothing else",
    "metrics": "to read /metrics, and nothing else",
}
