"""Watchers of server-sent events, some of which are slow, and what each has seen."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

_SMALL = 8192
"""Bytes that a slow watcher's socket takes."""

PAUSE_S = 0.1
"""How long a slow watcher takes nothing after each piece."""


class Seen(NamedTuple):
    """What came of a crowd."""

    seconds: float
    """Until all that are not slow have seen everything."""
    holes: int
    resets: int
    cuts: int


class Watcher(asyncio.Protocol):
    """One that reads as fast as it can, or slowly; who is cut off goes on where it was."""

    def __init__(self, crowd: Crowd, place: int, *, is_slow: bool) -> None:
        self._crowd = crowd
        self._rest = b""
        self._is_slow = is_slow
        self.place = place
        """The position of the last event that it has seen."""
        self.holes = self.resets = self.cuts = 0

    async def dial(self) -> None:
        """Connect, and ask for what follows."""
        sock = socket.socket()
        sock.setblocking(False)
        if self._is_slow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, self._crowd.address)
        await loop.create_connection(lambda: self, sock=sock)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        assert isinstance(transport, asyncio.Transport)
        self.transport, self._rest = transport, b""
        transport.write(self._crowd.request(self.place))

    def data_received(self, data: bytes) -> None:
        """Note what has come, as far as it is whole."""
        whole, _, self._rest = (self._rest + data).rpartition(b"\n\n")
        before = self.place
        for event in whole.split(b"\n\n"):
            head, _, name = event.partition(b"\ndata: ")[0].rpartition(b"event: ")
            _, has_place, place = head.rpartition(b"id: ")
            self._take(int(place.rpartition(b":")[2]) if has_place else 0, name)
        if before < self._crowd.last <= self.place:
            self._crowd.has_arrived(self)
        if self._is_slow and not self._crowd.is_hurried:
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(PAUSE_S, self._go_on)

    def _take(self, place: int, name: bytes) -> None:
        if name == b"stream.reset":
            self.resets += 1
        elif name == b"dict.changed":
            self.holes += place != self.place + 1
        self.place = place or self.place

    def _go_on(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Come back, unless all is over."""
        if not self._crowd.is_over:
            self.cuts += 1
            self._crowd.come_back(self)


class Crowd:
    """Many watchers of one dict, all of them from the same position on."""

    def __init__(self, url: str, token: str, topic: str, place: tuple[str, int]) -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname, parts.port)
        self._head = (
            f"GET /v1/events?topic={topic} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Authorization: Bearer {token}\r\nLast-Event-ID: "
        )
        self._epoch, self._first = place
        self._tasks: set[asyncio.Task[None]] = set()
        self._left: set[Watcher] = set()
        self._changed = asyncio.Event()
        self.last = 0
        """The position that all of them are to reach."""
        self.is_hurried = self.is_over = False

    def request(self, place: int) -> bytes:
        """What is asked of the server, to go on after a position."""
        return f"{self._head}{self._epoch}:{place}\r\n\r\n".encode()

    def come_back(self, watcher: Watcher) -> None:
        """Have a watcher connect again."""
        task = asyncio.ensure_future(watcher.dial())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def has_arrived(self, watcher: Watcher) -> None:
        """A watcher has seen everything."""
        self._left.discard(watcher)
        self._changed.set()

    async def _all_but(self, slow: set[Watcher]) -> None:
        while self._left - slow:
            self._changed.clear()
            await self._changed.wait()

    async def watch(
        self, count: int, slow: int, events: int, produce: Callable[[], object]
    ) -> Seen:
        """Have so many watch that many events; `produce` makes them."""
        self.last = self._first + events
        watchers = [Watcher(self, self._first, is_slow=n < slow) for n in range(count)]
        self._left = set(watchers)
        for one in watchers:
            await one.dial()
        before = time.perf_counter()
        await asyncio.to_thread(produce)
        await self._all_but(set(watchers[:slow]))
        taken = time.perf_counter() - before
        self.is_hurried = True
        await self._all_but(set())
        self.is_over = True
        for one in watchers:
            one.transport.abort()
        await asyncio.sleep(0)
        found = [(one.holes, one.resets, one.cuts) for one in watchers]
        return Seen(taken, *map(sum, zip(*found, strict=True)))
