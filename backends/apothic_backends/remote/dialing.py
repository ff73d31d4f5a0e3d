"""A WebSocket as the connection wants it: messages, one kind of cut, and typed refusals."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    WebSocketException,
)
from websockets.sync.client import ClientConnection, connect

from apothic_backends.model.errors import ApothicError, BackendClosed, NotFound, UsageError
from apothic_backends.remote import frames
from apothic_backends.remote.address import Address
from apothic_backends.remote.errors import KeyRefused, NotAllowed
from apothic_backends.remote.frames import Message

DIAL_S = 10.0
"""How long a server may take to accept a connection."""


_ELSEWHERE = 3


class Cut(Exception):
    """There is no connection, or no more; another attempt may help, after `retry_s`."""

    def __init__(self, why: str, retry_s: float = 0.0) -> None:
        super().__init__(why)
        self.retry_s = retry_s


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
        manager = connect(
            address.websocket(frames.CLIENT_PATH),
            additional_headers=headers,
            compression=None,
            open_timeout=DIAL_S,
            close_timeout=2.0,
            ping_interval=frames.PING_S,
            ping_timeout=frames.PING_S,
            max_size=frames.MOST_BYTES,
            **({"proxy": None} if address.is_loopback else {}),
        )
        socket = manager.__enter__()  # it closes when the reader says so
    except InvalidStatus as error:
        raise _refused(address, error.response) from None
    except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as error:
        raise Cut(str(error) or type(error).__name__) from None
    return Wire(socket)


def _refused(address: Address, response: Any) -> Exception:
    status, url = int(response.status_code), address.url
    known: dict[int, ApothicError] = {
        401: KeyRefused(
            f"{url} does not take this API key, or there is none: set APOTHIC_API_KEY, or log in "
            f"with `apothic auth login {url}`",
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
    return Cut(f"it answers with {status}", _retry_s(response))


def _told(response: Any) -> str:
    return bytes(response.body or b"").decode("utf-8", "replace")[:300] or "it does not say why"


def _retry_s(response: Any) -> float:
    try:
        return min(30.0, float(response.headers.get("Retry-After", 0)))
    except ValueError:
        return 0.0
