"""Too much of anything: what is refused, and how those who are refused can go on."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from websockets.sync.client import connect

from apothic_backends.commands import GetDurability
from apothic_backends.model.errors import OverLimit
from apothic_backends.remote import frames
from apothic_backends.remote.address import address_of
from apothic_backends.remote.backend import RemoteBackend
from apothic_backends.remote.connection import Connection
from apothic_emulator.server.protocol import MOST_FRAGMENTS
from tests.server.served import Answer, Served, cli, served

LIMITS = {
    "connections": 20,
    "requests": 8,
    "jobs": 30,
    "functions": 5,
    "queues": 3,
    "dicts": 3,
    "keys": 3,
    "bytes": 100_000,
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that has little for each."""
    told = [text for name, most in LIMITS.items() for text in ("--limit", f"{name}={most}")]
    with served(tmp_path_factory.mktemp("small"), *told, "--grace", "0") as server:
        yield server


@pytest.fixture
def token(small: Served, request: pytest.FixtureRequest) -> str:
    """A key of an account that nobody else has, whose jobs wait because no agent has joined."""
    account = f"a{abs(hash(request.node.name)):x}"[:30]
    return small.key("run", account=account)


# --- connections ----------------------------------------------------------------------------------


def open_from(server: Served, source: str) -> socket.socket:
    return socket.create_connection((server.host, server.port), 20, (source, 0))


def said_on(sock: socket.socket) -> bytes:
    sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    return b"".join(iter(lambda: sock.recv(4096), b""))


def test_one_address_has_so_many_connections(small: Served) -> None:
    with ExitStack() as stack:
        held = [
            stack.enter_context(open_from(small, "127.9.0.1")) for _ in range(LIMITS["connections"])
        ]
        with open_from(small, "127.9.0.1") as one_more:
            refused = one_more.recv(4096)
        with open_from(small, "127.9.0.2") as other:
            assert b" 403 " in said_on(other)[:16]  # it is heard

        assert refused.startswith(b"HTTP/1.1 429 ")
        assert b"\r\nRetry-After: 1\r\n" in refused
        said_on(held.pop())
        with open_from(small, "127.9.0.1") as again:
            assert b" 403 " in said_on(again)[:16]


def test_connections_that_became_websockets_are_counted_until_they_end(
    small: Served, token: str
) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    for _ in range(2 * LIMITS["connections"]):
        with connect(f"ws://{small.own_host}/v1/session", additional_headers=headers):
            pass


def test_a_program_that_is_refused_comes_again_and_is_told_at_last(
    small: Served, token: str
) -> None:
    with ExitStack() as stack:
        held = [stream(stack, small, token) for _ in range(LIMITS["requests"])]
        url = address_of(small.url)
        backend = RemoteBackend(Connection(url, token, first_s=0.5, random=Random(1)))
        with closing(backend):
            with pytest.raises(OverLimit, match="--limit") as refused:
                backend.start(GetDurability()).wait(20)
            assert refused.value.data["limit"] == "connections"
            held.pop().close()
            patient = RemoteBackend(Connection(url, token, first_s=20.0, random=Random(1)))
            with closing(patient):
                assert patient.start(GetDurability()).wait(20) == "disk"


# --- requests -------------------------------------------------------------------------------------


def stream(stack: ExitStack, server: Served, token: str) -> socket.socket:
    """Watch events; what is sent has begun."""
    sock = stack.enter_context(socket.create_connection((server.host, server.port), 20))
    head = f"GET /v1/events HTTP/1.1\r\nHost: {server.own_host}\r\nAuthorization: Bearer {token}"
    sock.sendall(f"{head}\r\n\r\n".encode())
    assert b" 200 " in sock.recv(4096)[:16]
    return sock


def test_one_account_has_so_many_requests_under_way(small: Served, token: str) -> None:
    with ExitStack() as stack:
        for _ in range(LIMITS["requests"]):
            stream(stack, small, token)

        refused = small.call("list-schedules", token)

        assert (refused.status, refused.code) == (429, "over_limit")
        assert refused.headers["retry-after"] == "1"
        assert small.call("list-schedules", small.key("run", account="z")).status == 200
        assert small.call("list-schedules").status == 200  # its operator is always heard
    while (answer := small.call("list-schedules", token)).status == 429:
        assert answer.code == "over_limit"
    assert answer.status == 200


# --- what an account holds ------------------------------------------------------------------------


def function(server: Served, token: str, name: str = "f") -> str:
    code = {"codec": "ref", "data": "builtins:len"}
    spec = {"app_name": "a", "name": name}
    return str(server.reply("register-function", token, spec=spec, code=code))


def refusal(answers: list[Answer]) -> tuple[int, int, str]:
    """How many were taken, and how the next was refused."""
    taken = [answer.status for answer in answers].index(429)
    assert answers[taken].headers["retry-after"] == "1"
    return taken, answers[taken].status, answers[taken].code


def test_jobs_that_wait_are_bounded(small: Served, token: str) -> None:
    called = function(small, token)
    answers = [
        small.call("submit-job", token, function_id=called, arguments={"data": {}})
        for _ in range(LIMITS["jobs"] + 1)
    ]

    assert refusal(answers) == (LIMITS["jobs"], 429, "queue_full")


MANY: dict[str, tuple[str, Any]] = {
    "queues": ("open-queue", lambda n: {"queue": f"q{n}"}),
    "dicts": (
        "put-key",
        lambda n: {"name": f"d{n}", "key": '"k"', "value": {"data": 1}, "create": True},
    ),
    "keys": (
        "put-key",
        lambda n: {"name": "d", "key": f'"{n}"', "value": {"data": 1}, "create": True},
    ),
    "functions": (
        "register-function",
        lambda n: {
            "spec": {"app_name": "a", "name": f"f{n}"},
            "code": {"codec": "ref", "data": "a:b"},
        },
    ),
}


