"""The server of a service: uvicorn's protocols, with another way to begin and to end.

Its connections come in three ways: from a socket that the control plane listens on, from processes
before this one that hand on what is between two requests, and none other. When it ends, it accepts
no more, hands on connections as they come to be between two requests, ends event streams where they
stand, closes WebSockets (1012, service restart), and lets every other request finish.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from apothic_emulator.executors.web.connections import Connection, Socket
from apothic_emulator.executors.web.door import Door
from apothic_emulator.executors.web.hosts import allowed
from apothic_emulator.executors.web.lifespan import App

UNLIMITED = 1000
"""A service that takes as many requests at once as this takes whatever comes."""

KEEP_ALIVE_S = 75
"""How long a connection may be between two requests."""

MOST_MESSAGE = 16 << 20
"""The largest message of a WebSocket, in bytes."""

LOOK_S = 0.02
"""How often it is looked, at the end, whether a connection can go."""

_STREAMS = b"text/event-stream"


class Server:
    """Takes connections, and counts what is under way."""

    def __init__(self, app: App, state: dict[str, Any], timeout_s: float, places: int) -> None:
        self.open = self.taken = self.fresh = 0
        """Requests and WebSockets that are under way; requests that the application works on; and
        connections that have not asked for anything yet."""
        self.places = places
        """How many requests the application works on at once."""
        self.is_limited = places < UNLIMITED
        self.waiting: deque[tuple[Connection, Any, Any]] = deque()
        """Requests that wait for a place."""
        self.on_crowded: Callable[[], object] = bool
        """Called when there are more requests than places."""
        self.is_draining = self.has_served = False
        self.is_empty = asyncio.Event()
        self._app, self._timeout_s, self._app_state = app, timeout_s, state
        self._state = ServerState()
        self._loop = asyncio.get_running_loop()
        self.idle_since = self._loop.time()
        """When the last request ended."""
        self._door: Door
        self._clock: asyncio.TimerHandle | None = None
        self._hands_on = False
        self.hosts = allowed()
        """By which names it is known that are not this machine's own."""
        own: dict[str, Any] = {"serves": self}
        self._protocol: Any = type("Connection", (Connection,), own)
        self._config = Config(
            _watching(app),
            interface="asgi3",
            http=self._protocol,
            ws=type("Socket", (Socket,), own),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            ws_max_size=MOST_MESSAGE,
            ws_per_message_deflate=False,
        )
        self._config.load()

    @property
    def connections(self) -> set[Any]:
        """All that there are, WebSockets among them."""
        return self._state.connections

    def listen(self, fds: list[int]) -> None:
        """Take connections from a door."""
        self._tick()
        has_room = self._has_room if self.is_limited else None
        self._door = Door(fds, self._new, has_room, self._count_fresh)

    def _new(self, said: bytes) -> Connection:
        made: Connection = self._protocol(self._config, self._state, self._app_state, self._loop)
        made.said = said
        return made

    def _tick(self) -> None:
        """Once a second, while there is somebody: the time for answers, and who takes too long."""
        date = formatdate(usegmt=True).encode()
        self._state.default_headers = [(b"date", date)]
        now = self._loop.time()
        for connection in [*self.connections]:
            if isinstance(connection, Connection):
                connection.look(now, self._timeout_s)
        self._clock = self._loop.call_later(1.0, self._tick) if self.connections else None

    def opened(self) -> None:
        """A connection is there."""
        if self._clock is None:
            self._tick()

    def left(self) -> None:
        """A connection is gone."""
        if self.is_draining and not self._is_left():
            self.is_empty.set()

    def count(self, more: int) -> None:
        """So many requests more, or less, are under way."""
        self.open += more
        if not self.open:
            self.idle_since = self._loop.time()
            self.has_served = True

    @property
    def is_needed(self) -> bool:
        """Whether something is under way, or somebody has come who is about to ask."""
        if self.open or self._door.coming:
            return True
        now = self._loop.time()
        return any(connection.is_about_to_ask(now) for connection in self.connections)

    # --- places ---------------------------------------------------------------------------------

    def has_place(self) -> bool:
        """Whether the application may work on another request."""
        return not self.is_limited or self.taken < self.places

    def task_ended(self, task: asyncio.Task[None]) -> None:
        """The application is done with a request."""
        self._state.tasks.discard(task)
        self.taken -= 1
        while self.waiting and self.has_place():
            connection, cycle, app = self.waiting.popleft()
            if not cycle.disconnected:
                connection.start(cycle, app)
        if self.is_limited:
            self._door.open()

    def _has_room(self) -> bool:
        """Whether another connection may come; the others are for other processes."""
        if self.taken + len(self.waiting) + self.fresh < self.places:
            return True
        self.on_crowded()
        return False

    def _count_fresh(self, more: int) -> None:
        self.fresh += more

    # --- the end --------------------------------------------------------------------------------

    def drain(self, *, hand_on: bool) -> None:
        """Take no more connections, and end those that are there as soon as that is in order."""
        self.is_draining, self._hands_on = True, hand_on
        self._door.close()
        self._let_all_go()

    def _is_left(self) -> bool:
        """Whether somebody is there, or about to be."""
        return bool(self.connections or self._door.coming)

    def _let_all_go(self) -> None:
        for connection in [*self.connections]:
            self.let_go(connection)
        if self._is_left():
            self._loop.call_later(LOOK_S, self._let_all_go)
        else:
            self.is_empty.set()

    def let_go(self, connection: Any) -> None:
        """End a connection, if that is in order now."""
        if not isinstance(connection, Connection):
            if connection.handshake_complete and not connection.close_sent:
                connection.shutdown()  # 1012: the service is restarted
        elif connection.transport.is_closing():
            return
        elif connection.is_refused:
            connection.transport.close()
        elif connection.is_stream:
            connection.end_stream()
        elif connection.is_between:
            goes_on = self._hands_on or _has_more(connection)
            if not goes_on or not self._door.hand_on(connection.transport, connection.said):
                connection.transport.close()

    async def drained(self) -> None:
        """Wait until nothing is left: no connection, and nothing that an application still does."""
        await self.is_empty.wait()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks)

    def abort(self) -> None:
        """Cut off what is left, and leave the door."""
        self._door.leave()
        for task in self._state.tasks:
            task.cancel()
        for connection in [*self.connections]:
            connection.transport.abort()


def _has_more(connection: Connection) -> bool:
    """Whether another request has come just now: it wakes a process, instead of being cut off."""
    its = connection.transport.get_extra_info("socket")
    try:
        with socket.socket(fileno=os.dup(its.fileno())) as same:
            return bool(same.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:
        return False


def _watching(app: App) -> Any:
    """An application of whose answers it is seen whether they are event streams."""

    def answer(scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] != "http":
            return app(scope, receive, send)

        def watched(message: Any) -> Any:
            if message["type"] == "http.response.start":
                for name, value in message.get("headers", ()):
                    if value.startswith(_STREAMS) and name.lower() == b"content-type":
                        send.__self__.is_stream = True
            elif message.get("more_body"):
                return _fairly(send, message)
            return send(message)

        return app(scope, receive, watched)

    return answer


async def _fairly(send: Any, message: Any) -> None:
    """Send part of an answer, and let others have their turn.

    Whoever sends without end would never hear that nobody listens any more.
    """
    await send(message)
    await asyncio.sleep(0)
