"""Requests of strangers: read strictly, looked at one by one, and written anew for the service.

What is passed on is what was understood, so that the service cannot understand something else. A
key is taken away, and so is whatever claims to say where a request comes from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httptools

from apothic_emulator.gateway.heads import BAD, MOST_HEAD, TOO_LARGE, Head, Headers, read
from apothic_emulator.gateway.public import Refused

_NO_HEAD = -(1 << 62)
"""In place of the size of a head, while what comes is a body."""


class Requests:
    """Those of one connection. `look` is asked before anything of a request is passed on."""

    def __init__(self, look: Callable[[str, Headers], Headers]) -> None:
        """`look` takes a token and all headers, and gives what is added; or it raises `Refused`."""
        self._look = look
        self._parser: Any = httptools.HttpRequestParser(self)
        self._out: list[bytes] = []
        self._head = Head([], "", is_chunked=False, is_websocket=False)
        self._url = b""
        self._headers: Headers = []
        self._size = 0
        self._refused: Refused | None = None
        self.is_in_head = False
        """Whether a request has begun whose head is not here yet."""
        self.count = 0
        """Requests that have begun."""
        self.is_in_body = False
        """Whether a body is to come, or more of it."""
        self.body = 0
        """Bytes of it that have come."""
        self.is_switching = False
        """Whether the last request is to open a WebSocket: what follows is for that, if it does."""
        self.rest = b""
        """What has come after such a request."""

    def feed(self, data: bytes) -> bytes:
        """What is to be passed on of what has come.

        Raises:
            Refused: a request is not to be carried out, and none after it.
        """
        self._size += len(data)
        self._parse(data)
        if self._refused is None and self.is_in_head and self._size > MOST_HEAD:
            self._refused = TOO_LARGE
        out, self._out = b"".join(self._out), []
        if self._refused is not None and not out:
            raise self._refused
        return out

    @property
    def refused(self) -> Refused | None:
        """Why the latest request is not carried out, after those that were passed on."""
        return self._refused

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._parser = httptools.HttpRequestParser(self)
            rest = data[upgrade.args[0] :]
            if self._head.is_websocket:
                self.is_switching, self.rest = True, rest
            elif rest:
                self._parse(rest)
        except httptools.HttpParserError:
            self._refused = self._refused or BAD

    def go_on(self) -> bytes:
        """No WebSocket was opened: what has come since is another request.

        Raises:
            Refused: it is not to be carried out.
        """
        rest, self.rest, self.is_switching = self.rest, b"", False
        return self.feed(rest)

    # --- called by the parser -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url, self._headers, self.is_in_head = b"", [], True
        self.count += 1

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Its head is here.

        Raises:
            Refused: it is not carried out; the parser ends with that.
        """
        self.is_in_head, self._size = False, _NO_HEAD
        try:
            self._out.append(self._begun())
            self.is_in_body, self.body = True, 0
        except Refused as refused:
            self._refused = refused
            raise

    def _begun(self) -> bytes:
        parser = self._parser
        if sum(len(n) + len(v) + 4 for n, v in self._headers) + len(self._url) > MOST_HEAD:
            raise TOO_LARGE
        version, method = parser.get_http_version(), parser.get_method()
        is_whole = self._url.startswith(b"/") or (method, self._url) == (b"OPTIONS", b"*")
        if not is_whole or version not in ("1.0", "1.1"):
            raise BAD
        head = read(self._headers, version, is_upgrade=parser.should_upgrade())
        added = self._look(head.token, self._headers)
        self._head = head
        lines = [b"%b: %b\r\n" % pair for pair in (*head.headers, *added)]
        line = b"%b %b HTTP/%b\r\n" % (method, self._url, version.encode())
        return b"".join([line, *lines, b"\r\n"])

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        self.body += len(body)
        self._out.append(b"%x\r\n%b\r\n" % (len(body), body) if self._head.is_chunked else body)

    def on_message_complete(self) -> None:
        """All of it is here."""
        self._size, self.is_in_body = 0, False
        if self._head.is_chunked:
            self._out.append(b"0\r\n\r\n")
