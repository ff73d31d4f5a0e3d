"""The door of a service that others than this machine reach.

    clients ──► listener, TLS ──► visits ──► [ a pair of sockets each ] ──► the door's own inlet

Behind it everything is as it is for a door on loopback, which the connections come to by another
way: by hand, in place of a port. So nothing that is refused here wakes a process, or reaches one.
"""

from __future__ import annotations

import asyncio
import socket

from apothic_emulator.executors.web.door import Listening, hand_on
from apothic_emulator.gateway.links import Link, Unreachable
from apothic_emulator.gateway.paths import ALIVE
from apothic_emulator.gateway.public import EVERYBODY, Pass, Public
from apothic_emulator.gateway.sources import Sources
from apothic_emulator.gateway.visits import Visit

MOST_OPEN = 4096
"""Connections of one service at a time."""

MOST_OF_CLIENT = 256
"""Connections of one service on which requests of one client come, as a proxy says."""

TLS_S = 10.0
"""How long a client may take to agree on how to encrypt."""

FULL_S, MOST_TRIES = 0.05, 100
"""How often it is tried to hand a connection in while others wait before it, and how many times."""


class Front:
    """That of one service; all of it is on the gateway's loop."""

    def __init__(
        self,
        service: str,
        listener: socket.socket,
        putting: socket.socket,
        public: Public,
        *,
        is_open: bool,
    ) -> None:
        """Connections are put through `putting`; unless it `is_open`, requests need a key."""
        self.scheme, self.proxy = public.scheme, public.proxy
        self.is_open = is_open
        self._service, self._listener, self._putting = service, listener, putting
        self._public = public
        self._sources = Sources(public.most)
        self._clients = Sources(MOST_OF_CLIENT)
        self._visits: dict[Visit, str] = {}
        """Those that are there, and from where."""
        self._tasks: set[asyncio.Task[None]] = set()
        """What is about connections that are not there yet."""
        self._listening = Listening(listener, self._welcome)
        self._listening.open()

    def _welcome(self, taken: socket.socket, _said: bytes) -> None:
        """Count a connection, and let it in if it may come; it may hear that it may not."""
        try:
            address: str = taken.getpeername()[0]
        except OSError:
            taken.close()  # it has gone again
            return
        if len(self._visits) >= MOST_OPEN or self._sources.is_crowd(address):
            taken.close()
            return
        visit = Visit(self, is_welcome=self._sources.enter(address))
        self._visits[visit] = address
        task = asyncio.get_running_loop().create_task(self._meet(visit, taken))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _meet(self, visit: Visit, taken: socket.socket) -> None:
        tls = self._public.tls
        try:
            for option in ALIVE:
                taken.setsockopt(*option)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: visit.client,
                taken,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else TLS_S,
            )
        except (OSError, asyncio.CancelledError):
            taken.close()
            self.left(visit)

    def admit(self, token: str, address: str) -> Pass:
        """By what somebody may ask.

        Raises:
            Refused: they may not.
        """
        return EVERYBODY if self.is_open else self._public.admit(token, address)

    def is_welcome(self, visit: Visit, client: str) -> bool:
        """Count a connection for whose requests come on it from now on; False if too many are."""
        self._forget(visit)
        visit.client_told = client
        is_welcome = self._clients.enter(client)
        if not is_welcome:
            self._forget(visit)
        return is_welcome

    def _forget(self, visit: Visit) -> None:
        if visit.client_told:
            self._clients.leave(visit.client_told)
            visit.client_told = ""

    async def stream(self, link: Link) -> socket.socket:
        """What leads to a process.

        Raises:
            Unreachable: too many wait for one.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            for each in (ours, theirs):
                each.setblocking(False)
            for _ in range(MOST_TRIES):
                if hand_on(self._putting, theirs.fileno(), link.said):
                    return ours
                await asyncio.sleep(FULL_S)
        ours.close()
        raise Unreachable(f"{self._service} cannot be reached: too many wait for it")

    def left(self, link: Link) -> None:
        """A connection is gone."""
        if isinstance(link, Visit) and link in self._visits:
            self._sources.leave(self._visits.pop(link))
            self._forget(link)

    def cut(self, key_id: str) -> None:
        """End what goes on under a key."""
        for visit in [visit for visit in self._visits if visit.key_id == key_id]:
            visit.abort()

    def close(self) -> None:
        """Let nobody in any more; those that are there end as their processes do."""
        self._listening.close()
        for task in [*self._tasks]:
            task.cancel()
        self._listener.close()
        self._putting.close()

    def abort(self) -> None:
        """Cut all connections."""
        for visit in [*self._visits]:
            visit.abort()
