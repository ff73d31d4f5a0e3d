"""The WebSocket of an agent that may go at any moment."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from apothic_emulator.server.agents import Socket


class Line:
    """Counts what is sent, until it is cut."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.error: Exception | None = None

    async def receive(self) -> Any:
        raise NotImplementedError

    async def send(self, message: Any) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append(message["type"])


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("closed already")])
def test_what_is_for_an_agent_that_has_gone_is_not_an_error(error: Exception) -> None:
    line = Line()
    socket = Socket(line.receive, line.send)

    async def talk() -> None:
        await socket.send(b"heard")
        line.error = error
        await socket.send(b"lost")
        line.error = None
        await socket.send(b"nobody is there")
        await socket.close(1000, "")

    anyio.run(talk)

    assert line.sent == ["websocket.send"]


def test_a_socket_is_closed_once() -> None:
    line = Line()
    socket = Socket(line.receive, line.send)

    async def close() -> None:
        await socket.close(1000, "")
        await socket.close(1000, "")

    anyio.run(close)

    assert line.sent == ["websocket.close"]
