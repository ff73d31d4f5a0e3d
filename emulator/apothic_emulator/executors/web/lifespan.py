"""Tells an ASGI application that it begins, and that it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


class StartupFailed(Exception):
    """The application said that it cannot start; the text is its own."""


class Lifespan:
    """One run of an application's lifespan; `state` is what it gives to each request.

    An application that knows no lifespan raises when it is told of it, which is how the
    specification has it say so: that is no error.
    """

    def __init__(self, app: App) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._told: asyncio.Queue[Message] = asyncio.Queue()
        self._answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._is_started = False

    async def start(self) -> None:
        """Have it start.

        Raises:
            StartupFailed: it said that it cannot.
            BaseException: what it raised after it was told, if it knows the lifespan.
        """
        self._task = asyncio.create_task(self._run())
        await self._tell("lifespan.startup")

    async def stop(self) -> None:
        """Have it end, if it knows how to.

        Raises:
            StartupFailed: it said that it cannot end in order.
            BaseException: what it raised.
        """
        if self._is_started and self._task is not None and not self._task.done():
            self._answered = asyncio.get_running_loop().create_future()
            await self._tell("lifespan.shutdown")

    async def _tell(self, what: str) -> None:
        assert self._task is not None, "it was started"
        self._told.put_nowait({"type": what})
        await asyncio.wait({self._task, self._answered}, return_when=asyncio.FIRST_COMPLETED)
        if self._answered.done():
            failure = self._answered.result()
            if failure:
                raise StartupFailed(failure)
            self._is_started = True
        elif self._is_started or self._has_listened:
            self._task.result()

    @property
    def _has_listened(self) -> bool:
        """Whether it has asked what it is to be told."""
        return self._told.empty()

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        await self._app(scope, self._told.get, self._hear)

    async def _hear(self, message: Message) -> None:
        if self._answered.done():
            return
        kind = message["type"]
        if kind.endswith(".complete"):
            self._answered.set_result("")
        elif kind.endswith(".failed"):
            self._answered.set_result(str(message.get("message") or "no reason was given"))
