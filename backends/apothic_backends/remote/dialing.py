"""A WebSocket as the connection wants it: messages, one kind of cut, and typed refusals."""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import threading
from contextlib import AbstractContextManager
from typing import Any, cast

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    WebSocketException,
)
from websockets.http11 import Response
from websockets.sync.client import ClientConnection, connect

from apothic_backends.model.errors import (
    ApothicError,
    BackendClosed,
    NotFound,
    OverLimit,
    UsageError,
)
from apothic_backends.remote import frames
from apothic_backends.remote.address import Address
from apothic_backends.remote.errors import KeyRefused, NotAllowed
from apothic_backends.remote.frames import Message
from apothic_backends.remote.tls import client_context
from apothic_backends.remote.trust import not_trusted

DIAL_S = 10.0
"""How long a server may take to accept a connection."""


_ELSEWHERE = 3

TOO_MANY = 429


class Cut(Exception):
    """There is no connection, or no more; another attempt may help, after `retry_s`.

    `error` is what to raise when there are no more attempts, if not that nobody is there.
    """

    def __init__(self, why: str, retry_s: float = 0.0, error: ApothicError | None = None) -> None:
        super().__init__(why)
        self.retry_s = retry_s
        self.error = error


class Refused(Exception):
    """A server answers, and opens no WebSocket: it refuses, or leads elsewhere."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"it answers with {response.status_code}")
        self.response = response


class Direct(ClientConnection):
    """A connection to the very address that was given: what is said is meant for nobody else.

    Newer versions of the library follow a server that leads elsewhere, but on `InvalidStatus` only.
    """

    def handshake(self, *args: Any, **how: Any) -> None:
        """Open it.

        Raises:
            Refused: the server does not.
        """
        try:
            super().handshake(*args, **how)
        except InvalidStatus as error:
            raise Refused(error.response) from None


def direct(url: str, *, is_near: bool, **how: Any) -> AbstractContextManager[ClientConnection]:
    """What opens a connection to the very address that is given; without a proxy if it is near."""
    if url.startswith("wss:"):
        how["ssl"] = client_context()
    if is_near:
        how["proxy"] = None
    how |= {"compression": None, "create_connection": Direct, "open_timeout": DIAL_S}
    return cast(AbstractContextManager[ClientConnection], connect(url, **how))


class Wire:
    """A connection that is open."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    def send(self, data: bytes) -> None:
        """Write a message; what cannot be written is sent again on the next connection."""
        with contextlib.suppress(ConnectionClosed, OSError):
            self._socket.send(data)

    def receive(self, timeout_s: float | None = None) -> Message:
        """The next message.

        Raises:
            Cut: there comes none any more.
            UsageError: it is none of ours.
        """
        try:
            data = self._socket.recv(timeout_s)
        except (ConnectionClosed, OSError) as error:  # a time-out is an OSError
            raise Cut(str(error) or "it does not answer") from None
        if isinstance(data, str):
            raise UsageError("not a message of ours: it is a text")
        return frames.unpack(data)

    def say_goodbye(self, data: bytes) -> None:
        """Write a last message, and wait until it has arrived."""
        self.send(data)
        self._socket.close()

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()


def dial(address: Address, key: str | None, closing: threading.Event) -> Wire:
    """Connect, and show the key.

    Raises:
        Cut: that did not work out this time.
        ApothicError: it will not another time.
    """
    if closing.is_set():
        raise BackendClosed("the backend was closed")
    headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
    try:
        manager = direct(
            address.websocket(frames.CLIENT_PATH),
            is_near=address.is_loopback,
            additional_headers=headers,
            close_timeout=2.0,
            ping_interval=frames.PING_S,
            ping_timeout=frames.PING_S,
            max_size=frames.MOST_BYTES,
        )
        socket = manager.__enter__()  # it closes when the reader says so
    except Refused as error:
        raise _refused(address, error.response, has_key=key is not None) from None
    except ssl.SSLCertVerificationError as error:
        raise not_trusted(address.url, error) from None
    except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as error:
        raise Cut(_why(error)) from None
    return Wire(socket)


def _why(error: Exception) -> str:
    """Why there is no connection, for people."""
    if isinstance(error, ssl.SSLError):
        return f"it does not speak TLS as it should ({error.reason}); maybe it is an http:// one"
    if isinstance(error, InvalidMessage):
        return _misspoken(error.__cause__)
    return str(error) or type(error).__name__


def _misspoken(cause: BaseException | None) -> str:
    """What is wrong with an answer that is none in HTTP/1.1."""
    version = re.search(r": (HTTP/[\d.]+) ", str(cause))
    if version is not None:
        return f"it answers in {version[1]}, and a control plane or a proxy before it in HTTP/1.1"
    if isinstance(cause, EOFError):
        return "it hangs up without an answer; maybe it is an https:// one"
    return "it does not speak HTTP"


def _refused(address: Address, response: Any, *, has_key: bool) -> Exception:
    status, url = int(response.status_code), address.url
    what = (
        "does not take the API key that it was shown; it may have expired, or been revoked"
        if has_key
        else "wants an API key, and none is known for it here"
    )
    known: dict[int, ApothicError] = {
        401: KeyRefused(
            f"{url} {what}: set APOTHIC_API_KEY beside APOTHIC_BACKEND, or log in with "
            f"`apothic auth login {url}`",
            url=url,
        ),
        403: NotAllowed(f"{url} refuses this API key, or this way to it: {_told(response)}"),
        404: NotFound(f"there is a server at {url}, but no control plane", url=url),
    }
    if status in known:
        return known[status]
    if status // 100 == _ELSEWHERE:
        return UsageError(
            f"{url} leads elsewhere, and an API key is not sent on: use the address it leads to",
            url=url,
        )
    return Cut(f"it answers with {status}", _retry_s(response), _crowded(status, url))


def _crowded(status: int, url: str) -> ApothicError | None:
    if status != TOO_MANY:
        return None
    return OverLimit(
        f"{url} has too many connections from here, or too many requests of this account under "
        "way: end some, or raise its --limit connections or requests",
        limit="connections",
    )


def _told(response: Any) -> str:
    """What a refusal says: that of a control plane, or whatever stands before it."""
    body = bytes(response.body or b"").decode("utf-8", "replace")
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:300] or "it does not say why"


def _retry_s(response: Any) -> float:
    try:
        return min(30.0, float(response.headers.get("Retry-After", 0)))
    except ValueError:
        return 0.0
