"""The server of a service: whoever has connected is answered, by it or by the one after it."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
import uvloop

from apothic_emulator.executors.web import connections
from apothic_emulator.executors.web.door import hand_on
from apothic_emulator.executors.web.server import Server
from tests.unit.emulator.executors.web.doors import Door

HEADERS = [(b"content-length", b"5")]
ASK = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def serving(door: Door, places: int = 1000, says: bytes = b"hello") -> Server:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (await receive())["type"] == "websocket.receive":
                pass
            return
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": says})

    made = Server(app, {}, 60.0, places)
    made.listen(door.duplicates())
    return made


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def end(server: Server, *, hand_on: bool = False) -> None:
    server.drain(hand_on=hand_on)
    await server.drained()
    server.abort()


async def answer(caller: socket.socket) -> bytes:
    """What somebody hears who has asked; nothing, if that is cut off."""
    loop, heard = asyncio.get_running_loop(), b""
    caller.settimeout(10)
    while not heard.endswith((b"hello", b"wrong")):
        more = await loop.run_in_executor(None, caller.recv, 65536)
        if not more:
            return b""
        heard += more
    return heard[-5:]


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("places", [1000, 1])
@pytest.mark.parametrize("is_handed_on", [False, True])
@pytest.mark.parametrize("count", range(8))
def test_whoever_connects_while_it_ends_is_answered_by_the_next(
    door: Door, loop: Any, places: int, is_handed_on: bool, count: int
) -> None:
    async def run() -> None:
        ending = serving(door, places, b"wrong")
        caller = door.caller()
        if is_handed_on:
            with door.listener.accept()[0] as accepted:
                hand_on(door.handing, accepted.fileno())

        await turns(count)
        await end(ending, hand_on=True)
        after = serving(door, places)

        caller.sendall(ASK)
        assert await answer(caller) == b"hello"
        await end(after)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


def test_whoever_asks_as_it_rests_is_answered_by_the_next(door: Door) -> None:
    async def run() -> None:
        ending = serving(door)
        caller = door.caller()
        caller.sendall(ASK)
        assert await answer(caller) == b"hello"

        caller.sendall(ASK)
        await end(ending)
        after = serving(door)

        assert await answer(caller) == b"hello"
        await end(after)

    asyncio.run(run())


def test_whoever_asks_for_nothing_as_it_rests_sees_the_end(door: Door) -> None:
    async def run() -> None:
        ending = serving(door)
        caller = door.caller()
        caller.sendall(ASK)
        assert await answer(caller) == b"hello"

        await end(ending)

        assert await answer(caller) == b""

    asyncio.run(run())


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nhost:"])
def test_whoever_is_about_to_ask_keeps_it_from_resting(door: Door, said: bytes) -> None:
    async def run() -> None:
        server = serving(door)
        caller = door.caller()
        caller.sendall(said)
        while not server.connections:
            await asyncio.sleep(0)
        assert server.is_needed

        caller.sendall(ASK[len(said) :])
        await answer(caller)

        assert not server.is_needed
        await end(server)

    asyncio.run(run())


def test_whoever_asks_for_nothing_does_not_keep_it_from_resting_for_long(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "ASK_S", 0.0)

    async def run() -> None:
        server = serving(door)
        door.caller()
        while not server.connections:
            await asyncio.sleep(0)

        async with asyncio.timeout(10):
            while server.is_needed:
                await asyncio.sleep(0)
        await end(server)

    asyncio.run(run())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("count", range(8))
def test_a_websocket_that_is_asked_for_as_it_ends_is_opened_by_it_or_by_the_next(
    door: Door, loop: Any, count: int
) -> None:
    async def run() -> None:
        ending = serving(door)
        caller = door.caller()
        caller.sendall(UPGRADE)

        await turns(count)
        await end(ending, hand_on=True)
        after = serving(door)

        assert (await heard_until(caller, b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        await end(after)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


# --- who does not go ----------------------------------------------------------------------------


async def heard_until(caller: socket.socket, words: bytes) -> bytes:
    """What somebody hears until these words have come, or the end."""
    loop, heard = asyncio.get_running_loop(), b""
    caller.settimeout(10)
    while words not in heard:
        more = await loop.run_in_executor(None, caller.recv, 65536)
        if not more:
            break
        heard += more
    return heard


def test_a_head_that_takes_too_long_is_refused(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.0)

    async def run() -> None:
        server = serving(door)
        caller = door.caller()
        caller.sendall(b"GET / HTTP/1.1\r\nhost:")

        assert (await heard_until(caller, b"too long")).startswith(b"HTTP/1.1 408 ")
        await end(server)

    asyncio.run(run())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_who_is_refused_while_they_speak_hears_why(door: Door, loop: Any) -> None:
    async def run() -> None:
        server = serving(door)
        caller = door.caller()
        said = b"GET / HTTP/1.1\r\nx: " + b"y" * 20_000_000
        await asyncio.get_running_loop().run_in_executor(None, caller.sendall, said)

        assert (await heard_until(caller, b"too large")).startswith(b"HTTP/1.1 431 ")
        await end(server)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


def test_who_is_refused_and_does_not_go_is_cut_off(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "LINGER_S", 0.0)

    async def run() -> None:
        server = serving(door)
        caller = door.caller()
        caller.sendall(b"no request\r\n\r\n")
        await heard_until(caller, b"nothing else")
        while server.connections:
            await asyncio.sleep(0)

        await end(server)

    asyncio.run(run())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_who_never_closes_a_websocket_keeps_nobody_from_ending(door: Door, loop: Any) -> None:
    async def run() -> None:
        server = serving(door)
        caller = door.caller()
        caller.sendall(UPGRADE)
        assert b" 101 " in await heard_until(caller, b"\r\n\r\n")

        await end(server)

        told = await heard_until(caller, b"nothing else")
        assert told[2:4] == (1012).to_bytes(2, "big")

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())
