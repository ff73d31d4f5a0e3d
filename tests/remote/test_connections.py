"""What becomes of what was asked when a connection is refused, cut, or ends."""

from __future__ import annotations

import os
import pickle
import socket
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from random import Random

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from apothic_backends.base import Backend
from apothic_backends.commands import (
    GetDurability,
    ReadEvents,
    RegisterFunction,
    RunJob,
    SubmitJob,
    WaitJob,
)
from apothic_backends.commands.queues import ClaimItems, GetQueue, OpenQueue, PutItems, TakeItems
from apothic_backends.model.errors import BackendClosed, NotFound, TicketCancelled, UsageError
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.jobs import JobStatus
from apothic_backends.model.payloads import Payload
from apothic_backends.model.queues import QueueItems, alone
from apothic_backends.remote import frames
from apothic_backends.remote.address import address_of
from apothic_backends.remote.backend import RemoteBackend
from apothic_backends.remote.connection import Connection
from apothic_backends.remote.errors import KeyRefused, PayloadTooLarge, Unreachable
from apothic_backends.remote.frames import Hello
from tests.remote.proxy import Faults, Proxy
from tests.remote.serving import Served, Server


@contextmanager
def connected(url: str, key: str | None, **how: float) -> Generator[RemoteBackend]:
    backend = RemoteBackend(Connection(address_of(url), key, random=Random(1), **how))
    with closing(backend):
        yield backend


def register(backend: Backend, function: object = len) -> str:
    spec = FunctionSpec("app", "f")
    return backend.start(RegisterFunction(spec, Payload(pickle.dumps(function)))).wait(60)


def call_of(*args: object) -> Payload:
    return Payload(pickle.dumps((args, {})))


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, "another"])
def test_without_a_key_that_holds_nothing_is_answered(at: Server, key: str | None) -> None:
    with connected(at.url, key) as backend, pytest.raises(KeyRefused, match="APOTHIC_API_KEY"):
        backend.start(GetDurability()).wait(20)


def test_nobody_listens(key: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
    with (
        connected(f"http://127.0.0.1:{port}", key, first_s=0.2) as backend,
        pytest.raises(Unreachable, match=rf"http://127.0.0.1:{port}: .*apothic serve"),
    ):
        backend.start(GetDurability()).wait(20)


def test_a_server_that_was_not_there_is_tried_again(proxy: Proxy, served: Served, key: str) -> None:
    proxy.is_closed_to_new = True
    with connected(proxy.url, key, first_s=0.1) as backend:
        with pytest.raises(Unreachable):
            backend.start(GetDurability()).wait(20)
        proxy.is_closed_to_new = False

        assert backend.start(GetDurability()).wait(20) == "disk"


@pytest.mark.parametrize("path", ["/elsewhere", "/v1"])
def test_a_server_without_a_control_plane_says_so(
    at: Server, served: Served, key: str, path: str
) -> None:
    with connected(at.url + path, key) as backend, pytest.raises((NotFound, UsageError)):
        backend.start(GetDurability()).wait(20)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nobody_is_followed_elsewhere(key: str, status: int) -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as here,
        closing(socket.create_server(("127.0.0.1", 0))) as elsewhere,
    ):
        there = f"ws://127.0.0.1:{elsewhere.getsockname()[1]}/v1/session"
        answer = f"HTTP/1.1 {status} Moved\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n"
        thread = threading.Thread(target=answer_one, args=(here, answer.encode()))
        thread.start()
        with (
            connected(f"http://127.0.0.1:{here.getsockname()[1]}", key) as backend,
            pytest.raises(UsageError, match="leads elsewhere"),
        ):
            backend.start(GetDurability()).wait(20)
        thread.join()

        elsewhere.setblocking(False)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()


