"""Has services of what is deployed started, and tells how that goes."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup

from apothic_backends.base import Backend
from apothic_backends.commands.services import GetService, StartService
from apothic_backends.model.errors import ApothicError
from apothic_emulator.dev.lines import Lines
from apothic_emulator.dev.traces import readable

SETTLE_S = 3.0
"""How long what was deployed may keep the next interpreter from getting warm."""


class Starts:
    """Follows each service from the first deployment on that has it."""

    def __init__(self, backend: Backend, root: Path, lines: Lines, tasks: TaskGroup) -> None:
        self._root = root
        self._backend = backend
        self._lines = lines
        self._tasks = tasks
        self._followed: set[str] = set()
        self._saved_at: dict[str, float | None] = {}
        """When what starts now was saved, if anything was."""
        self._version = 0
        self._is_settled = anyio.Event()

    def deployed(self, told: dict[str, Any], saved_at: float | None) -> None:
        """Start the services of what was deployed, so that one that cannot start is known now."""
        self._version, self._is_settled = told["version"], anyio.Event()
        for name in told["services"]:
            service = f"{told['app']}/{name}"
            if told["is_new"] or service not in self._followed:
                self._saved_at[service] = saved_at
            if service not in self._followed:
                self._followed.add(service)
                self._tasks.start_soon(self._follow, service)
            self._backend.start(StartService(service, wait=True)).on_done(bool)
        self._look()

    async def settle(self) -> None:
        """Wait until services of what was deployed last are up, have failed, or take long."""
        with anyio.move_on_after(SETTLE_S):
            await self._is_settled.wait()

    def _look(self) -> None:
        if not self._saved_at:
            self._is_settled.set()

    async def _follow(self, service: str) -> None:
        events = self._backend.watch(f"services:{service}", None, snapshot=True)
        with suppress(ApothicError):
            async for event in events:
                if event.event == "service.deleted":
                    break
                # It may have been up, or have failed, before this began to be told.
                is_now = event.event == "service.snapshot"
                what = event.data.get("status" if is_now else "what")
                if what == "up":
                    self._up(service)
                elif what == "failed":
                    await self._failed(service)
        self._followed.discard(service)
        self._saved_at.pop(service, None)
        self._look()

    def _up(self, service: str) -> None:
        if service in self._saved_at:
            saved = self._saved_at.pop(service)
            took = None if saved is None else max(0.0, time.time() - saved) * 1000
            self._lines.up(_name(service), self._version, took)
            self._look()

    async def _failed(self, service: str) -> None:
        seen = await self._backend.start(GetService(service))
        why = readable(seen.traceback, self._root) or seen.stale
        self._lines.failed(_name(service), why, goes_on=seen.status == "up")
        self._saved_at.pop(service, None)
        self._look()


def _name(service: str) -> str:
    return service.partition("/")[2]
