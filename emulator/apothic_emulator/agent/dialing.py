"""The connection of an agent to its control plane, dialled again and again."""

from __future__ import annotations

import os
import threading
from ssl import SSLCertVerificationError
from typing import Any, Protocol

from websockets.exceptions import WebSocketException

from apothic_backends.model.errors import ApothicError, BackendError
from apothic_backends.remote.dialing import Refused, direct
from apothic_backends.remote.trust import not_trusted
from apothic_emulator.agent import channel
from apothic_emulator.agent.channel import ChannelError, Frame, parse

SHORTEST_S, LONGEST_S = 0.1, 30.0
"""The pauses between two attempts: doubled each time, and drawn from the upper half of that."""

_STOP_S = 1.0
_PING_S = 20.0
_MOST_BYTES = channel.MOST_FRAME + 64


class Served(Protocol):
    """Who is connected."""

    def hello(self) -> bytes:
        """What is said first."""
        ...

    def heard(self, connection: Any, frame: Frame) -> None:
        """A frame has come."""
        ...

    def next_frame(self, connection: Any) -> bytes | None:
        """What is to be written next."""
        ...

    def cut(self, why: str) -> None:
        """There is no connection; one is dialled in a moment."""
        ...

    def end(self, cause: BaseException) -> None:
        """There is no use in going on."""
        ...


class Dialer:
    """Two threads: one dials and reads, one writes."""

    def __init__(self, url: str, token: str, *, is_near: bool = False) -> None:
        """With `is_near` it is on this machine, and no proxy is on the way."""
        self.url = url
        self._is_near = is_near
        self._token = token
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._stopped = threading.Event()
        self._rung = threading.Event()
        self._pause_s = SHORTEST_S
        self._connection: Any = None
        self._threads: list[threading.Thread] = []

    def streams(self, inlets: Any) -> Any:
        """What opens streams to the same control plane, for the connections of these."""
        from apothic_emulator.agent.streams import Streams  # for services  # noqa: PLC0415

        return Streams(self.url, self._token, inlets.put, is_near=self._is_near)

    def start(self, served: Served) -> None:
        """Begin to dial."""
        for name, work in (("reader", self._read), ("writer", self._write)):
            thread = threading.Thread(
                target=work, args=(served,), name=f"apothic-{name}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def ring(self) -> None:
        """Have the writer look."""
        self._rung.set()

    def succeeded(self) -> None:
        """The control plane has taken this agent: the next pause is short again."""
        self._pause_s = SHORTEST_S
        self.ring()

    def say_last(self, data: bytes) -> None:
        """Say something once all else is said, if there is a connection."""
        connection = self._connection
        if connection is not None:
            try:
                connection.send(data)
            except (OSError, WebSocketException):
                pass  # then nothing is heard of us, which means the same

    def stop(self) -> None:
        """End the connection, and dial no more."""
        self._stopped.set()
        self._rung.set()
        if self._connection is not None:
            self._connection.close()
        for thread in self._threads:
            thread.join(_STOP_S)  # one that dials still ends with the process

    # --- the reader -----------------------------------------------------------------------------

    def _read(self, served: Served) -> None:
        try:
            while not self._stopped.is_set():
                self._dial(served)
                self._stopped.wait(self.draw_pause_s())
        except BaseException as error:  # noqa: BLE001 - whatever it is, the agent must not go deaf
            served.end(error)

    def draw_pause_s(self) -> float:
        """How long to wait before the next attempt."""
        whole = self._pause_s
        self._pause_s = min(LONGEST_S, 2 * whole)
        return whole * (0.5 + int.from_bytes(os.urandom(2), "little") / (1 << 17))

    def _dial(self, served: Served) -> None:
        """One connection, from its beginning to its end."""
        try:
            with direct(
                self.url,
                is_near=self._is_near,
                additional_headers=self._headers,
                ping_interval=_PING_S,
                ping_timeout=_PING_S,
                max_size=_MOST_BYTES,
            ) as connection:
                self._connection = connection
                connection.send(served.hello())
                for data in connection:
                    if isinstance(data, str):
                        return
                    served.heard(connection, parse(data))
        except SSLCertVerificationError as error:
            self._end(served, not_trusted(self.url, error))
        except Refused as error:
            self._refused(served, error.response.status_code)
        except (OSError, WebSocketException, ChannelError) as error:
            served.cut(str(error) or type(error).__name__)
        else:
            served.cut("the control plane has ended it")
        finally:
            self._connection = None

    def _refused(self, served: Served, status: int) -> None:
        error = _refusal(status, self.url)
        if error is None:
            served.cut(f"HTTP {status}")
        else:
            self._end(served, error)

    def _end(self, served: Served, error: ApothicError) -> None:
        """There is no use in going on."""
        served.end(error)
        self._stopped.set()

    # --- the writer -----------------------------------------------------------------------------

    def _write(self, served: Served) -> None:
        while not self._stopped.is_set():
            self._rung.wait()
            self._rung.clear()
            connection = self._connection
            if connection is None:
                continue
            try:
                while (data := served.next_frame(connection)) is not None:
                    connection.send(data)
            except (OSError, WebSocketException):
                connection.close()  # its reader sees that


def _refusal(status: int, url: str) -> ApothicError | None:
    """The error of a server that will not take this agent at any time."""
    if status in (401, 403):
        return BackendError(
            f"{url} does not take this agent (HTTP {status}): its token is wrong, has expired, or "
            "is not for agents"
        )
    if status // 100 == 3:  # noqa: PLR2004 - as above
        return BackendError(f"{url} leads elsewhere, and a token is not sent on: use that address")
    if status == 404:  # noqa: PLR2004 - as above
        return BackendError(f"there is no control plane at {url} that agents join (HTTP 404)")
    return None
