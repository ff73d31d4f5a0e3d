"""Forwards connections to a server of the user's, byte by byte, both ways.

    client ◄──► Side ─ Link ─ Side ◄──► the user's server

The server is reached before anything is read of what a client says: if it has gone by then, clients
are handed on to the process that is started in its place.

Nothing is read that the other side cannot take. Either side may end its half and still hear the
other. What is said is not looked into, but for two things: for which host the first request is, if
it is one, since a page of somebody else's may make it; and whether an answer has no end of its own,
which WebSockets and event streams have not; those are not waited for.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from apothic_emulator.executors.web.callers import ANY, read
from apothic_emulator.executors.web.door import Door
from apothic_emulator.executors.web.hosts import MOST_HEAD, REFUSED, allowed, hosts_in, is_known
from apothic_emulator.executors.web.ports import Address

QUIET_S = 1.0
"""After so long without a byte, what was answered is taken to be between two requests."""

LOOK_S = 0.02
"""How often it is looked, at the end, whether a connection can go."""

REFUSE_S = 1.0
"""How long somebody who is refused may take to hear it."""


def _answer(status: bytes, why: str) -> bytes:
    said = b"HTTP/1.1 %b\r\ncontent-type: text/plain\r\nconnection: close\r\n" % status
    return b"%bcontent-length: %d\r\n\r\n%b\n" % (said, len(why) + 1, why.encode())


_GONE = _answer(b"502 Bad Gateway", "the server of this service is gone")
_STRANGE = _answer(b"403 Forbidden", REFUSED)
_TOO_LARGE = _answer(b"431 Request Header Fields Too Large", "the head of the request is too large")
_SWITCHED = b"HTTP/1.1 101"
_STREAM = b"text/event-stream"
_HEAD = 4096
"""Where the head of an answer is looked for what it is, in bytes."""


class Side(asyncio.Protocol):
    """One end of a link: what comes here is written to the other."""

    transport: Any = None
    is_over = False
    """Whether nothing more will come here."""

    def __init__(self, link: Link, *, is_client: bool) -> None:
        self._early: list[bytes] = []
        """What has come before there was somewhere to write it; nothing more is read then."""
        self._link = link
        self._is_client = is_client

    @property
    def _other(self) -> Side:
        return self._link.server if self._is_client else self._link.client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        self.transport = transport
        self._link.made(self)

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        if self._is_client and not self._link.is_let_in:
            data = self._link.look(data)
            if not data:
                return
        self._link.passes(data, is_asking=self._is_client)
        other = self._other.transport
        if other is not None:
            other.write(data)
        elif not self._other.is_over:
            self.transport.pause_reading()  # uvloop begins to read in spite of the first time
            self._early.append(data)

    def join(self) -> None:
        """The other is there: go on."""
        other = self._other.transport
        other.writelines(self._early)
        self._early.clear()
        if self.transport.is_closing():
            other.close()
        elif self.is_over:
            other.write_eof()
        else:
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        """The other is to wait: what it sends cannot be taken here."""
        other = self._other.transport
        if other is not None and not self._other.is_over:
            other.pause_reading()

    def resume_writing(self) -> None:
        """The other may go on."""
        other = self._other.transport
        if other is not None and not other.is_closing() and not self._other.is_over:
            other.resume_reading()

    def eof_received(self) -> bool:
        """It says no more, and may still hear."""
        self.is_over = True
        other = self._other
        if self._is_client and not self._link.is_let_in and other.transport is not None:
            other.transport.write(self._link.let_in())
        if other.is_over:
            self._link.close()
        elif other.transport is not None and not other.transport.is_closing():
            other.transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone; so is the other, once it has all that was said, or at once if this broke."""
        self._link.lost(self._other, is_broken=exc is not None)


