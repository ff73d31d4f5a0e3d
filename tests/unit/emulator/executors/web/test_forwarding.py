"""Connections to a server of the user's: none is lost when that ends between two of them."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest
import uvloop

from apothic_emulator.executors.web.forwarding import Forwarder
from apothic_emulator.executors.web.hosts import ALLOWED
from tests.unit.emulator.executors.web.doors import Door

LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])


class Users:
    """The user's server: it answers so many connections with a word and what it hears, and ends."""

    def __init__(self, word: bytes, count: int = 1) -> None:
        self._word = word
        self._listener = socket.create_server(("127.0.0.1", 0))
        host, port = self._listener.getsockname()
        self.address: tuple[str, int] = host, port
        self._thread = threading.Thread(target=self._serve, args=(count,), daemon=True)
        self._thread.start()

    def _serve(self, count: int) -> None:
        with self._listener:
            for _ in range(count):
                caller, _ = self._listener.accept()
                with caller, caller.makefile("rb") as heard:
                    caller.sendall(self._word)
                    caller.sendall(heard.read())

    def ended(self) -> None:
        """Wait until nobody listens there."""
        self._thread.join(10)
        assert not self._thread.is_alive()


def forwarding(door: Door, target: tuple[str, int]) -> Forwarder:
    made = Forwarder(target)
    made.listen(door.duplicates())
    return made


async def said(caller: socket.socket, words: bytes = b"") -> bytes:
    """All that somebody hears who says this."""
    loop = asyncio.get_running_loop()
    caller.settimeout(10)

    def talk() -> bytes:
        caller.sendall(words)
        caller.shutdown(socket.SHUT_WR)
        with caller.makefile("rb") as heard:
            return heard.read()

    return await loop.run_in_executor(None, talk)


def run(loop: Any, main: Any) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


@LOOPS
def test_who_comes_after_the_server_has_ended_is_answered_by_the_next(
    door: Door, loop: Any
) -> None:
    async def main() -> None:
        first, second = Users(b"one "), Users(b"two ")
        forwarder = forwarding(door, first.address)
        assert await said(door.caller(), b"hello") == b"one hello"
        first.ended()

        late = door.caller()
        late.sendall(b"hel")
        await forwarder.is_gone.wait()
        forwarder.abort()
        after = forwarding(door, second.address)

        assert await said(late, b"lo") == b"two hello"
        after.abort()
        second.ended()

    run(loop, main)


@LOOPS
def test_a_server_that_was_never_there_is_told_as_gone(door: Door, loop: Any) -> None:
    async def main() -> None:
        gone = Users(b"", count=0)
        gone.ended()
        forwarder = forwarding(door, gone.address)

        answer = await said(door.caller(), b"GET / HTTP/1.1\r\n\r\n")

        assert answer.startswith(b"HTTP/1.1 502 ")
        assert answer.endswith(b"the server of this service is gone\n")
        assert forwarder.is_gone.is_set()
        forwarder.abort()

    run(loop, main)


async def answered(door: Door, words: bytes) -> bytes:
    """What somebody hears of a server that says all again."""
    users = Users(b"", count=1)
    forwarder = forwarding(door, users.address)
    try:
        return await said(door.caller(), words)
    finally:
        forwarder.abort()
        users.ended()


@LOOPS
@pytest.mark.parametrize(
    ("words", "start"),
    [
        (b"GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n", b"HTTP/1.1 403 "),
        (b"OWN / HTTP/1.1\r\nx: y\r\nhost: localhost.evil\r\n\r\n", b"HTTP/1.1 403 "),
        (b"GET /" + b"x" * 100_000, b"HTTP/1.1 431 "),
    ],
)
def test_what_a_page_of_somebody_else_may_ask_does_not_reach_it(
    door: Door, loop: Any, words: bytes, start: bytes
) -> None:
    async def main() -> None:
        assert (await answered(door, words)).startswith(start)

    run(loop, main)


@LOOPS
@pytest.mark.parametrize(
    "words",
    [
        b"GET / HTTP/1.1\r\nhost: localhost:80\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: half",
        b"anything",
    ],
)
def test_all_else_does(door: Door, loop: Any, words: bytes) -> None:
    async def main() -> None:
        assert await answered(door, words) == words

    run(loop, main)


@LOOPS
def test_it_may_be_asked_by_a_name_that_is_allowed(
    door: Door, loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ALLOWED, "mine.test")
    words = b"GET / HTTP/1.1\r\nhost: mine.test:8000\r\n\r\n"

    async def main() -> None:
        assert await answered(door, words) == words

    run(loop, main)


@LOOPS
def test_a_server_that_says_something_and_ends_is_heard(door: Door, loop: Any) -> None:
    async def main() -> None:
        users = Users(b"x" * 100_000)
        forwarder = forwarding(door, users.address)

        assert len(await said(door.caller())) == 100_000
        forwarder.abort()
        users.ended()

    run(loop, main)
