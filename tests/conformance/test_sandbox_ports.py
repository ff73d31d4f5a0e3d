"""Ports of sandboxes: what listens in one is reached from here, by whatever speaks TCP."""

from __future__ import annotations

import hashlib
import socket
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from apothic import App, InvalidOption, Sandbox, WaitTimeout
from tests.conformance.client import Client

app = App("ports")
workspace = app.sandbox("ports", timeout_s=300)

pytestmark = pytest.mark.needs("processes")

PATIENCE_S = 60.0

SERVER = """
import socketserver, sys

class Handler(socketserver.StreamRequestHandler):
    rbufsize = 0
    def handle(self):
        word = self.rfile.readline().decode().split()
        if word[0] == "echo":
            while data := self.request.recv(65536):
                self.request.sendall(data)
            self.request.sendall(b"|end")
        elif word[0] == "much":
            for _ in range(int(word[1])):
                self.request.sendall(b"x" * 1_000_000)
        elif word[0] == "wait":
            self.request.sendall(b"here")
            self.request.recv(1)

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 128

with Server(("127.0.0.1", int(sys.argv[1])), Handler) as server:
    server.serve_forever()
"""


@pytest.fixture
def box(client: Client) -> Iterator[Sandbox]:
    """A sandbox with a server at a port that no other test has, where it shares the loopback."""
    with workspace.create() as box:
        box.files.write_text("server.py", SERVER)
        yield box


@pytest.fixture
def port() -> Iterator[int]:
    """A port at which nobody listens on this machine, and which nobody else is given meanwhile."""
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server may bind it, too
        keeper.bind(("127.0.0.1", 0))
        yield keeper.getsockname()[1]


@pytest.fixture
def address(box: Sandbox, port: int) -> tuple[str, int]:
    """Where the server is reached from here."""
    box.exec("python3", "server.py", str(port))
    return _address(box.url(port, timeout_s=PATIENCE_S))


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.scheme == "http"
    assert parts.hostname == "127.0.0.1"
    assert parts.port
    return parts.hostname, parts.port


def _ask(address: tuple[str, int], words: bytes) -> socket.socket:
    connection = socket.create_connection(address, PATIENCE_S)
    connection.sendall(words + b"\n")
    return connection


def _all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 20), b""))


def test_a_web_server_in_a_sandbox_has_a_url(box: Sandbox, port: int) -> None:
    box.files.write_text("page.html", "hello")
    box.exec("python3", "-m", "http.server", str(port))
    url = box.url(port, timeout_s=PATIENCE_S)

    with urllib.request.urlopen(f"{url}/page.html", timeout=PATIENCE_S) as answer:
        assert answer.read() == b"hello"


def test_a_port_has_the_same_url_each_time(
    box: Sandbox, address: tuple[str, int], port: int
) -> None:
    assert _address(box.url(port)) == address


def test_whoever_says_no_more_still_hears(address: tuple[str, int]) -> None:
    with _ask(address, b"echo") as connection:
        connection.sendall(b"words")
        connection.shutdown(socket.SHUT_WR)
        assert _all(connection) == b"words|end"


def test_much_comes_whole(address: tuple[str, int]) -> None:
    with _ask(address, b"much 20") as connection:
        assert len(_all(connection)) == 20_000_000


def test_much_goes_whole_and_comes_back_in_order(address: tuple[str, int]) -> None:
    data = b"".join(number.to_bytes(4, "big") for number in range(1_000_000))
    with _ask(address, b"echo") as connection:
        sender = threading.Thread(target=_send_all, args=(connection, data))
        sender.start()
        came = _all(connection)
        sender.join()
    assert hashlib.sha256(came).digest() == hashlib.sha256(data + b"|end").digest()


def _send_all(connection: socket.socket, data: bytes) -> None:
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def test_many_at_once_wait_in_line(address: tuple[str, int]) -> None:
    def ask(number: int) -> bytes:
        with _ask(address, b"echo") as connection:
            connection.sendall(b"%d" % number)
            connection.shutdown(socket.SHUT_WR)
            return _all(connection)

    with ThreadPoolExecutor(80) as threads:
        assert [*threads.map(ask, range(80))] == [b"%d|end" % number for number in range(80)]


def test_a_port_at_which_nobody_listens_is_told(box: Sandbox, port: int) -> None:
    with pytest.raises(WaitTimeout, match=f"nothing listens at port {port}"):
        box.url(port, timeout_s=0.1)


@pytest.mark.parametrize("port", [0, 65_536, "80", True])
def test_what_is_no_port_is_refused(box: Sandbox, port: Any) -> None:
    with pytest.raises(InvalidOption, match="port"):
        box.url(port)


def test_once_its_server_has_ended_connections_are_cut(box: Sandbox, port: int) -> None:
    server = box.exec("python3", "server.py", str(port))
    address = _address(box.url(port, timeout_s=PATIENCE_S))
    server.kill()
    server.wait()

    assert _is_cut(address)


def _is_cut(address: tuple[str, int]) -> bool:
    """Whether who connects there sees that nobody answers."""
    try:
        with _ask(address, b"echo") as connection:
            return not _all(connection)
    except (ConnectionResetError, BrokenPipeError):
        return True


def test_with_its_sandbox_a_url_ends_and_connections_are_cut(
    box: Sandbox, address: tuple[str, int]
) -> None:
    with _ask(address, b"wait") as connection:
        assert connection.recv(4) == b"here"
        box.terminate()
        assert not _rest(connection)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, PATIENCE_S)


def _rest(connection: socket.socket) -> bytes:
    try:
        return _all(connection)
    except ConnectionResetError:
        return b""


def test_a_server_that_ends_a_connection_ends_it_here(address: tuple[str, int]) -> None:
    with _ask(address, b"nothing") as connection:
        assert _all(connection) == b""


async def test_a_url_can_be_awaited(box: Sandbox, port: int) -> None:
    process = await box.exec.aio("python3", "server.py", str(port))
    url = await box.aio.url(port, timeout_s=PATIENCE_S)
    with _ask(_address(url), b"much 0") as connection:
        assert _all(connection) == b""
    await process.aio.kill()
