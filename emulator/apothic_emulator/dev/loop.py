"""Deploys a program whenever it is saved.

saved ──► other content? ──► half a file? ──► a stand-by loads it and deploys ──► the next one
│ no                │ yes             │ cannot: what was live goes on   warms up
▼                   ▼ 150 ms          ▼
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup

from apothic_backends.model.record import Record
from apothic_emulator.dev.changes import Changes
from apothic_emulator.dev.keys import keys
from apothic_emulator.dev.lines import Lines
from apothic_emulator.dev.spares import Spares
from apothic_emulator.dev.standby import StandBy, StoodDown
from apothic_emulator.dev.starts import Starts

LATE_S = 1.0
"""How long a version may go on with being loaded once the next is here."""

_SHOWN = 3


class Save(Record):
    """What is to be deployed, and why."""

    changed: set[str]
    saved_at: float | None
    """When the latest of these files was written, as Unix time."""
    seen_at: float
    is_asked: bool
    """Whether somebody wants to hear of it even if nothing has changed."""


class Loop:
    """A program in a project, the interpreters that load it, and the keys that steer it."""

    def __init__(
        self, target: str, root: Path, spares: Spares, lines: Lines, *, is_paused: bool
    ) -> None:
        self._target = target
        self._root = root
        self._spares = spares
        self._lines = lines
        self._is_paused = is_paused
        self._changed: set[str] = set()
        """What was saved since the last version."""
        self._due = anyio.Event()
        self._is_asked = False
        self._version: int | None = None
        self._shown: Any = None
        """What was said of what the program has."""

    async def run(self, changes: Changes, starts: Starts) -> None:
        """Go on until somebody asks for the end."""
        try:
            if not await changes.begin():
                self._lines.note("the system does not tell of changes here: looking for them")
            self._lines.watching(changes.count)
            async with anyio.create_task_group() as tasks:
                self._due.set()
                tasks.start_soon(self._watch, changes)
                tasks.start_soon(self._deploy_what_is_due, changes, starts, tasks)
                await self._press()
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._spares.close()

    async def _watch(self, changes: Changes) -> None:
        while True:
            changed = await changes.next()
            self._changed |= changed
            if changed and self._is_paused:
                self._lines.event(f"{_names(self._changed)} changed; r deploys it")
            elif changed:
                self._due.set()

    # --- deploying ------------------------------------------------------------------------------

    async def _deploy_what_is_due(self, changes: Changes, starts: Starts, tasks: TaskGroup) -> None:
        while True:
            await self._due.wait()
            self._due = anyio.Event()
            save, self._changed, self._is_asked = self._save(), set(), False
            with anyio.CancelScope() as scope:
                tasks.start_soon(_give_up, scope, self._due)
                await self._deploy(save, changes, starts)
            if scope.cancelled_caught:
                self._changed |= save.changed
            tasks.start_soon(self._spares.prepare)

    def _save(self) -> Save:
        """What is to be deployed now."""
        times: list[float] = []
        for path in self._changed:
            with suppress(OSError):
                times.append((self._root / path).stat().st_mtime)
        return Save(self._changed, max(times, default=None), time.time(), self._is_asked)

    async def _deploy(self, save: Save, changes: Changes, starts: Starts) -> None:
        """Have a stand-by load and deploy what there is now."""
        worker: StandBy | None = None
        try:
            worker = await self._spares.take()
            wait_ms = (time.time() - save.seen_at) * 1000
            paths = [str(self._root / path) for path in save.changed]
            told = await worker.deploy(self._target, paths)
            told["wait_ms"] = max(0.0, wait_ms)
            is_live = self._tell(told, save)
            if is_live:
                starts.deployed(told, save.saved_at)
                await self._settle(starts)
            await self._learn(await worker.after(), changes, is_live=is_live)
        except StoodDown:
            why = "the interpreter ended while it loaded the program"
            self._lines.broken(why, {"message": why}, self._version)
        finally:
            if worker is not None:
                await worker.end()

    async def _settle(self, starts: Starts) -> None:
        """Leave the machine to what was deployed until that is up, or the next one is due."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_after, starts.settle, tasks.cancel_scope)
            tasks.start_soon(_cancel_after, self._due.wait, tasks.cancel_scope)

    def _tell(self, told: dict[str, Any], save: Save) -> bool:
        """Say what has come of a version; whether it is live."""
        if "error" in told:
            self._lines.broken(told["text"], told["error"], self._version)
            return False
        is_news = told["is_new"] or save.is_asked or self._lines.is_broken or self._version is None
        self._version = told["version"]
        if is_news:
            told["detect_ms"] = max(0.0, save.seen_at - (save.saved_at or save.seen_at)) * 1000
            self._lines.deployed(told, _names(save.changed))
        has = (told["services"], told["functions"], told["scheduled"])
        if has != self._shown:
            self._shown = has
            self._lines.served(told)
        return True

    async def _learn(self, told: dict[str, Any], changes: Changes, *, is_live: bool) -> None:
        """Note what is shipped now, and what to import for the next version."""
        if is_live and "modules" in told:
            self._spares.modules = told["modules"]
        if "files" in told and await changes.ship(told["files"]):
            self._due.set()

    # --- keys -----------------------------------------------------------------------------------

    async def _press(self) -> None:
        """Do what keys say; where there are none, go on until cancelled."""
        async for key in keys():
            if key == "q":
                return
            if key == "r":
                self._is_asked = True
                self._due.set()
            elif key == "p":
                self._pause()
        await anyio.sleep_forever()

    def _pause(self) -> None:
        self._is_paused = not self._is_paused
        if self._is_paused:
            self._lines.event("paused: r deploys what is saved, p goes on")
            return
        self._lines.event("goes on: what is saved is deployed")
        if self._changed:
            self._due.set()


async def _give_up(scope: anyio.CancelScope, due: anyio.Event) -> None:
    """Give up a version that takes long to be loaded, once the next one is here."""
    await due.wait()
    await anyio.sleep(LATE_S)
    scope.cancel()


async def _cancel_after(what: Callable[[], Awaitable[object]], scope: anyio.CancelScope) -> None:
    await what()
    scope.cancel()


def _names(paths: set[str]) -> str:
    """A few of them."""
    first = sorted(paths)[:_SHOWN]
    more = len(paths) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")
