"""What becomes of what endpoints return and yield."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel
from starlette.responses import PlainTextResponse, StreamingResponse

from apothic_emulator.executors.web.results import response_of, to_json


@dataclass
class Item:
    name: str


class Model(BaseModel):
    n: int


class Array:
    def tolist(self) -> list[int]:
        return [1, 2]


@pytest.fixture
def anyio_backend() -> str:
    """The loop that servers run."""
    return "asyncio"


async def said(value: Any, accept: str = "") -> tuple[str | None, bytes]:
    response = await response_of(value, accept)
    if not isinstance(response, StreamingResponse):
        return response.media_type, bytes(response.body)
    return response.media_type, b"".join([bytes(x) async for x in response.body_iterator])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "json"),
    [
        (None, b"null"),
        ("text", b'"text"'),
        (Item("a"), b'{"name":"a"}'),
        ([Model(n=1)], b'[{"n":1}]'),
        (Array(), b"[1,2]"),
        (datetime(2024, 2, 29, tzinfo=UTC), b'"2024-02-29T00:00:00Z"'),
        ({1: {2}}, b'{"1":[2]}'),
    ],
)
async def test_a_value_is_sent_as_json(value: Any, json: bytes) -> None:
    assert await said(value) == ("application/json", json)


async def test_bytes_are_sent_as_they_are() -> None:
    assert await said(b"\0x") == ("application/octet-stream", b"\0x")


async def test_a_response_is_sent_as_it_is() -> None:
    response = PlainTextResponse("x", 201)

    assert await response_of(response, "") is response


def test_what_has_no_json_is_named() -> None:
    with pytest.raises(NotImplementedError, match="cannot send a object"):
        to_json(object())


def texts() -> Iterator[str]:
    yield "a"
    yield "b"


async def values() -> AsyncIterator[dict[str, int]]:
    yield {"n": 1}
    yield {"n": 2}


async def test_text_that_is_yielded_is_streamed_as_it_is() -> None:
    assert await said(texts()) == ("text/plain", b"ab")


async def test_values_that_are_yielded_are_lines_of_json() -> None:
    assert await said(values()) == ("application/jsonl", b'{"n":1}\n{"n":2}\n')


async def test_whoever_asks_for_events_gets_events() -> None:
    assert await said(values(), "text/event-stream") == (
        "text/event-stream",
        b'data: {"n":1}\n\ndata: {"n":2}\n\n',
    )


async def test_an_event_of_two_lines_is_one_event() -> None:
    def lines() -> Iterator[str]:
        yield "a\nb"

    assert (await said(lines(), "text/event-stream"))[1] == b"data: a\ndata: b\n\n"


async def test_nothing_yielded_is_an_empty_answer() -> None:
    assert await said(iter_nothing()) == ("text/plain", b"")


def iter_nothing() -> Iterator[str]:
    yield from ()


async def test_what_is_raised_before_the_first_item_is_raised_before_the_answer() -> None:
    def broken() -> Iterator[str]:
        yield str(1 // 0)

    with pytest.raises(ZeroDivisionError):
        await response_of(broken(), "")


async def test_a_stream_that_is_left_closes_its_generator() -> None:
    ended: list[bool] = []

    async def endless() -> AsyncIterator[str]:
        try:
            while True:
                yield "x"
        finally:
            ended.append(True)

    response = await response_of(endless(), "")
    assert isinstance(response, StreamingResponse)
    pieces: Any = response.body_iterator
    await anext(pieces)
    await pieces.aclose()

    assert ended == [True]
