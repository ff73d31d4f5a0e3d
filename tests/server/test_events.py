"""Events over HTTP: from where one was, without a hole, and at nobody else's expense."""

from __future__ import annotations

import json
import socket
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.server.served import Answer, Served, served


class Told(NamedTuple):
    """One event of a stream."""

    id: str
    event: str
    data: Any


def parse(text: str) -> list[Told]:
    """The events in a stream."""
    found: list[Told] = []
    for block in text.split("\n\n"):
        lines = [line.partition(": ") for line in block.split("\n") if line[:1] not in ("", ":")]
        fields = {name: value for name, _, value in lines}
        if "event" in fields:
            told = Told(fields.get("id", ""), fields["event"], json.loads(fields["data"]))
            found.append(told)
    return found


def job_of(server: Served) -> str:
    """A job that has ended."""
    function = server.reply(
        "register-function",
        spec={"app_name": "events", "name": "int"},
        code={"codec": "ref", "data": "builtins:int"},
    )
    outcome = server.reply("run-job", function_id=function, arguments={"data": {}})
    return str(outcome["job_id"])


def watch(server: Served, query: str, *headers: tuple[str, str]) -> Answer:
    """What a stream that ends has told."""
    return server.ask("GET", f"/v1/events?{query}", headers=headers)


def test_a_job_is_told_from_its_beginning_to_its_end(server: Served) -> None:
    told = parse(watch(server, f"topic={job_of(server)}").body.decode())

    assert [one.event for one in told] == ["job.queued", "job.running", "job.result", "job.end"]


@pytest.mark.parametrize("how", ["after", "Last-Event-ID"])
def test_a_stream_goes_on_where_one_was(server: Served, how: str) -> None:
    job = job_of(server)
    second = parse(watch(server, f"topic={job}").body.decode())[1]

    again = (
        watch(server, f"topic={job}&after={second.id}")
        if how == "after"
        else watch(server, f"topic={job}", (how, second.id))
    )

    assert [one.event for one in parse(again.body.decode())] == ["job.result", "job.end"]


def test_the_id_that_a_browser_sends_counts_more_than_the_first_address(server: Served) -> None:
    job = job_of(server)
    told = parse(watch(server, f"topic={job}").body.decode())

    again = watch(server, f"topic={job}&after={told[0].id}", ("Last-Event-ID", told[2].id))

    assert [one.event for one in parse(again.body.decode())] == ["job.end"]


def test_a_position_of_another_history_is_told_as_a_reset_with_what_is_now(server: Served) -> None:
    told = parse(watch(server, f"topic={job_of(server)}&after=other:7").body.decode())

    assert [one.event for one in told[:2]] == ["stream.reset", "job.snapshot"]
    assert told[0].data["reason"] == "epoch_changed"


def test_one_goes_on_after_a_state_and_not_within_it(server: Served) -> None:
    job = job_of(server)
    told = parse(watch(server, f"topic={job}&after=other:7").body.decode())

    again = watch(server, f"topic={job}", ("Last-Event-ID", told[1].id))

    assert told[0].id == ""
    assert [one.event for one in parse(again.body.decode())] == ["job.result", "job.end"]


REFUSED = {
    "topic=jobs:999999": 404,
    "topic=nothing:x": 404,
    "after=x": 400,
    "snapshot=maybe": 400,
    "topic=jobs&topic=jobs": 400,
    "unknown=1": 400,
}


@pytest.mark.parametrize("query", REFUSED)
def test_a_stream_that_cannot_be_is_an_error(server: Served, query: str) -> None:
    assert watch(server, query).status == REFUSED[query]


@contextmanager
def watching(server: Served, query: str) -> Generator[socket.socket]:
    """A stream that goes on."""
    with socket.create_connection((server.host, server.port), 20) as sock:
        head = [f"GET /v1/events?{query} HTTP/1.1", f"Host: {server.own_host}"]
        head.append(f"Authorization: Bearer {server.token}")
        sock.sendall("\r\n".join([*head, "", ""]).encode())
        yield sock


def read_until(sock: socket.socket, text: bytes) -> bytes:
    got = b""
    while text not in got:
        piece = sock.recv(65536)
        assert piece, got
        got += piece
    return got


def put(server: Served, queue: str, count: int) -> None:
    items = {"items": [{"data": i} for i in range(count)]}
    server.reply("put-items", queue=queue, items=items, count=count)


def test_what_happens_is_told_as_it_happens(server: Served) -> None:
    server.reply("open-queue", queue="seen")
    with watching(server, "topic=queues:seen") as sock:
        read_until(sock, b": apothic")

        put(server, "seen", 3)

        assert b"queue.changed" in read_until(sock, b"queue.changed")


def test_a_stream_is_told_that_the_server_ends(home: Path) -> None:
    with served(home) as server, watching(server, "topic=jobs") as sock:
        read_until(sock, b": apothic")

        server.stop()

        told = read_until(sock, b"stream.reset")
        assert b'"reason":"shutdown"' in told + sock.recv(65536)


def test_a_watcher_that_takes_nothing_is_cut_off(hasty: Served) -> None:
    hasty.reply("put-key", name="d", key='"k"', value={"data": 0}, create=True)
    with watching(hasty, "topic=dicts:d") as sock:
        read_until(sock, b": apothic")
        for _ in range(30):  # 27 MB, of which the sockets hold a few
            hasty.reply("put-key", name="d", key='"k"', value={"data": "x" * 900_000})

        while "apothic_open_requests 1.0" not in hasty.ask("GET", "/metrics").body.decode():
            pass  # the watcher is one more

        with pytest.raises((ConnectionResetError, AssertionError)):
            read_until(sock, b"this is never told")


def test_a_hundred_watchers_are_told_everything_and_the_slow_ones_too(home: Path) -> None:
    with served(home) as server, ExitStack() as open_:
        server.reply("open-queue", queue="q")
        watchers = [open_.enter_context(watching(server, "topic=queues:q")) for _ in range(100)]
        for sock in watchers:
            read_until(sock, b": apothic")

        for _ in range(50):
            put(server, "q", 1)

        slow, fast = watchers[:10], watchers[10:]
        for sock in (*fast, *slow):  # the slow ones have read nothing until now
            got = b""
            while got.count(b"event: queue.changed") < 50:
                got += sock.recv(65536)
            seen = [
                int(line.rpartition(b":")[2]) for line in got.split(b"\n") if line[:4] == b"id: "
            ]
            assert seen == list(range(seen[0], seen[0] + 50))
