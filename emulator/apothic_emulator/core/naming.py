"""What the names of an app stand for: functions, which are called by them, and services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apothic_emulator.core.shared import Shared
from apothic_emulator.core.versions import Deployment, Entry

_NOTHING: Mapping[str, Entry] = {}


class Naming:
    """Gives names to whatever is live, and takes them back."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    @property
    def _instances(self) -> Any:
        """The rules for instances, if there are any."""
        return self._shared.parts.get("instances")

    def give(self, it: Deployment, now: float) -> None:
        """The names of its app stand for what it has; its services run."""
        for name, entry in it.entries.items():
            self._shared.registry.name(f"{it.app}/{name}", entry.pool)
            if entry.is_service:
                self._shared.services.put(f"{it.app}/{name}", entry.pool, it.version, now)
            if self._instances is not None:
                self._instances.moved(f"{it.app}/{name}", entry.number, now)

    def take(self, it: Deployment, now: float, but: Mapping[str, Entry] = _NOTHING) -> None:
        """Its names stand for nothing, except for those that another version has."""
        for name, entry in it.entries.items():
            other = but.get(name)
            if other is None:
                self._shared.registry.name(f"{it.app}/{name}", None)
            if other is None and self._instances is not None:
                self._instances.dropped(f"{it.app}/{name}", now)
            if entry.is_service and not (other is not None and other.is_service):
                self._shared.services.drop(f"{it.app}/{name}", now)
