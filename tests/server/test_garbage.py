"""Whatever bytes come, the server answers the next request, and nothing has changed."""

from __future__ import annotations

import random
import socket

import pytest

from tests.server.served import Served

ROUNDS = 400


def request(server: Served, token: str) -> bytes:
    body = b'{"queue": "garbage", "max_items": 17}'
    return (
        f"POST /v1/open-queue HTTP/1.1\r\nHost: {server.own_host}\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode() + body


def spoiled(data: bytes, rng: random.Random) -> bytes:
    """A request with something wrong in it."""
    at = rng.randrange(len(data))
    match rng.randrange(5):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + rng.randbytes(rng.randrange(1, 20)) + data[at:]
        case 2:
            return data[:at] + data[at + rng.randrange(1, 20) :]
        case 3:
            return data[:at] + data[rng.randrange(len(data)) :]
        case _:
            return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def exchange(server: Served, data: bytes) -> bytes:
    """What the server says, at most for a moment."""
    with socket.create_connection((server.host, server.port), 20) as sock:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            return sock.recv(65536)
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize("seed", range(3))
def test_a_request_that_is_spoiled_harms_nobody(server: Served, seed: int) -> None:
    rng = random.Random(seed)
    whole = request(server, server.key("agent"))  # which may not ask for that

    answers = [exchange(server, spoiled(whole, rng)) for _ in range(ROUNDS)]

    assert [
        answer for answer in answers if b" 200 " in answer[:16] or b" 500 " in answer[:16]
    ] == []
    assert server.ask("GET", "/healthz", token=None).status == 200
    assert server.call("get-queue", queue="garbage").status == 404


SMUGGLED = {
    "both lengths": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "a length with a sign": b"Content-Length: +5\r\n\r\nhello",
    "a folded header": b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    "a header without a name": b": x\r\nContent-Length: 2\r\n\r\n{}",
    "a space before the colon": b"Content-Length : 2\r\n\r\n{}",
    "an encoding that is none": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a chunk that is none": b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "a null in a header": b"X: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("what", SMUGGLED)
def test_a_request_that_two_servers_could_read_in_two_ways_is_refused(
    server: Served, what: str
) -> None:
    head = f"POST /v1/list-schedules HTTP/1.1\r\nHost: {server.own_host}\r\n"
    head += f"Authorization: Bearer {server.token}\r\nContent-Type: application/json\r\n"

    answer = exchange(server, head.encode() + SMUGGLED[what])

    assert b" 200 " not in answer[:16]
