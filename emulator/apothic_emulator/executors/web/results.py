"""Makes responses of what endpoints return and yield."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from inspect import isasyncgen, isgenerator
from typing import Any

import msgspec
from starlette.concurrency import iterate_in_threadpool
from starlette.responses import Response, StreamingResponse

_END: Any = object()
_EVENTS = "text/event-stream"

Encode = Callable[[Any], bytes]


async def response_of(value: Any, accept: str) -> Response:
    """The response for a value; `accept` is what the client says that it takes.

    Raises:
        TypeError: there is no JSON for it.
    """
    if isinstance(value, Response):
        return value
    if isasyncgen(value) or isgenerator(value):
        return await _streamed(value, accept)
    if isinstance(value, bytes | bytearray):
        return Response(bytes(value), media_type="application/octet-stream")
    return Response(to_json(value), media_type="application/json")


def to_json(value: Any) -> bytes:
    """A value as JSON: dataclasses, dates, enums, pydantic models, and arrays of NumPy, too.

    Raises:
        TypeError: there is no JSON for it.
    """
    return msgspec.json.encode(value, enc_hook=_plain)


def _plain(value: Any) -> Any:
    """What msgspec knows nothing of, in plain values."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "tolist"):
        return value.tolist()
    raise NotImplementedError(
        f"an endpoint cannot send a {type(value).__name__}: return what JSON has, or a Response"
    )


async def _streamed(items: Any, accept: str) -> Response:
    """Send each item when it comes; the first says of what kind they are.

    Whoever asks for events gets events. For others text and bytes go as they are, and anything
    else as a line of JSON. What is raised before the first item can still become an answer.
    """
    rest: AsyncGenerator[Any] = items if hasattr(items, "aclose") else _generator(items)
    first = await anext(rest, _END)
    if _EVENTS in accept:
        kind, encode = _EVENTS, _event
    elif first is _END or isinstance(first, str | bytes):
        kind, encode = _media_type(first), _as_is
    else:
        kind, encode = "application/jsonl", _line
    headers = {"cache-control": "no-store"} if kind == _EVENTS else None
    return StreamingResponse(_pieces(first, rest, encode), media_type=kind, headers=headers)


async def _generator(items: Any) -> AsyncGenerator[Any]:
    try:
        async for item in iterate_in_threadpool(items):
            yield item
    finally:
        items.close()


def _media_type(first: Any) -> str:
    return "application/octet-stream" if isinstance(first, bytes) else "text/plain"


async def _pieces(first: Any, rest: AsyncGenerator[Any], encode: Encode) -> AsyncIterator[bytes]:
    try:
        if first is not _END:
            yield encode(first)
        async for item in rest:
            yield encode(item)
    finally:
        await rest.aclose()


def _as_is(item: Any) -> bytes:
    return item.encode() if isinstance(item, str) else bytes(item)


def _line(item: Any) -> bytes:
    return to_json(item) + b"\n"


def _event(item: Any) -> bytes:
    """One event; text that has lines is one, too."""
    text = item if isinstance(item, str) else to_json(item).decode()
    return "".join(f"data: {line}\n" for line in text.split("\n")).encode() + b"\n"


def problem_json(status: int, detail: Any, headers: Any = None) -> Response:
    """An answer that says what went wrong."""
    body = json.dumps({"detail": detail}, ensure_ascii=False, default=str)
    return Response(body, status, media_type="application/json", headers=headers)
