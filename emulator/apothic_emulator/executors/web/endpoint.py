"""`@app.endpoint`: a function answers each request.

    request ─► arguments (422 says what is wrong) ─► the function ─► response

It answers at `/`, and what describes it is at `/openapi.json`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import msgspec
from anyio import to_thread
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from apothic_emulator.executors.web.binding import MISSING, Parameters, bind, parameters_of
from apothic_emulator.executors.web.lifespan import App
from apothic_emulator.executors.web.openapi import document
from apothic_emulator.executors.web.results import problem_json, response_of, to_json

METHODS = ("GET", "POST")
"""What is answered where nothing is said."""

WITH_BODY = frozenset({"PATCH", "POST", "PUT"})

MOST_BODY = 64 << 20
"""The largest body that arguments are read from, in bytes; a function that takes the request alone
reads what it likes."""

MOST_THREADS = 256
"""Requests that functions without `async` answer at once."""


async def endpoint(function: Callable[..., Any], spec: dict[str, Any]) -> App:
    """The application of an endpoint.

    Raises:
        NotBindable: the function takes what no request can hold.
    """
    methods = tuple(spec["service"]["methods"]) or METHODS
    answers = Endpoint(function, methods)
    use_threads(spec["slots"])
    described = to_json(document(function, answers.takes, spec["name"], methods))

    async def openapi(_: Request) -> Response:
        return Response(described, media_type="application/json")

    handlers: Any = {HTTPException: _told, Exception: _failed}
    routes = [
        Route("/", answers.answer, methods=[*methods, "OPTIONS"]),
        Route("/openapi.json", openapi),
    ]
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app


def use_threads(count: int) -> None:
    """Have so many requests answered on threads at once."""
    to_thread.current_default_thread_limiter().total_tokens = min(count, MOST_THREADS)


class Endpoint:
    """One function, and how it is called for a request."""

    def __init__(self, function: Callable[..., Any], methods: tuple[str, ...]) -> None:
        self.takes: Parameters = parameters_of(function)
        self._function = function
        self._methods = methods
        plain = inspect.unwrap(function)
        self._is_on_loop = inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain)

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        if request.method == "OPTIONS" and "OPTIONS" not in self._methods:
            more = {"HEAD"} if "GET" in self._methods else set[str]()
            allowed = ", ".join(sorted({*self._methods, "OPTIONS"} | more))
            return Response(status_code=204, headers={"allow": allowed})
        arguments, problems = await self._arguments(request)
        if problems:
            return problem_json(422, [problem._asdict() for problem in problems])
        value = await self._call(arguments)
        return await response_of(value, request.headers.get("accept", ""))

    async def _arguments(self, request: Request) -> tuple[dict[str, Any], list[Any]]:
        has_body = request.method in WITH_BODY
        arguments: dict[str, Any] = {}
        problems: list[Any] = []
        if self.takes.are_bound:
            body = b""
            if has_body:
                body = await _read(request)
                request = _again(request, body)
            query = {name: request.query_params.getlist(name) for name in request.query_params}
            bound = bind(self.takes, query, _parsed(request, body), has_body=has_body)
            arguments, problems = bound.arguments, bound.problems
        arguments |= dict.fromkeys(self.takes.requests, request)
        return arguments, problems

    async def _call(self, arguments: dict[str, Any]) -> Any:
        if not self._is_on_loop:
            return await run_in_threadpool(self._function, **arguments)
        value = self._function(**arguments)
        return await value if inspect.isawaitable(value) else value


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY:
            raise HTTPException(413, f"the body has more than {MOST_BODY} bytes")
    return bytes(body)


def _again(request: Request, body: bytes) -> Request:
    """The same request, whose body has been read, for whoever reads it again."""
    messages: list[Any] = [{"type": "http.request", "body": body}]

    async def receive() -> Any:
        return messages.pop() if messages else await request.receive()

    return Request(request.scope, receive)


def _parsed(request: Request, body: bytes) -> Any:
    if not body:
        return MISSING
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and "+json" in kind):
        raise HTTPException(
            415,
            f"the body is {kind or 'of no type'}; it is read as JSON: send it with "
            "Content-Type: application/json",
        )
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HTTPException(400, f"the body is no JSON that can be read: {error}") from error


def _told(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code in (204, 304):
        return Response(status_code=error.status_code, headers=error.headers)
    return problem_json(error.status_code, error.detail, error.headers)


def _failed(_request: Request, _error: Exception) -> Response:
    """Say no more than that: what was raised is in the log of the service."""
    return problem_json(500, "Internal Server Error")