ANSWERS = {
    b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n": "it answers in HTTP/1.0, and",
    b"": "it hangs up without an answer; maybe it is an https:// one",
    b"SSH-2.0-server\r\n": "it does not speak HTTP",
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_that_is_none_is_told_as_what_it_is(key: str, answer: bytes) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as here:
        thread = threading.Thread(target=answer_one, args=(here, answer))
        thread.start()
        with (
            connected(f"http://127.0.0.1:{here.getsockname()[1]}", key, first_s=0.0) as backend,
            pytest.raises(Unreachable, match=ANSWERS[answer]),
        ):
            backend.start(GetDurability()).wait(20)
        thread.join()


def answer_one(listening: socket.socket, answer: bytes) -> None:
    """Take one connection, and give that answer to whatever is asked."""
    connection, _ = listening.accept()
    with connection:
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += connection.recv(4096)
        connection.sendall(answer)


def test_a_message_that_is_too_large_is_refused_here(at: Server, served: Served, key: str) -> None:
    with connected(at.url, key) as backend:
        function = register(backend)
        large = Payload(b"", (bytes(frames.MOST_BYTES + 1),))

        with pytest.raises(PayloadTooLarge) as caught:
            backend.start(SubmitJob(function, large)).wait(20)

    assert caught.value.data["most"] == frames.MOST_BYTES


def test_a_reply_that_is_too_large_is_an_error(at: Server, served: Served, key: str) -> None:
    with connected(at.url, key) as backend:
        function = register(backend, bytes)

        with pytest.raises(PayloadTooLarge):
            backend.start(RunJob(function, call_of(frames.MOST_BYTES))).wait(60)
        assert backend.start(GetDurability()).wait(20) == "disk"


# --- cuts -----------------------------------------------------------------------------------------


def test_what_waits_goes_on_waiting(proxy: Proxy, served: Served, key: str) -> None:
    with connected(proxy.url, key) as backend:
        backend.start(OpenQueue("q")).wait(20)
        taking = backend.start(TakeItems("q"))
        backend.start(GetDurability()).wait(20)

        proxy.cut_all()
        backend.start(PutItems("q", alone(b"x"), 1)).wait(20)

        assert taking.wait(20).count == 1


def test_a_watch_misses_nothing(proxy: Proxy, served: Served, key: str) -> None:
    with connected(proxy.url, key) as backend:
        function = register(backend)
        watch = backend.watch("jobs")
        backend.start(GetDurability()).wait(20)
        proxy.cut_all()
        job = backend.start(SubmitJob(function, call_of("abc"))).wait(20)
        told = [next(watch) for _ in range(2)]
        proxy.cut_all()
        told += [next(watch) for _ in range(2)]

    assert [event.event for event in told] == ["job.queued", "job.running", "job.result", "job.end"]
    assert {event.data["job_id"] for event in told} == {job}


def test_a_call_whose_connection_is_cut_has_its_result(
    proxy: Proxy, served: Served, key: str, tmp_path: Path
) -> None:
    with connected(proxy.url, key) as backend:
        runs = backend.start(RunJob(register(backend, open), call_of(_fifo(tmp_path), "rb")))
        backend.start(GetDurability()).wait(20)
        proxy.cut_all()
        job = runs.job_id
        backend.start(GetDurability()).wait(20)
        with Path(_fifo(tmp_path)).open("wb"):  # the call goes on
            outcome = runs.wait(20)

    assert job == "jobs:1"
    assert outcome.error is not None
    assert outcome.error.code == "result_not_serializable"


def _fifo(folder: Path) -> str:
    """What a call waits at that opens it."""
    path = folder / "fifo"
    if not path.exists():
        os.mkfifo(path)
    return str(path)


@pytest.mark.parametrize("seed", range(4))
def test_each_command_happens_once_through_a_bad_proxy(
    at: Server, served: Served, key: str, seed: int
) -> None:
    proxy = Proxy(at.port, Faults(cut=0.03, delay=0.3, duplicate=0.2), seed)
    try:
        with connected(proxy.url, key) as backend:
            function = register(backend)
            backend.start(OpenQueue("q")).wait(60)
            puts = [backend.start(PutItems("q", alone(b"%d" % i), 1)) for i in range(50)]
            submits = [backend.start(SubmitJob(function, call_of("a" * i))) for i in range(50)]
            jobs = [ticket.wait(60) for ticket in submits]
            outcomes = [backend.start(WaitJob(job)) for job in jobs]
            results = [pickle.loads(ticket.wait(60).result.data) for ticket in outcomes]  # type: ignore[union-attr]
            assert all(ticket.wait(60) for ticket in puts)
            taken = [bytes(_take(backend).items.data)[4:] for _ in range(50)]
            left = backend.start(GetQueue("q")).wait(60).partitions
    finally:
        proxy.close()

    assert results == list(range(50))
    assert len(served.host.plane.ledger.jobs) == 50
    assert sorted(taken, key=int) == [b"%d" % i for i in range(50)]
    assert left == {}
    assert proxy.duplicates


def _take(backend: Backend) -> QueueItems:
    return backend.start(TakeItems("q")).wait(60)


# --- clients that end -----------------------------------------------------------------------------


def vanish(backend: RemoteBackend, proxy: Proxy) -> None:
    """As if its machine had lost its power."""
    proxy.is_closed_to_new = True
    proxy.cut_all()


def test_a_call_ends_with_a_client_that_does_not_come_back(
    proxy: Proxy, served: Served, at: Server, key: str, tmp_path: Path
) -> None:
    with connected(at.url, key) as other, connected(proxy.url, key, patience_s=0.1) as backend:
        backend.start(RunJob(register(backend, open), call_of(_fifo(tmp_path), "rb")))
        spawned = backend.start(SubmitJob(register(backend), call_of("abc")))
        backend.start(GetDurability()).wait(20)
        vanish(backend, proxy)

        assert other.start(WaitJob("jobs:1")).wait(20).status is JobStatus.CANCELLED
        assert other.start(WaitJob(spawned.wait(20))).wait(20).status is JobStatus.SUCCEEDED


def test_items_that_reached_nobody_go_back(
    proxy: Proxy, served: Served, at: Server, key: str
) -> None:
    with connected(at.url, key) as other, connected(proxy.url, key, patience_s=0.1) as backend:
        other.start(OpenQueue("q")).wait(20)
        for item in (b"a", b"b"):
            other.start(PutItems("q", alone(item), 1)).wait(20)
        read, unread = backend.start(TakeItems("q")), backend.start(TakeItems("q"))
        read.wait(20)
        backend.start(GetDurability()).wait(20)
        assert unread.done
        vanish(backend, proxy)

        again = other.start(TakeItems("q")).wait(20)

    assert bytes(again.items.data)[4:] == b"b"


def test_items_that_are_not_wanted_any_more_go_back_at_once(
    at: Server, served: Served, key: str
) -> None:
    with connected(at.url, key) as backend:
        backend.start(OpenQueue("q")).wait(20)
        backend.start(PutItems("q", alone(b"a"), 1)).wait(20)
        for command in (TakeItems("q"), ClaimItems("q")):
            ticket = backend.start(command)
            backend.start(GetDurability()).wait(20)
            assert ticket.done
            ticket.cancel()
            with pytest.raises(TicketCancelled):
                ticket.wait()

            assert backend.start(GetQueue("q")).wait(20).partitions[""].ready == 1


def test_a_submission_that_is_given_up_too_late_leaves_no_job(
    at: Server, served: Served, key: str, tmp_path: Path
) -> None:
    with connected(at.url, key) as backend:
        function = register(backend, open)
        ticket = backend.start(SubmitJob(function, call_of(_fifo(tmp_path), "rb")))
        ticket.cancel()

        assert backend.start(WaitJob("jobs:1")).wait(20).status is JobStatus.CANCELLED


def test_closing_ends_what_waits_here_and_there(at: Server, served: Served, key: str) -> None:
    with connected(at.url, key) as backend:
        backend.start(OpenQueue("q")).wait(20)
        waiting = backend.start(TakeItems("q"))
        backend.start(GetDurability()).wait(20)
    with pytest.raises(BackendClosed):
        waiting.wait(1)

    with pytest.raises(BackendClosed):
        backend.start(GetDurability()).wait(1)
    assert not served.host.look(lambda plane: plane.tokens())


def test_a_fork_has_no_connection(at: Server, served: Served, key: str) -> None:
    with connected(at.url, key) as backend:
        backend.start(GetDurability()).wait(20)
        waiting = backend.start(ReadEvents())
        pid = os.fork()
        if pid == 0:  # pragma: no cover - coverage does not follow
            try:
                for ticket in (waiting, backend.start(GetDurability())):
                    with pytest.raises(BackendClosed, match="fork"):
                        ticket.wait(5)
                os._exit(0)
            except BaseException:
                os._exit(1)

        assert os.waitpid(pid, 0)[1] == 0
        assert backend.start(GetDurability()).wait(20) == "disk"


# --- what others send -----------------------------------------------------------------------------

HELLO = frames.pack_record(frames.HELLO, Hello("0" * 32, []))


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ([b""], "not a message of ours"),
        ([b"\xff\xff\xff\xff{}"], "not a message of ours"),
        ([b"\0\0\0\2{}"], "not a message of ours"),
        (["text"], "messages are bytes here"),
        ([frames.pack(frames.ASK, 1)], "where a hello is expected"),
        ([frames.pack_record(frames.HELLO, Hello("me", []))], "32 hexadecimal digits"),
        ([frames.pack_record(frames.HELLO, Hello("0" * 32, [], version=9))], "version 1"),
        ([frames.pack(frames.HELLO, 0, {"client": "0" * 32, "pending": ["x"]})], "no numbers"),
        ([frames.pack(frames.HELLO, 0, ["x"])], "no Hello"),
        ([HELLO, frames.pack("nonsense", 1)], "'nonsense' from a client"),
        ([HELLO, frames.pack(frames.SEEN, 1, "x")], "no numbers"),
    ],
)
def test_what_is_no_message_ends_the_connection(
    at: Server, served: Served, key: str, sent: list[bytes | str], why: str
) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    url = f"ws://127.0.0.1:{at.port}{frames.CLIENT_PATH}"
    told: list[frames.Message] = []
    with connect(url, additional_headers=headers) as raw, suppress(ConnectionClosed):
        for data in sent:
            raw.send(data)
        while True:
            told.append(frames.unpack(raw.recv()))  # type: ignore[arg-type]

    assert told[-1].kind == frames.FAIL
    assert why in told[-1].value().message


@pytest.mark.parametrize("body", [None, {"$record": "Nothing"}, {"$record": "FunctionSpec"}, 7])
def test_what_is_no_command_is_refused_by_itself(
    at: Server, served: Served, key: str, body: object
) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    url = f"ws://127.0.0.1:{at.port}{frames.CLIENT_PATH}"
    with connect(url, additional_headers=headers) as raw:
        raw.send(HELLO)
        raw.send(frames.pack(frames.ASK, 1, body))
        raw.send(frames.pack_value(frames.ASK, 2, GetDurability()))
        told = [frames.unpack(raw.recv()) for _ in range(3)]  # type: ignore[arg-type]

    assert isinstance(told[1].value(), UsageError)
    assert told[2].value() == "disk"