@pytest.mark.parametrize("what", MANY)
def test_what_an_account_has_is_bounded(small: Served, token: str, what: str) -> None:
    command, fields = MANY[what]
    answers = [small.call(command, token, **fields(n)) for n in range(LIMITS[what] + 1)]

    assert refusal(answers) == (LIMITS[what], 429, "over_limit")
    assert answers[-1].json["error"]["data"]["limit"] == what


def test_values_are_bounded_by_their_bytes(small: Served, token: str) -> None:
    value = {"data": "x" * 60_000}
    answers = [
        small.call("put-key", token, name="d", key=f'"{n}"', value=value, create=True)
        for n in range(2)
    ]

    assert refusal(answers) == (1, 429, "over_limit")


PROGRAM = """
import apothic

app = apothic.App("many")

@app.function(max_pending_tasks=1_000_000)
def double(n):
    return 2 * n

if __name__ == "__main__":
    print(sum(double.map(range(300))))
"""


def test_a_map_waits_for_room_where_there_is_less_of_it_than_it_has_calls(
    small: Served, tmp_path: Path
) -> None:
    program = small.program(tmp_path, PROGRAM)

    assert program.communicate(timeout=60) == (f"{300 * 299}\n", "")


# --- heads ----------------------------------------------------------------------------------------


def test_a_hundred_thousand_headers_are_too_many(server: Served) -> None:
    with socket.create_connection((server.host, server.port), 20) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")
        heard = b""
        try:
            for _ in range(1000):
                sock.sendall(b"X: y\r\n" * 100)
            heard = sock.recv(64)
        except (BrokenPipeError, ConnectionResetError):
            heard = heard or b"HTTP/1.1 431 "

    assert heard.startswith(b"HTTP/1.1 431 ")


def test_a_head_that_never_ends_is_not_waited_for(hasty: Served) -> None:
    """Several of them at once, while others are served."""
    with ExitStack() as stack:
        slow = [stack.enter_context(open_from(hasty, "127.9.0.3")) for _ in range(50)]
        for sock in slow:
            sock.sendall(b"GET / HTTP/1.1\r\nX: ")
        assert hasty.ask("GET", "/healthz", token=None).status == 200

        for sock in slow:
            sock.settimeout(20)
            assert sock.recv(64).startswith(b"HTTP/1.1 408 ")


def test_the_rest_of_a_request_that_was_refused_is_not_waited_for(hasty: Served) -> None:
    head = f"POST /v1/get-job HTTP/1.1\r\nHost: {hasty.own_host}\r\nContent-Length: 1000000\r\n\r\n"
    with open_from(hasty, "127.9.0.4") as sock:
        sock.sendall(head.encode() + b"{")
        assert sock.recv(4096).startswith(b"HTTP/1.1 401 ")

        sock.settimeout(0.2)
        while not has_ended(sock):
            pass


def has_ended(sock: socket.socket) -> bool:
    """Send one byte more; whether the other side has hung up, as far as is seen in a while."""
    try:
        sock.sendall(b" ")
        return not sock.recv(64)
    except TimeoutError:
        return False
    except (ConnectionResetError, BrokenPipeError):
        return True


# --- frames ---------------------------------------------------------------------------------------


def upgraded(server: Served, *more: str) -> socket.socket:
    """A WebSocket of a client, as bytes; what came with the handshake is read."""
    sock = socket.create_connection((server.host, server.port), 20)
    head = [
        "GET /v1/session HTTP/1.1",
        f"Host: {server.own_host}",
        f"Authorization: Bearer {server.token}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *more,
    ]
    sock.sendall("\r\n".join([*head, "", ""]).encode())
    return sock


def frame(opcode: int, data: bytes, *, fin: bool = True, told: int | None = None) -> bytes:
    """A masked frame, maybe of another length than it says."""
    size = len(data) if told is None else told
    length = struct.pack(">BQ", 255, size) if size > 125 else struct.pack(">B", 128 | size)
    return bytes([(128 if fin else 0) | opcode]) + length + bytes(4) + data


FLOODS = {
    "a message of a gigabyte": frame(2, b"", told=1 << 30),
    "a message of very many pieces": frame(2, b"", fin=False)
    + frame(0, b"", fin=False) * (4 * MOST_FRAGMENTS),
    "pings without end": frame(9, b"x" * 125) * 400_000,
}


@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_of_frames_ends_its_own_connection(server: Served, what: str) -> None:
    with upgraded(server) as sock:
        assert b" 101 " in sock.recv(4096)
        hello = frames.pack_record(frames.HELLO, frames.Hello("f" * 32, []))
        sock.sendall(frame(2, hello))
        try:
            sock.sendall(FLOODS[what])
            while sock.recv(65536):
                pass
        except (BrokenPipeError, ConnectionResetError):
            pass

    assert server.ask("GET", "/healthz", token=None).status == 200


def test_messages_are_not_compressed(server: Served) -> None:
    with upgraded(server, "Sec-WebSocket-Extensions: permessage-deflate") as sock:
        assert b"deflate" not in sock.recv(4096)


# --- what its operator may say --------------------------------------------------------------------


def test_a_limit_that_cannot_be_is_refused(tmp_path: Path) -> None:
    ran = cli(tmp_path, "serve", "--port", "0", "--limit", "jobs=0")

    assert ran.returncode != 0
    assert "the limit jobs is a whole number from 1" in ran.stderr
