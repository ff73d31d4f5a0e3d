"""Endpoints, for the tests to ask."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from apothic import App

app = App("endpoints")


@dataclass
class Item:
    name: str
    count: int = 1


@app.endpoint()
def ask(n: int, tags: list[str] | None = None) -> dict[str, Any]:
    """Say what came."""
    return {"n": n, "tags": tags}


@app.endpoint(methods=["PUT"])
async def put(item: Item) -> list[Item]:
    return [item, item]


@app.endpoint()
async def raw(request: Request) -> Response:
    return PlainTextResponse(request.headers["x-word"].encode() + await request.body(), 201)


@app.endpoint()
async def both(n: int, request: Request) -> str:
    return f"{n} {(await request.body()).decode()}"


@app.endpoint()
def thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@app.endpoint()
async def loop() -> bool:
    return threading.current_thread() is threading.main_thread()


@app.endpoint()
def broken(status: int = 0) -> None:
    if status:
        why: Any = {"why": "teapot"}
        raise HTTPException(status, why, headers={"x-tea": "green"})
    raise RuntimeError("it is broken")


@app.endpoint()
def numbers(count: int, fails: bool = False) -> Iterator[dict[str, int]]:
    for n in range(count):
        yield {"n": n}
    if fails:
        raise RuntimeError("it broke off")


@app.endpoint()
async def forever(pid: bool = False) -> AsyncIterator[bytes]:
    chunk = (b"%d" % os.getpid()) if pid else b"x" * 65536
    while True:
        yield chunk
