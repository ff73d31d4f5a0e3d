"""Has services of what is deployed started, and tells how that goes."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from anyio.abc import TaskGroup

from apothic_backends.base import Backend
from apothic_backends.commands.services import GetService, StartService
from apothic_backends.model.errors import ApothicError
from apothic_emulator.dev.lines import Lines


class Starts:
    """Follows each service from the first deployment on that has it."""

    def __init__(self, backend: Backend, lines: Lines, tasks: TaskGroup) -> None:
        self._backend = backend
        self._lines = lines
        self._tasks = tasks
        self._followed: set[str] = set()
        self._saved_at: dict[str, float] = {}
        self._version = 0

    def deployed(self, told: dict[str, Any], saved_at: float) -> None:
        """Start the services of what was deployed, so that one that cannot start is known now."""
        self._version = told["version"]
        for name in told["services"]:
            service = f"{told['app']}/{name}"
            if told["is_new"] or service not in self._followed:
                self._saved_at[service] = saved_at
            if service not in self._followed:
                self._followed.add(service)
                self._tasks.start_soon(self._follow, service)
            self._backend.start(StartService(service, wait=True)).on_done(bool)

    async def _follow(self, service: str) -> None:
        name = service.partition("/")[2]
        events = self._backend.watch(f"services:{service}", None, snapshot=True)
        with suppress(ApothicError):
            async for event in events:
                if event.event == "service.deleted":
                    break
                what = event.data.get("what")
                if what == "up" and service in self._saved_at:
                    took = (time.time() - self._saved_at.pop(service)) * 1000
                    self._lines.up(name, self._version, max(0.0, took))
                elif what == "failed":
                    seen = await self._backend.start(GetService(service))
                    self._lines.failed(name, seen.stale, goes_on=seen.status == "up")
        self._followed.discard(service)
