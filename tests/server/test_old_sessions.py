"""What still comes over a connection that another one has followed is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from apothic_backends.commands.queues import PutItems
from apothic_backends.model.agents import StaleSession
from apothic_backends.model.queues import joined
from apothic_backends.remote import frames
from apothic_backends.remote.frames import CLIENT_PATH, Hello
from apothic_emulator.agent import channel
from apothic_emulator.agent.channel import Frame
from apothic_emulator.agent.outpost import Outpost
from apothic_emulator.core.hellos import Capacity
from tests.server.served import Served

CLIENT = "0123456789abcdef" * 2

Dial = Callable[[str, str], ClientConnection]


@pytest.fixture
def dial(server: Served) -> Iterator[Dial]:
    """Opens WebSockets of the server, which end with the test."""
    with ExitStack() as opened:

        def dial(path: str, token: str) -> ClientConnection:
            headers = {"Authorization": f"Bearer {token}"}
            url = f"ws://{server.own_host}{path}"
            connection = connect(url, additional_headers=headers, compression=None, proxy=None)
            return opened.enter_context(connection)

        yield dial


def end_of(connection: ClientConnection) -> tuple[list[bytes], int, str]:
    """What else is said on it, and why it is closed."""
    heard: list[bytes] = []
    try:
        while True:
            data = connection.recv(timeout=20)
            assert isinstance(data, bytes)
            heard.append(data)
    except ConnectionClosed:
        return heard, connection.close_code or 0, connection.close_reason or ""


def test_a_client_is_told_on_its_old_connection_and_nothing_is_done_there(
    server: Served, dial: Dial
) -> None:
    server.reply("open-queue", queue="old-session")

    def begin() -> ClientConnection:
        connection = dial(CLIENT_PATH, server.token)
        connection.send(frames.pack_record(frames.HELLO, Hello(CLIENT, [])))
        assert frames.unpack(_bytes(connection.recv(timeout=20))).kind == frames.WELCOME
        return connection

    old, new = begin(), begin()
    put = PutItems("old-session", joined([b"x"]), 1)
    try:
        old.send(frames.pack_value(frames.ASK, 1, put, once=True))
    except ConnectionClosed:
        pass  # it was quicker

    heard, code, _ = end_of(old)

    assert code == 4409
    assert [type(frames.unpack(data).value()) for data in heard] == [StaleSession]
    new.send(frames.pack_value(frames.ASK, 2, put, once=True))
    assert frames.unpack(_bytes(new.recv(timeout=20))).number == 2
    counts = server.reply("get-queue", queue="old-session")["partitions"][""]
    assert counts["ready"] == 1


def test_an_agent_is_told_on_its_old_connection(server: Served, dial: Dial) -> None:
    outpost = Outpost("old", "1", Capacity(1, 1024), _nothing, _nothing)
    token = server.key("agent")

    def begin() -> ClientConnection:
        connection = dial("/v1/agent", token)
        connection.send(outpost.hello(0.0))
        frame = channel.parse(_bytes(connection.recv(timeout=20)))
        assert frame.kind == channel.WELCOME
        outpost.welcomed(frame, 0.0)
        return connection

    old, _new = begin(), begin()
    try:
        old.send(Frame(channel.BEAT, 1, 0).pack())
    except ConnectionClosed:
        pass  # it was quicker

    heard, _, reason = end_of(old)

    assert heard == []
    assert reason == StaleSession.code


def _bytes(data: Any) -> bytes:
    assert isinstance(data, bytes)
    return data


def _nothing(_: object) -> None:
    """No executor runs here."""
