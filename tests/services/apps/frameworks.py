"""Applications of frameworks, for the tests to ask."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from apothic import App

app = App("frameworks")


class Point(BaseModel):
    x: int
    y: int = 0


@app.fastapi_endpoint()
def square(x: int) -> dict[str, int]:
    return {"square": x * x}


@app.fastapi_endpoint(method="POST", docs=True)
def move(point: Point) -> Point:
    return Point(x=point.y, y=point.x)


@app.wsgi_app(concurrent_requests=2)
def flask() -> Any:
    from flask import Flask, request

    made = Flask(__name__)

    @made.post("/size")
    def size() -> dict[str, int]:
        return {"size": len(request.get_data())}

    @made.get("/lines")
    def lines() -> Iterator[str]:
        return (f"{n}\n" for n in range(3))

    return made


def _unread(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"no need"]


def _replaced(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    try:
        int("on second thoughts")
    except ValueError as error:
        start_response("503 Busy", [], (type(error), error, error.__traceback__))
    return [b"later"]


def _broken_off(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"half"
    raise RuntimeError("it broke off")


def _first_line(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    body: io.BufferedReader = environ["wsgi.input"]
    return [body.readline()]


def _written(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    write = start_response("200 OK", [])
    write(b"by ")
    return [b"hand"]


def _environ(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    names = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "HTTP_X_WORD", "SERVER_PROTOCOL")
    return [" ".join(environ[name] for name in names).encode("latin-1")]


def _endless(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [])
    while True:
        yield b"x" * 65536


_ROUTES = {
    "/unread": _unread,
    "/replaced": _replaced,
    "/broken": _broken_off,
    "/line": _first_line,
    "/written": _written,
    "/endless": _endless,
}


@app.wsgi_app()
def plain() -> Any:
    def route(environ: dict[str, Any], start_response: Any) -> Any:
        return _ROUTES.get(environ["PATH_INFO"], _environ)(environ, start_response)

    return route


@app.wsgi_app()
def none() -> Any:
    return 3


@app.asgi()
def odd() -> Any:
    async def serve(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        if scope["path"] == "/early":
            await send({"type": "http.response.body", "body": b"too early"})
        if scope["path"] == "/silent":
            return
        if scope["path"] == "/unknown":
            await send({"type": "http.response.nonsense"})
        if scope["path"] == "/header":
            broken = [(b"x", b"a\r\nset-cookie: b")]
            await send({"type": "http.response.start", "status": 200, "headers": broken})
        if scope["path"] == "/raises":
            raise RuntimeError("it cannot begin")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/broken":
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise RuntimeError("it broke off")
        chunk = b"x" * (1 << 20)
        for _ in range(int(scope["query_string"])):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": _peak()})

    return serve


def _peak() -> bytes:
    """The most memory that this process has had, in kB."""
    import resource

    return b"%d" % resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@app.asgi()
def fails() -> Any:
    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise RuntimeError("no database")

    return serve


@app.asgi(service_startup_timeout_s=0.5)
def hangs() -> Any:
    async def serve(scope: Any, receive: Any, send: Any) -> None:
        while True:
            await receive()

    return serve
