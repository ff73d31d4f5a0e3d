"""Heads of requests of strangers: what they say, and what is passed on of it."""

from __future__ import annotations

from typing import NamedTuple

from apothic_emulator.gateway.public import Refused

MOST_HEAD = 64 << 10
"""The largest head of a request, in bytes."""

KEY = b"apothic-key"
"""The header of our own that has a key, for who wants `Authorization` to reach the service."""

_CLAIMS = (b"x-forwarded-", b"forwarded", b"x-real-ip")
_FRAMES = frozenset({b"transfer-encoding", b"content-length"})
_OF_THE_WAY = frozenset({b"connection", b"proxy-connection", b"upgrade", b"http2-settings"})
_KEPT = frozenset({b"close", b"keep-alive"})
_CHUNKED = [(b"transfer-encoding", b"chunked")]
_BEARER, _TOKEN = b"bearer ", b"apk_"

BAD = Refused(400, "bad_request", "the request cannot be read")
TOO_LARGE = Refused(431, "too_large", f"the head of a request has at most {MOST_HEAD} bytes")

Headers = list[tuple[bytes, bytes]]


class Head(NamedTuple):
    """The head of a request: what is passed on of its headers, and the key that it shows."""

    headers: Headers
    token: str
    is_chunked: bool
    is_websocket: bool


class _Reading:
    """What was read so far."""

    def __init__(self) -> None:
        self.kept, self.framing = Headers(), Headers()
        self.keys: list[bytes] = []
        """In our own header."""
        self.bearers: list[bytes] = []
        self.words: set[tuple[bytes, bytes]] = set()
        """What is said of the connection itself."""

    def add(self, name: bytes, value: bytes) -> None:
        """Take one more."""
        plain = name.replace(b"_", b"-")  # to some servers they are the same
        if plain == KEY:
            self.keys.append(value)
        elif plain == b"authorization" and value[: len(_BEARER)].lower() == _BEARER:
            self._bear(value[len(_BEARER) :].strip(), (name, value))
        elif plain in _FRAMES:
            self._frame(name, plain, value.lower())
        elif name in _OF_THE_WAY:
            self.words |= {(name, word.strip()) for word in value.lower().split(b",")}
        elif not plain.startswith(_CLAIMS):
            self.kept.append((name, value))

    def _frame(self, name: bytes, plain: bytes, value: bytes) -> None:
        if name != plain:
            raise BAD
        self.framing.append((name, value))

    def _bear(self, token: bytes, header: tuple[bytes, bytes]) -> None:
        self.bearers.append(token)
        if not token.startswith(_TOKEN):  # a key is for us, and another token for the service
            self.kept.append(header)

    @property
    def is_chunked(self) -> bool:
        """Whether a body comes whose length is not known.

        Raises:
            Refused: its length is told in two ways, or in none that there is.
        """
        is_coded = any(name == b"transfer-encoding" for name, _ in self.framing)
        if len(self.framing) > 1 or (is_coded and self.framing != _CHUNKED):
            raise BAD
        return is_coded

    @property
    def token(self) -> str:
        """The one key that is shown."""
        shown = self.keys or self.bearers
        return shown[0].decode("latin-1") if len(shown) == 1 else ""


def read(headers: Headers, version: str, *, is_upgrade: bool) -> Head:
    """What the headers of a request say, whose names are in lower case.

    Raises:
        Refused: they say nothing that can be meant.
    """
    it = _Reading()
    for name, value in headers:
        it.add(name, value)
    hosts = sum(name == b"host" for name, _ in it.kept)
    if hosts > 1 or (version == "1.1" and not hosts):
        raise BAD
    is_websocket = is_upgrade and (b"upgrade", b"websocket") in it.words
    if is_websocket:
        way = [(b"upgrade", b"websocket"), (b"connection", b"upgrade")]
    else:
        way = [(name, word) for name, word in it.words if name == b"connection" and word in _KEPT]
    is_chunked = it.is_chunked
    return Head([*it.kept, *way, *it.framing], it.token, is_chunked, is_websocket)
