"""The server of a service: uvicorn's protocols, with another way to begin and to end.

Its connections come in three ways: from a socket that the control plane listens on, from processes
before this one that hand on what is between two requests, and none other. When it ends, it accepts
no more, hands on connections as they come to be between two requests, ends event streams where they
stand, closes WebSockets (1012, service restart), and lets every other request finish.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from apothic_emulator.executors.web.connections import Connection, Socket
from apothic_emulator.executors.web.door import hand_on, taken_over
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
        self._sockets: list[socket.socket] = []
        self._accepting: asyncio.Server | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._hands_on = False
        own: dict[str, Any] = {"serves": self}
        self._protocol: Any = type("Connection", (Connection,), own)
        self._config = Config(
            app,
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

    async def listen(self, door: list[int]) -> None:
        """Take connections from a door: where it listens, what is handed on, and where to hand."""
        listener, handed, handing = (socket.socket(fileno=fd) for fd in door)
        self._sockets = [listener, handed, handing]
        for each in self._sockets:
            each.setblocking(False)
        self._tick()
        if self.is_limited:
            self._loop.add_reader(listener, self._accept)
        else:
            self._accepting = await self._loop.create_server(self._new, sock=listener)
        self._loop.add_reader(handed, self._take_over, handed)

    def _new(self) -> Connection:
        made: Connection = self._protocol(self._config, self._state, self._app_state, self._loop)
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
        if self.is_draining and not self.connections:
            self.is_empty.set()

    def count(self, more: int) -> None:
        """So many requests more, or less, are under way."""
        self.open += more
        if not self.open:
            self.idle_since = self._loop.time()
            self.has_served = True

    def answerer(self, cycle: Any, app: App) -> App:
        """The application, for one request; it is seen whether the answer is an event stream."""

        def answer(scope: Any, receive: Any, send: Any) -> Any:
            def watched(message: Any) -> Any:
                if message["type"] == "http.response.start":
                    cycle.is_stream = any(
                        value.startswith(_STREAMS)
                        for name, value in message.get("headers", ())
                        if name.lower() == b"content-type"
                    )
                return _fairly(send, message) if message.get("more_body") else send(message)

            return app(scope, receive, watched)

        return answer

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
        if self.is_limited and not self.is_draining:
            self._loop.add_reader(self._sockets[0], self._accept)

    def _accept(self) -> None:
        """Take connections for as long as there are places; the others are for other processes."""
        while self.taken + len(self.waiting) + self.fresh < self.places:
            try:
                taken, _ = self._sockets[0].accept()
            except OSError:
                return  # another process has taken it
            self.fresh += 1
            self._loop.create_task(self._connect(taken))
        self._loop.remove_reader(self._sockets[0])
        self.on_crowded()

    # --- handing on -----------------------------------------------------------------------------

    def _take_over(self, handed: socket.socket) -> None:
        """Take connections that a process before this one has handed on."""
        for taken in taken_over(handed):
            self.fresh += 1
            self._loop.create_task(self._connect(taken))

    async def _connect(self, taken: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._new, taken)
        except OSError:
            self.fresh -= 1
            taken.close()  # whoever was there has gone

    def _hand_on(self, connection: Connection) -> bool:
        """Hand a connection to the process that comes after this one, as it is."""
        its = connection.transport.get_extra_info("socket")
        fd = None if its is None else its.fileno()
        if fd is None or fd < 0:
            return False
        connection.transport.pause_reading()
        if not hand_on(self._sockets[2], fd):
            connection.transport.resume_reading()
            return False
        connection.transport.abort()
        return True

    # --- the end --------------------------------------------------------------------------------

    def drain(self, *, hand_on: bool) -> None:
        """Take no more connections, and end those that are there as soon as that is in order."""
        self.is_draining, self._hands_on = True, hand_on
        listener, handed, _ = self._sockets
        self._loop.remove_reader(handed)
        if self._accepting is not None:
            self._accepting.close()
        else:
            self._loop.remove_reader(listener)
        self._let_all_go()

    def _let_all_go(self) -> None:
        for connection in [*self.connections]:
            self.let_go(connection)
        if self.connections:
            self._loop.call_later(LOOK_S, self._let_all_go)
        else:
            self.is_empty.set()

    def let_go(self, connection: Any) -> None:
        """End a connection, if that is in order now."""
        if not isinstance(connection, Connection):
            if not connection.close_sent:
                connection.shutdown()  # 1012: the service is restarted
        elif connection.transport.is_closing():
            return
        elif connection.is_stream:
            connection.end_stream()
        elif connection.is_between:
            is_handed = self._hands_on and self._hand_on(connection)
            if not is_handed:
                connection.transport.close()

    async def drained(self) -> None:
        """Wait until nothing is left: no connection, and nothing that an application still does."""
        await self.is_empty.wait()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks)

    def abort(self) -> None:
        """Cut off what is left."""
        for task in self._state.tasks:
            task.cancel()
        for connection in [*self.connections]:
            connection.transport.abort()


async def _fairly(send: Any, message: Any) -> None:
    """Send part of an answer, and let others have their turn.

    Whoever sends without end would never hear that nobody listens any more.
    """
    await send(message)
    await asyncio.sleep(0)
