"""Whoever comes to a service and does what they should not: it says so, and goes on for others."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect as open_websocket

from tests.services.served import Served

HOMES = ("here", "agent", "rented")


@pytest.fixture(scope="module")
def served(serve: Callable[[str], Served]) -> Served:
    """An application that hears whoever comes."""
    return serve("listener")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def raw(served: Served, said: bytes = b"") -> socket.socket:
    """A plain connection, over which something was said."""
    http = served.connect("hears")
    sock = socket.create_connection((http.host, http.port), timeout=30)
    sock.sendall(said)
    return sock


def answer(served: Served, said: bytes) -> bytes:
    """All that is answered to exactly these bytes."""
    with raw(served) as sock, sock.makefile("rb") as heard:
        try:
            sock.sendall(said)
            return heard.read()
        except ConnectionResetError:
            return b""  # it was cut off, which is an answer


def status(served: Served, said: bytes) -> int:
    """The first status that is answered."""
    words = answer(served, said).split(b" ", 2)
    return int(words[1]) if len(words) > 1 else 0


def websocket(served: Served, **options: object) -> ClientConnection:
    http = served.connect("hears")
    return open_websocket(f"ws://{http.host}:{http.port}", **options)  # type: ignore[arg-type]


def pid(served: Served) -> int:
    return int(served.ask("hears").body.split()[1])


# --- heads --------------------------------------------------------------------------------------

REFUSED = (431, 502, 0)
"""Whoever still sends when it is refused may be cut off, which a gateway tells in its own words."""

POST = b"POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"


@pytest.mark.parametrize(
    "said",
    [
        POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        POST + b"content-length: 5, 6\r\n\r\nhello",
        POST + b"content-length: +5\r\n\r\nhello",
        POST + b"content-length: -1\r\n\r\n",
        POST + b"content-length: 99999999999999999999999\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\nx\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        POST + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        POST + b"x: a\r\n folded\r\ncontent-length: 0\r\n\r\n",
        POST + b"x: a\x00b\r\ncontent-length: 0\r\n\r\n",
        b"GET / HTTP/9.9\r\nhost: localhost\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_can_be_read_in_two_ways_is_not_carried_out(served: Served, said: bytes) -> None:
    assert status(served, said) == 400


@pytest.mark.parametrize(
    "head",
    [
        b"".join(b"x-%d: y\r\n" % n for n in range(100_000)),
        b"x: " + b"y" * 1_000_000 + b"\r\n",
        b"y" * 1_000_000 + b": x\r\n",
    ],
)
def test_a_head_that_is_too_large_is_refused(served: Served, head: bytes) -> None:
    said = b"GET / HTTP/1.1\r\nhost: localhost\r\n" + head + b"\r\n"

    assert status(served, said) in REFUSED
    assert served.ask("hears").status == 200


def test_a_line_without_end_is_refused(served: Served) -> None:
    assert status(served, b"GET /" + b"y" * 1_000_000) in REFUSED


def test_a_body_in_pieces_of_a_byte_is_read(served: Served) -> None:
    said = POST + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n"

    assert b"\r\n20000 " in answer(served, said)


# --- time ---------------------------------------------------------------------------------------


def test_who_is_slow_keeps_nobody_waiting(served: Served, stack: ExitStack) -> None:
    for said in (b"", b"G", b"GET / HTTP/1.1\r\nhost:", POST + b"content-length: 9\r\n\r\nx"):
        for _ in range(125):
            stack.enter_context(raw(served, said))

    assert [served.ask("hears").status for _ in range(20)] == [200] * 20


def test_who_closes_one_half_is_answered(served: Served) -> None:
    with raw(served, POST + b"content-length: 2\r\n\r\nhi") as sock:
        sock.shutdown(socket.SHUT_WR)

        assert sock.makefile("rb").read().startswith(b"HTTP/1.1 200 OK\r\n")


def test_who_never_reads_costs_little_memory(served: Served, stack: ExitStack) -> None:
    process = psutil.Process(pid(served))
    before = process.memory_info().rss
    for _ in range(20):
        stack.enter_context(raw(served, b"GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n"))
    assert [served.ask("hears").status for _ in range(50)] == [200] * 50

    assert process.memory_info().rss - before < 100 << 20  # each has a megabyte, and some


# --- WebSockets ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1 << 20, 15 << 20])
def test_a_large_message_is_heard(served: Served, size: int) -> None:
    with websocket(served) as client:
        client.send(b"x" * size)

        assert client.recv(timeout=30) == str(size)


def test_a_message_that_is_too_large_ends_the_websocket(served: Served) -> None:
    with websocket(served) as client:
        try:
            client.send(b"x" * (17 << 20))
        except ConnectionClosed:
            pass  # it did not hear on
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=30)

    assert closed.value.rcvd is None or closed.value.rcvd.code == 1009


def test_a_message_in_very_many_parts_is_heard(served: Served) -> None:
    with websocket(served) as client:
        client.send(["x"] * 5000)

        assert client.recv(timeout=30) == "5000"


def test_a_flood_of_pings_is_answered(served: Served) -> None:
    with websocket(served) as client:
        pongs = [client.ping(b"%d" % number) for number in range(2000)]
        assert all(pong.wait(30) for pong in pongs)

        client.send("hi")
        assert client.recv(timeout=30) == "2"


def test_nothing_is_compressed_on_a_websocket(served: Served) -> None:
    with websocket(served, compression="deflate") as client:
        assert client.protocol.extensions == []


def test_a_websocket_is_cut_off_where_its_process_dies(served: Served) -> None:
    before = pid(served)
    with websocket(served) as other, websocket(served) as client:
        client.send("die")
        for each in (client, other):
            with pytest.raises(ConnectionClosed) as closed:
                each.recv(timeout=30)
            assert closed.value.rcvd is None  # no close was said

    assert pid(served) != before
