"""What a request brings: JSON, of a bounded size, within a fair time."""

from __future__ import annotations

from typing import Any

from anyio import current_time, fail_after
from anyio.to_thread import run_sync

from apothic_emulator.gateway.paces import TOO_SLOW, Pace
from apothic_emulator.server import strict
from apothic_emulator.server.guard import Receive, Scope
from apothic_emulator.server.problems import TooLarge, TooSlow, Unsupported
from apothic_emulator.server.rules import values

MOST_AT_ONCE = 256 << 10
"""Bytes of a body that are read without leaving the loop: about 5 ms."""


class Gone(Exception):
    """Whoever asked has hung up."""


async def read_json(scope: Scope, receive: Receive, most: int) -> Any:
    """The JSON of a request; an empty body is an empty object.

    Raises:
        Unsupported: it is of another type, or encoded.
        TooLarge: it has more than `most` bytes; no more than those are read.
        TooSlow: a piece of it did not come in time.
        UsageError: it is no JSON that can be understood in one way.
        Gone: the other side has hung up.
    """
    _check_type(scope)
    body = await _read(scope, receive, most)
    if len(body) > MOST_AT_ONCE:
        return await run_sync(strict.parse, body)  # so that the others are served meanwhile
    return strict.parse(body) if body else {}


def _check_type(scope: Scope) -> None:
    """A page can send text and forms anywhere, but JSON only where it was allowed to."""
    kinds = values(scope["headers"], b"content-type")
    kind = kinds[0].partition(";")[0].strip().lower() if len(kinds) == 1 else ""
    if kind != "application/json":
        raise Unsupported("a body is JSON here: say `Content-Type: application/json`")
    if values(scope["headers"], b"content-encoding"):
        raise Unsupported("a body is sent as it is here, without Content-Encoding")


async def _read(scope: Scope, receive: Receive, most: int) -> bytes:
    told = values(scope["headers"], b"content-length")
    if told and told[0].isdigit() and int(told[0][:20]) > most:
        raise _too_large(most)
    parts: list[bytes] = []
    size, pace = 0, Pace(current_time())
    while True:
        try:
            with fail_after(pace.due(size) - current_time()):
                message = await receive()
        except TimeoutError:
            raise TooSlow(TOO_SLOW) from None
        if message["type"] == "http.disconnect":
            raise Gone
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size > most:
            raise _too_large(most)
        parts.append(piece)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"a body may have {most} bytes here; put large data into a volume", most=most)
