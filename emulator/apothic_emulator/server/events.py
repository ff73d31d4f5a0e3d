"""`GET /v1/events`: what happens to a topic, as server-sent events.

Each has the position after it as its id, so that a browser, or anybody who sends `Last-Event-ID`,
goes on where it was; `?after=` serves the first connection. Nothing is kept for a watcher: it reads
the log from its own position, a few events at a time, and one that takes nothing for ten seconds is
cut off. Whoever comes back too late is told by `stream.reset`, followed by a snapshot. Of several
events at one position the last alone has an id, so that nobody goes on halfway through a snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs

from anyio import fail_after

from apothic_backends.base import Backend
from apothic_backends.commands import ReadEvents
from apothic_backends.model.errors import ApothicError, UsageError
from apothic_backends.model.events import Cursor, Event, EventBatch
from apothic_backends.ticket import Ticket
from apothic_emulator.server import shapes
from apothic_emulator.server.guard import ABORT, CALLER, Receive, Scope, Send
from apothic_emulator.server.problems import body_of, encode, status_of
from apothic_emulator.server.rules import values
from apothic_emulator.server.site import Site
from apothic_emulator.server.waits import until_hung_up

PATH = "/v1/events"
AT_ONCE = 100
"""Events that are read at a time."""

PIECE = 64 << 10
"""Bytes that are sent as one, unless a single event has more."""

FIRST_S = 0.05
"""How long an error may take to come that is told as a status; later ones are events."""

WRITE_S = 10.0
"""How long a watcher may take nothing."""

_PARAMETERS = frozenset({"topic", "after", "snapshot", "key", "prefix"})
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-accel-buffering", b"no"),
]


class EventsRoute:
    """The ASGI application that streams events."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until either side ends it."""
        self._site.count(PATH)
        stream = _Stream(self._site, scope, send)
        ticket: Ticket[EventBatch] | None = None
        try:
            asked = asked_for(scope)
            backend = (await self._site.account(scope[CALLER])).backend
            ticket = backend.start(asked)
            if await self._site.waits.wait(ticket, FIRST_S) and ticket.done:
                ticket.result()  # a topic that there is not is an error, and no stream
        except ApothicError as error:
            await _refuse(send, error)
            return
        try:
            async with until_hung_up(receive):
                await stream.run(backend, asked, ticket)
        except* TimeoutError:
            scope.get("extensions", {}).get(ABORT, bool)()


class _Stream:
    """One watcher."""

    def __init__(self, site: Site, scope: Scope, send: Send) -> None:
        self._site = site
        self._send = send

    async def run(self, backend: Backend, asked: ReadEvents, ticket: Ticket[EventBatch]) -> None:
        """Send what comes, until nothing can follow."""
        await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await self._put(b": apothic\n\n")
        waits = self._site.waits
        try:
            while True:
                while not await waits.wait(ticket):
                    await self._put(b": ping\n\n")
                if not ticket.done:
                    await self._put(_last("shutdown"), more=False)
                    return
                batch = ticket.result()
                await self._put_events(batch.events)
                if batch.ended:
                    await self._put(b"", more=False)
                    return
                ticket = backend.start(asked.replace(after=batch.cursor, snapshot=False))
        except ApothicError as error:
            await self._put(b"event: error\ndata: " + body_of(error) + b"\n\n", more=False)
        finally:
            ticket.cancel()

    async def _put_events(self, events: Sequence[Event]) -> None:
        """Send events, several small ones as one piece."""
        pieces: list[bytes] = []
        size = 0
        for event, following in pairwise((*events, None)):
            assert event is not None
            is_place = following is None or event.cursor.seq < following.cursor.seq
            pieces.append(frame(event, is_place=is_place))
            size += len(pieces[-1])
            if size >= PIECE:
                await self._put(b"".join(pieces))
                pieces, size = [], 0
        if pieces:
            await self._put(b"".join(pieces))

    async def _put(self, piece: bytes, *, more: bool = True) -> None:
        """Send a piece.

        Raises:
            TimeoutError: the watcher takes nothing.
        """
        with fail_after(WRITE_S):
            await self._send({"type": "http.response.body", "body": piece, "more_body": more})


def frame(event: Event, *, is_place: bool) -> bytes:
    """An event as it stands in a stream, with its id if one can go on there."""
    place = b"id: %s\n" % str(event.cursor).encode() if is_place else b""
    told = encode(shapes.write(event.data))
    return b"%sevent: %s\ndata: %s\n\n" % (place, event.event.encode(), told)


def _last(reason: str) -> bytes:
    """The end of a stream that will go on elsewhere: without an id, so that the position stays."""
    told = encode({"reason": reason, "retry_after_s": 1})
    return b"retry: 1000\nevent: stream.reset\ndata: " + told + b"\n\n"


def asked_for(scope: Scope) -> ReadEvents:
    """What a request asks for.

    Raises:
        UsageError: it asks for nothing that there could be.
    """
    try:
        given = parse_qs(scope["query_string"].decode("ascii"), strict_parsing=False)
    except ValueError as error:
        raise UsageError(f"the query cannot be read: {error}") from None
    unknown = sorted(given.keys() - _PARAMETERS)
    if unknown:
        raise UsageError(f"there is no parameter {unknown[0]!r:.60}")
    resumed = values(scope["headers"], b"last-event-id")
    after = _one(given, "after", "") if not resumed else resumed[0]
    is_snapshot = _one(given, "snapshot", "false")
    if is_snapshot not in ("true", "false"):
        raise UsageError("snapshot is true or false")
    return ReadEvents(
        topic=_one(given, "topic", "jobs"),
        after=Cursor.parse(after) if after else None,
        limit=AT_ONCE,
        snapshot=is_snapshot == "true" and not after,
        keys=tuple(given.get("key", ())),
        prefix=_one(given, "prefix", ""),
    )


def _one(given: dict[str, list[str]], name: str, default: str) -> str:
    said: Any = given.get(name, [default])
    if len(said) != 1:
        raise UsageError(f"{name} stands there {len(said)} times")
    return str(said[0])


async def _refuse(send: Send, error: ApothicError) -> None:
    body = body_of(error)
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status_of(error), "headers": headers})
    await send({"type": "http.response.body", "body": body})
