"""TLS whose connection one thread reads while another writes."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme

from apothic_backends.remote.tls import client_context

PATIENCE_S = 20.0
MUCH = 8 << 20


class Pair(NamedTuple):
    """Both ends of a connection."""

    client: ssl.SSLSocket
    server: ssl.SSLSocket


class Watched:
    """What does the work of a connection, and knows whether two were at it at once."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.inside = threading.Semaphore()
        self.was_shared = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def read(self, *asked: Any) -> Any:
        return self._alone(self.real.read, *asked)

    def write(self, data: Any) -> Any:
        return self._alone(self.real.write, data)

    def _alone(self, work: Any, *given: Any) -> Any:
        if not self.inside.acquire(blocking=False):
            self.was_shared = True
            return work(*given)
        try:
            return work(*given)
        finally:
            self.inside.release()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def pair(authority: trustme.CA, tmp_path: Path) -> Iterator[Pair]:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(serving)
    near, far = socket.socketpair()
    with ThreadPoolExecutor() as pool:
        server = pool.submit(serving.wrap_socket, far, server_side=True)
        client = client_context(str(tmp_path / "ca.pem")).wrap_socket(
            near, server_hostname="localhost"
        )
        pair = Pair(client, server.result(PATIENCE_S))
    client.settimeout(PATIENCE_S)
    pair.server.settimeout(PATIENCE_S)
    yield pair
    for end in pair:
        end.close()


def exactly(end: ssl.SSLSocket, count: int) -> bytes:
    got = bytearray()
    while len(got) < count:
        got += end.recv(65536) or pytest.fail("it ended early")
    return bytes(got)


def test_what_is_said_arrives_and_so_does_the_answer(pair: Pair) -> None:
    pair.client.sendall(b"there")
    pair.server.sendall(b"and back")

    assert (exactly(pair.server, 5), exactly(pair.client, 8)) == (b"there", b"and back")


def test_who_reads_and_who_writes_take_turns(pair: Pair) -> None:
    watched = pair.client._sslobj = Watched(pair.client._sslobj)  # type: ignore[attr-defined]
    with ThreadPoolExecutor(4) as pool:
        written = pool.submit(pair.client.sendall, b"c" * MUCH)
        read = pool.submit(exactly, pair.client, MUCH)
        heard = pool.submit(exactly, pair.server, MUCH)
        heard.result(PATIENCE_S)
        pair.server.sendall(b"s" * MUCH)
        written.result(PATIENCE_S)

    assert (read.result() == b"s" * MUCH, watched.was_shared) == (True, False)


def test_one_that_waits_for_something_to_read_keeps_nobody_from_writing(pair: Pair) -> None:
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(exactly, pair.client, 4)
        pair.client.sendall(b"asked")
        assert exactly(pair.server, 5) == b"asked"
        pair.server.sendall(b"told")

        assert read.result(PATIENCE_S) == b"told"


def test_one_that_waits_hears_that_it_is_closed(pair: Pair) -> None:
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pair.client.recv, 1)
        pair.client.close()
        try:
            said = read.result(PATIENCE_S)
        except OSError:
            said = b""

    assert said == b""


def test_it_waits_no_longer_than_it_was_told_to(pair: Pair) -> None:
    pair.client.settimeout(0.001)

    with pytest.raises(TimeoutError):
        pair.client.recv(1)


def test_what_has_said_all_still_hears_the_rest(pair: Pair) -> None:
    pair.client.shutdown(socket.SHUT_WR)
    pair.server.sendall(b"the rest")

    assert exactly(pair.client, 8) == b"the rest"


def test_who_is_not_known_is_not_trusted(pair: Pair, tmp_path: Path) -> None:
    near, far = socket.socketpair()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(serving)
    with far, near, ThreadPoolExecutor() as pool:
        pool.submit(serving.wrap_socket, far, server_side=True)
        context = client_context(str(tmp_path / "ca.pem"))

        with pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(near, server_hostname="localhost")
