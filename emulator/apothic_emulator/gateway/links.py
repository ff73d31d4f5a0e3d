"""One connection of a client, and the stream that it is passed on by."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any, Protocol

from apothic_emulator.executors.web.callers import NOTHING, Caller
from apothic_emulator.executors.web.hosts import allowed

UNREACHED = b"HTTP/1.1 502 Bad Gateway\r\n"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n"


def answer(status: bytes, why: str, kind: str = "text/plain; charset=utf-8") -> bytes:
    """A whole answer, after which nothing comes."""
    body = f"{why}\n".encode()
    head = f"content-type: {kind}\r\nconnection: close\r\n".encode()
    return b"%b%bcontent-length: %d\r\n\r\n%b" % (status, head, len(body), body)


class Unreachable(Exception):
    """There is no process to pass a connection on to, and there will be none."""


class Streams(Protocol):
    """Where streams come from."""

    async def stream(self, link: Link) -> socket.socket:
        """A stream to a process.

        Raises:
            Unreachable: there is none.
        """
        ...

    def left(self, link: Link) -> None:
        """A connection is gone."""
        ...


class Side(asyncio.Protocol):
    """One end: what comes here is written to the other, as fast as that is taken there."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.transport: Any = None
        self.other: Any = None
        """The transport of the other end."""
        self.is_over = False
        """Whether nothing more will come here."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        self.other.write(data)

    def pause_writing(self) -> None:
        """What the other end says cannot be taken here."""
        if self.other is not None and not self.other.is_closing():
            self.other.pause_reading()

    def resume_writing(self) -> None:
        """It can be again."""
        if self.other is not None and not self.other.is_closing():
            self.other.resume_reading()

    def eof_received(self) -> bool:
        """It says no more, and may still hear."""
        self.is_over = True
        return self.link.said_all(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone; so is the other, once it has all that was said, or at once if this broke."""
        self.link.lost(self, is_broken=exc is not None)


class Client(Side):
    """The end of the client. Until there is a stream, what it says is kept, a little of it."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there: have a stream made."""
        super().connection_made(transport)
        self.link.begin()

    def data_received(self, data: bytes) -> None:
        """Pass it on, or keep it until that can be done."""
        if self.other is None:
            self._early.append(data)
            self.transport.pause_reading()
        else:
            self.other.write(data)

    def join(self, other: Any) -> None:
        """There is a stream."""
        self.other = other
        other.writelines(self._early)
        self._early.clear()
        if self.is_over:
            other.write_eof()
        else:
            self.transport.resume_reading()


class Service(Side):
    """The end of the stream."""

    has_answered = False

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        self.has_answered = True
        self.other.write(data)


class Link:
    """Both ends."""

    def __init__(self, streams: Streams, said: bytes = NOTHING) -> None:
        self.agent: int | None = None
        """Where it is passed on to."""
        self.client, self.service = self.make_client(), self.make_service()
        self._streams = streams
        self._reaching: asyncio.Task[None] | None = None
        self._said = said

    def make_client(self) -> Client:
        """The end of the client."""
        return Client(self)

    def make_service(self) -> Service:
        """The end of the stream."""
        return Service(self)

    @property
    def said(self) -> bytes:
        """What is said of the client where the connection itself does not."""
        if self._said != NOTHING:
            return self._said
        peer = self.client.transport.get_extra_info("peername") or ("127.0.0.1", 0)
        return Caller("http", peer[0], peer[1], allowed()).said()

    def begin(self) -> None:
        """Somebody has connected."""
        self._reaching = asyncio.get_running_loop().create_task(self._reach())

    async def _reach(self) -> None:
        client = self.client.transport
        try:
            stream = await self._streams.stream(self)
        except Unreachable as error:
            client.write(answer(UNAVAILABLE, str(error)))
            client.close()
            return
        self.service.other = client
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: self.service, stream)
        if client.is_closing():
            self.service.transport.close()
        else:
            self.client.join(self.service.transport)

    def said_all(self, side: Side) -> bool:
        """An end says no more; whether it is kept open to hear the rest."""
        if side is self.service:
            if not self.service.has_answered:
                self._apologise()
            return False  # an answer that ends with its connection
        if side.other is not None and not side.other.is_closing():
            side.other.write_eof()
        return True

    def lost(self, side: Side, *, is_broken: bool) -> None:
        """An end is gone."""
        if self._reaching is not None:
            self._reaching.cancel()
        if side is self.service and not self.service.has_answered:
            self._apologise()
            is_broken = False
        other = (self.client if side is self.service else self.service).transport
        if other is not None:
            if is_broken:
                other.abort()
            else:
                other.close()
        self._streams.left(self)

    def _apologise(self) -> None:
        """Tell the client that there comes no answer, of which it has heard nothing yet."""
        client = self.client.transport
        if not client.is_closing():
            client.write(answer(UNREACHED, "the process of this service is gone"))
            client.close()

    def abort(self) -> None:
        """Cut it."""
        if self._reaching is not None:
            self._reaching.cancel()
        for side in (self.client, self.service):
            if side.transport is not None:
                with contextlib.suppress(OSError):
                    side.transport.abort()
