"""What goes out on one WebSocket: put in by any thread, written by a task of the server's loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

ASGIMessage = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[ASGIMessage]]
Send = Callable[[ASGIMessage], Awaitable[None]]

MOST_QUEUED = 16 << 20
"""Bytes that may wait to be written before nothing more is taken from whoever does not read."""

WRITE_S = 10.0
"""How long a message may take that is small; a large one may take a second longer for each MiB."""


class Outgoing:
    """Messages that wait to be written, in order."""

    def __init__(self, send: Send, abort: Callable[[], object] | None = None) -> None:
        """On the loop that the connection belongs to; `abort` cuts it where nobody reads."""
        self._send = send
        self._abort = abort
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[bytes] = deque()
        self._nbytes = 0
        self._lock = threading.Lock()
        self._is_woken = False
        self._is_over = False
        self._code: int | None = None
        """With which code it is closed once all is written."""
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._writer = self._loop.create_task(self._run())

    def put(self, data: bytes) -> None:
        """Have a message written, from any thread."""
        with self._lock:
            if self._is_over:
                return
            self._waiting.append(data)
            self._nbytes += len(data)
            is_woken, self._is_woken = self._is_woken, True
        if not is_woken:
            try:
                self._loop.call_soon_threadsafe(self._changed.set)
            except RuntimeError:
                self._is_over = True  # the server has ended

    def abort(self, code: int) -> None:
        """Close it once all is written; on the loop's thread, and nobody waits for it."""
        self._code = code
        self._changed.set()

    async def finish(self, code: int) -> None:
        """Write what is left, and close it."""
        self.abort(code)
        await self._writer

    async def room(self) -> None:
        """Wait until whoever reads has taken enough of what waits for it."""
        if self._nbytes > MOST_QUEUED and not self._is_over:
            self._has_room.clear()
            await self._has_room.wait()

    async def _run(self) -> None:
        try:
            await self._write_all()
        except (OSError, RuntimeError, TimeoutError):
            if self._abort is not None:
                self._abort()  # whoever was there is gone, or does not read
        finally:
            self._is_over = True
            self._waiting.clear()
            self._has_room.set()

    async def _write_all(self) -> None:
        waiting = self._waiting
        while True:
            self._is_woken = False  # before emptying: what comes in from here on wakes it again
            self._changed.clear()
            while waiting:
                data = waiting.popleft()
                with self._lock:
                    self._nbytes -= len(data)
                async with asyncio.timeout(WRITE_S + len(data) / (1 << 20)):
                    await self._send({"type": "websocket.send", "bytes": data})
                if self._nbytes <= MOST_QUEUED:
                    self._has_room.set()
            if self._code is not None:
                await self._send({"type": "websocket.close", "code": self._code})
                return
            await self._changed.wait()