class Link:
    """One connection, and the one to the user's server that it is forwarded by."""

    def __init__(self, forwarder: Forwarder, hosts: tuple[str, ...] = (ANY,)) -> None:
        """For which `hosts` the client may ask, beside this machine's own."""
        self.is_let_in = ANY in hosts
        """Whether it has said for whom it comes, and that is here."""
        self._hosts, self._begun, self._is_refused = hosts, b"", False
        self.client = Side(self, is_client=True)
        self.server = Side(self, is_client=False)
        self.has_no_end = False
        """Whether what it is in the middle of never ends by itself."""
        self._forwarder = forwarder
        self._is_asked = True
        self._at = forwarder.loop.time()

    async def reach(self) -> bool:
        """Connect to the user's server, if that is still there."""
        host, port = self._forwarder.target
        try:
            await self._forwarder.loop.create_connection(lambda: self.server, host, port)
        except OSError:
            return False
        return True

    def made(self, side: Side) -> None:
        """A side is there; the server's waits for the other."""
        if side is self.server:
            side.transport.pause_reading()
            return
        self._forwarder.links.add(self)
        if self.server.transport is None:
            self._refuse(_GONE)
        else:
            self.server.join()

    def look(self, data: bytes) -> bytes:
        """What may be passed on by now of what the client says first."""
        if self._is_refused:
            return b""
        self._begun += data
        hosts = hosts_in(self._begun)
        if hosts is None and len(self._begun) <= MOST_HEAD:
            return b""
        if hosts is not None and all(is_known(host, self._hosts) for host in hosts):
            return self.let_in()
        self._refuse(_TOO_LARGE if hosts is None else _STRANGE)
        return b""

    def let_in(self) -> bytes:
        """Look no further; what has been kept of what the client has said, for that."""
        begun, self._begun, self.is_let_in = self._begun, b"", True
        return begun

    def _refuse(self, answer: bytes) -> None:
        """Say why, and hear what is asked: who is cut off may not hear that."""
        self._is_refused = self.server.is_over = True
        if self.server.transport is not None:
            self.server.transport.abort()
        self.client.transport.write(answer)
        self.client.transport.write_eof()
        self._forwarder.loop.call_later(REFUSE_S, self.close)

    def passes(self, data: bytes, *, is_asking: bool) -> None:
        """Something passes."""
        self._at = self._forwarder.idle_since = self._forwarder.loop.time()
        if is_asking:
            self._is_asked = True
        elif self._is_asked:
            self._is_asked = False
            head = data[:_HEAD]
            self.has_no_end |= head.startswith(_SWITCHED) or _STREAM in head.lower()

    def is_busy(self, now: float) -> bool:
        """Whether something is under way that ends by itself."""
        return not self.has_no_end and (self._is_asked or now - self._at < QUIET_S)

    def is_open(self, now: float) -> bool:
        """Whether something is under way at all."""
        return self.has_no_end or self.is_busy(now)

    def lost(self, other: Side, *, is_broken: bool) -> None:
        """A side is gone."""
        if self._is_refused and other is self.client:
            return  # which hears why, and goes
        if other.transport is not None:
            if is_broken:
                other.transport.abort()
            else:
                other.transport.close()
        self._forwarder.left(self)

    def close(self) -> None:
        """Both sides have said all."""
        for side in (self.client, self.server):
            if side.transport is not None:
                side.transport.close()

    def abort(self) -> None:
        """Cut it."""
        for side in (self.client, self.server):
            if side.transport is not None:
                side.transport.abort()


class Forwarder:
    """Takes connections from a service's door, and forwards them to `target`."""

    def __init__(self, target: Address) -> None:
        self.target = target
        self.loop = asyncio.get_running_loop()
        self.links: set[Link] = set()
        self.idle_since = self.loop.time()
        """When something last passed."""
        self.has_served = False
        """Whether there was a connection."""
        self.is_gone = asyncio.Event()
        """Whether the user's server was not there any more."""
        self.hosts = allowed()
        """By which names it is known that are not this machine's own."""
        self._door: Door

    @property
    def is_needed(self) -> bool:
        """Whether something is under way on a connection, or one is about to be there."""
        now = self.loop.time()
        return bool(self._door.coming) or any(link.is_open(now) for link in self.links)

    @property
    def busy(self) -> int:
        """Connections on which something is under way that will end by itself."""
        now = self.loop.time()
        return self._door.coming + sum(link.is_busy(now) for link in self.links)

    def listen(self, fds: list[int]) -> None:
        """Take connections from a door."""
        self._door = Entrance(fds, self)

    @property
    def is_empty(self) -> bool:
        """Whether nobody is there, or about to be."""
        return not self.links and not self._door.coming

    def left(self, link: Link) -> None:
        """A connection is gone."""
        self.links.discard(link)

    def close(self) -> None:
        """Take no more connections."""
        self._door.close()

    def abort(self) -> None:
        """Cut off what is left, and leave the door."""
        self._door.leave()
        for link in [*self.links]:
            link.abort()


class Entrance(Door):
    """A door behind which the user's server is reached before a connection is made."""

    def __init__(self, fds: list[int], forwarder: Forwarder) -> None:
        self._forwarder = forwarder
        super().__init__(fds, lambda _: Link(forwarder).client)

    async def meet(self, taken: socket.socket, said: bytes) -> None:
        """Forward a connection, or hand it on where the user's server is gone.

        A server that has never been there would be gone from the next process, too, for ever.

        Raises:
            OSError: whoever was there has gone.
        """
        its = self._forwarder
        caller = read(said)
        link = Link(its, its.hosts if caller is None else caller.hosts)
        if not await link.reach():
            its.is_gone.set()
            self.close()
            if not its.has_served or not self.pass_on(taken, said):
                await super().meet(taken, said)
            return
        its.has_served = True
        try:
            await its.loop.connect_accepted_socket(lambda: link.client, taken)
        except OSError:
            link.close()
            raise
