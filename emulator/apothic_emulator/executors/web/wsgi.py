"""`@app.wsgi_app`: a WSGI application, each of whose requests is answered on a thread.

Of the bridges that there are, one holds a whole body before the application sees it and answers one
request at a time, and the other waits for ever when a response breaks off. This one reads and sends
as the application does, so a body of any size takes no room, and stops when nobody listens.
"""

from __future__ import annotations

import inspect
import io
import sys
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import anyio
from anyio import CapacityLimiter, create_task_group, from_thread, to_thread

from apothic_emulator.executors.web.given import NoApplication, given
from apothic_emulator.executors.web.lifespan import App, Message

MOST_THREADS = 256
"""Requests that are answered at once, whatever is wished for; others wait."""

_PLAIN = frozenset({"content-length", "content-type"})

Receive = Callable[[], Coroutine[Any, Any, Message]]
Send = Callable[[Message], Coroutine[Any, Any, None]]


async def wsgi_app(function: Callable[..., Any], spec: dict[str, Any]) -> App:
    """The application that a function gives, for ASGI.

    Raises:
        NoApplication: it gave none.
        BaseException: what the function raised.
    """
    app: Any = await given(function)
    if not callable(app) or inspect.isclass(app) or not _takes_two(app):
        raise NoApplication(
            f"the function gave {app!r}, which is no WSGI app: those take environ and "
            "start_response. For an ASGI app there is @app.asgi()"
        )
    made: Any = Wsgi(app, spec["slots"])
    return made


def _takes_two(app: Any) -> bool:
    try:
        inspect.signature(app).bind(1, 2)
    except ValueError:
        return True  # what is written in C may not say
    except TypeError:
        return False
    return True


class Wsgi:
    """An ASGI application that asks a WSGI one."""

    def __init__(self, app: Callable[..., Any], threads: int) -> None:
        self._app = app
        self._limiter = CapacityLimiter(min(threads, MOST_THREADS))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            NotImplementedError: it is none; so it says that it knows no lifespan.
        """
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        exchange = Exchange(scope, receive, send)
        async with create_task_group() as tasks:
            tasks.start_soon(exchange.watch)
            await to_thread.run_sync(
                exchange.run, self._app, abandon_on_cancel=True, limiter=self._limiter
            )
            tasks.cancel_scope.cancel()


class Exchange:
    """One request and its answer, from the thread that makes it."""

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._head: Message | None = None
        """What was said to `start_response`, and is not sent."""
        self._has_begun = False
        self._is_gone = False
        """Whether nobody listens any more."""
        self._has_all = anyio.Event()
        """Whether all of the body has been read."""
        names = {bytes(name).lower() for name, _ in scope["headers"]}
        if not names & {b"content-length", b"transfer-encoding"}:
            self._has_all.set()

    async def watch(self) -> None:
        """See when nobody listens any more; until the body is read, whoever reads it sees that."""
        await self._has_all.wait()
        while not self._is_gone:
            self._is_gone = (await self._receive())["type"] == "http.disconnect"

    def run(self, app: Callable[..., Any]) -> None:
        """Have the application answer."""
        body: Any = io.BufferedReader(Body(self._more))
        chunks: Iterable[bytes] = app(environ_of(self._scope, body), self._start)
        try:
            for chunk in chunks:
                if self._is_gone:
                    return
                if chunk:
                    self._write(chunk)
            self._begin()
            self._tell({"type": "http.response.body", "body": b""})
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()

    def _more(self) -> bytes:
        """The next piece of the body; b"" after the last.

        Raises:
            ConnectionError: whoever sent it has gone before its end.
        """
        while not self._has_all.is_set():
            message = from_thread.run(self._receive)
            if message["type"] == "http.disconnect":
                self._is_gone = True
                raise ConnectionError("the client has gone before the end of the body")
            if not message.get("more_body"):
                from_thread.run_sync(self._has_all.set)
            if message.get("body"):
                return bytes(message["body"])
        return b""

    def _start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], None]:
        """`start_response`: nothing is sent before the first piece of the body, as is asked.

        Raises:
            BaseException: that of `exc_info`, if it is too late for another answer.
        """
        if exc_info is not None and self._has_begun:
            raise exc_info[1].with_traceback(exc_info[2])
        if exc_info is None and self._head is not None:
            raise AssertionError("start_response() was called twice, and without exc_info")
        self._head = {
            "type": "http.response.start",
            "status": int(status.split(" ", 1)[0]),
            "headers": [
                (name.strip().encode("latin-1").lower(), value.strip().encode("latin-1"))
                for name, value in headers
            ],
        }
        return self._write

    def _write(self, chunk: bytes) -> None:
        self._begin()
        self._tell({"type": "http.response.body", "body": chunk, "more_body": True})

    def _begin(self) -> None:
        if not self._has_begun:
            assert self._head is not None, "start_response() was not called"
            self._has_begun = True
            self._tell(self._head)

    def _tell(self, message: Message) -> None:
        from_thread.run(self._send, message)


class Body(io.RawIOBase):
    """The body of a request, as it comes."""

    def __init__(self, more: Callable[[], bytes]) -> None:
        self._more = more
        self._rest = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Give what is here, or wait for more; 0 at the end."""
        piece = self._rest or self._more()
        count = min(len(buffer), len(piece))
        buffer[:count] = piece[:count]
        self._rest = piece[count:]
        return count


def environ_of(scope: Message, body: Any) -> dict[str, Any]:
    """What a WSGI application is told of a request."""
    root = scope.get("root_path", "")
    host, port = scope.get("server") or ("127.0.0.1", 80)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": _as_latin(root),
        "PATH_INFO": _as_latin(scope["path"].removeprefix(root)),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port or 0),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": body,
        "wsgi.input_terminated": True,  # without a length, too, it has an end
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if scope.get("client"):
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = map(str, scope["client"])
    for raw, value in scope["headers"]:
        name = raw.decode("latin-1").lower()
        key = name.upper().replace("-", "_")
        key = key if name in _PLAIN else f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


def _as_latin(text: str) -> str:
    """Text as the specification of WSGI has it: each of its bytes a character."""
    return text.encode().decode("latin-1")
