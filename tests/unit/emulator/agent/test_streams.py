"""Streams of an agent, over real sockets: directly, and by way of a proxy."""

from __future__ import annotations

import socket
import threading
from queue import SimpleQueue

import pytest

from apothic_emulator.agent.streams import Streams

PATIENCE_S = 20.0


class Way:
    """A proxy and the control plane behind it, in one; it keeps what each is asked."""

    def __init__(self) -> None:
        self.heads: SimpleQueue[bytes] = SimpleQueue()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.at = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with self._listener, self._listener.accept()[0] as caller, caller.makefile("rb") as heard:
            while True:
                head = b"".join(iter(heard.readline, b"\r\n"))
                self.heads.put(head)
                if not head.startswith(b"CONNECT "):
                    break
                caller.sendall(b"HTTP/1.1 200 Come in\r\nx: y\r\n\r\n")
            caller.sendall(b"HTTP/1.1 101 Go on\r\n\r\nhello")

    def head(self) -> bytes:
        """The next thing that was asked."""
        return self.heads.get(timeout=PATIENCE_S)


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> Way:
    for name in ("all", "http", "https", "ws", "wss", "socks", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
    way = Way()
    monkeypatch.setenv("http_proxy", f"http://me:pass%20word@{way.at}")
    return way


def hello(url: str, *, is_near: bool = False) -> bytes:
    """What is heard by a stream to there."""
    put: SimpleQueue[socket.socket] = SimpleQueue()
    streams = Streams(url, "token", lambda _service, it, _said: put.put(it), is_near=is_near)
    streams.open("demo/web", "of-this-name")
    try:
        with put.get(timeout=PATIENCE_S) as stream:
            stream.settimeout(PATIENCE_S)
            return stream.recv(5, socket.MSG_WAITALL)
    finally:
        streams.close()


def test_it_goes_by_the_proxy_that_the_environment_names(way: Way) -> None:
    assert hello("ws://control.example/v1/agent") == b"hello"

    asked, head = way.head(), way.head()
    assert asked.startswith(b"CONNECT control.example:80 HTTP/1.1\r\n")
    assert b"proxy-authorization: Basic bWU6cGFzcyB3b3Jk\r\n" in asked
    assert b"token" not in asked
    assert b"apothic-stream: of-this-name\r\n" in head


def test_it_does_not_where_the_environment_excepts_the_server(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    assert hello(f"ws://{way.at}/v1/agent") == b"hello"
    assert way.head().startswith(b"GET ")


def test_it_does_not_on_this_machine(way: Way) -> None:
    assert hello(f"ws://{way.at}/v1/agent", is_near=True) == b"hello"
    assert way.head().startswith(b"GET ")
