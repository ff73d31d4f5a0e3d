"""Serves a fake over HTTP on this machine, on a port that is free."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Protocol


class Reply(NamedTuple):
    """An answer; without a status there is none, and the connection ends.

    A body that is neither text nor bytes is sent as JSON; one that is None is empty, and one that
    is an iterator is sent piece by piece.
    """

    status: int | None
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()


class Handles(Protocol):
    """What answers requests, from any thread."""

    url: str

    def handle(
        self, method: str, path: str, query: str, headers: Mapping[str, str], content: bytes
    ) -> Any:
        """Answer a request: something with `status`, `body` and `headers`, as `Reply` has them."""
        ...

    def close(self) -> None:
        """It ends: nobody waits any more."""
        ...


def _encoded(body: Any) -> bytes:
    if body is None:
        return b""
    if isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body)).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    fake: Handles

    def _do(self) -> None:
        path, _, query = self.path.partition("?")
        content = self._content()
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.fake.handle(self.command, path, query, headers, content)
        if reply.status is None:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        if isinstance(reply.body, Iterator):
            self._stream(reply.body)
            return
        body = _encoded(reply.body)
        if "content-length" not in {name.lower() for name, _ in reply.headers}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _stream(self, pieces: Iterator[bytes]) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def _content(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", "0")))
        pieces: list[bytes] = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _do  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever hung up has what they wanted; anything else is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def served(fake: Any) -> Generator[Any]:
    """The fake, with its `url`; it ends with the block."""
    handler = type("Handler", (_Handler,), {"fake": fake})
    server = _Server(("127.0.0.1", 0), handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    serve = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    serve.start()
    try:
        yield fake
    finally:
        fake.close()
        server.shutdown()
        serve.join()
        server.server_close()
