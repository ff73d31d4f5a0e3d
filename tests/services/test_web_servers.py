"""Servers that functions start for themselves, in their own process and beside it, with real
clients."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as open_websocket

from apothic_backends.commands.services import StartService, StopService
from apothic_backends.connection import connect
from apothic_emulator.executors.web.web_server import WebServer
from tests.services.second import Second
from tests.services.served import TRIES, Served, port_of

HOMES = ("here", "agent")


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Second]:
    """A server of the module's own: its agent has the variables that the servers need."""
    with closing(Second(tmp_path_factory.mktemp("second"))) as second:
        yield second


@pytest.fixture(scope="module")
def served(serve: Callable[[str], Served]) -> Served:
    """The servers, deployed."""
    return serve("servers")


def raw(served: Served, service: str) -> socket.socket:
    """A plain connection to a service."""
    http = served.connect(service)
    return socket.create_connection((http.host, http.port), timeout=30)


def version(served: Served, service: str) -> str:
    return served.ask(service).body.decode().split()[0]


def until_version(served: Served, service: str, wanted: str) -> None:
    while version(served, service) != wanted:
        pass


# --- connections --------------------------------------------------------------------------------


def test_a_server_on_a_thread_is_reached(served: Served) -> None:
    assert served.ask("threads").status == 200


def test_a_server_that_is_another_program_is_reached(served: Served) -> None:
    assert served.ask("program").status == 200


def test_a_server_on_a_thread_is_reached_through_the_service_alone(served: Served) -> None:
    served.ask("threads")  # which binds 0.0.0.0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port_of(18765)))


def test_a_function_that_does_not_return_is_reached(served: Served) -> None:
    assert served.ask("stays").status == 200


def test_who_asks_for_another_host_does_not_reach_it(served: Served) -> None:
    answer = served.ask("threads", host="evil.example")

    assert (answer.status, b"APOTHIC_ALLOW_HOSTS" in answer.body) == (403, True)


def test_a_large_body_goes_through(served: Served) -> None:
    assert served.ask("threads", method="POST", data=b"x" * 20_000_000).status == 200


def test_a_websocket_goes_through(served: Served) -> None:
    address = served.connect("sockets")
    with open_websocket(f"ws://{address.host}:{address.port}") as client:
        client.send("hello")
        assert str(client.recv()).endswith(" hello")


def test_each_half_of_a_connection_ends_by_itself(served: Served) -> None:
    with raw(served, "echo") as client:
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)

        assert client.makefile("rb").read() == b"HELLO"


def test_what_is_said_before_the_server_is_there_is_not_lost(served: Served) -> None:
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: served.ask("threads").status, range(64)))

    assert answers == [200] * 64


# --- starts that fail ---------------------------------------------------------------------------


def test_a_server_at_another_port_is_named_with_it(served: Served) -> None:
    told = served.ask("elsewhere").body.decode()

    assert f"at port {port_of(18770)} within startup_timeout=0.3 s" in told
    assert f"listens at 0.0.0.0:{port_of(18771)}" in told


def test_a_program_that_others_would_reach_past_the_service_is_told_so(served: Served) -> None:
    answer = served.ask("everywhere")

    told = answer.body.decode()
    assert answer.status == 503
    assert "NotOnLoopback: it listens at 0.0.0.0:" in told
    assert f":{port_of(18775)} (process " in told
    assert "Have it listen at 127.0.0.1" in told


def test_a_program_that_others_would_reach_is_ended(served: Served) -> None:
    served.ask("everywhere")

    for _ in range(TRIES):
        with suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port_of(18775))).close()
            continue
        return
    raise AssertionError("it still listens")


def test_a_server_at_another_address_is_named_with_it(served: Served) -> None:
    told = served.ask("beside").body.decode()

    assert f"listens at 127.0.0.3:{port_of(18776)} (process " in told
    assert "Have it listen at 127.0.0.1" in told


def test_a_server_at_another_port_whose_function_stays_is_named_with_it(served: Served) -> None:
    told = served.ask("lingers").body.decode()

    assert "within service_startup_timeout_s=4, nor has the function returned" in told
    assert f"listens at 0.0.0.0:{port_of(18778)}" in told


def test_a_function_that_starts_nothing_is_told_so(served: Served) -> None:
    told = served.ask("nowhere").body.decode()

    assert "the function has started nothing that listens" in told


def test_a_port_that_a_stranger_has_is_told_with_its_holder(served: Served) -> None:
    port = port_of(18773)
    with socket.create_server(("127.0.0.1", port)):
        told = served.ask("taken").body.decode()

    assert f"port {port} is taken by 127.0.0.1:{port} (process {os.getpid()}, " in told


def test_a_stranger_at_the_port_is_not_in_the_way_of_this_interpreter(served: Served) -> None:
    with socket.create_server(("127.0.0.1", port_of(18774))):
        assert served.ask("dies").status == 200


def test_a_server_that_has_ended_is_started_again_and_loses_nobody(served: Served) -> None:
    for _ in range(5):
        before = served.ask("dies")
        after = served.ask("dies")

        assert (before.status, after.status) == (200, 200)
        assert before.body != after.body


# --- reload -------------------------------------------------------------------------------------


def test_the_next_version_starts_beside_the_one_before(served: Served) -> None:
    assert version(served, "threads")

    served.deploy("beside")

    until_version(served, "threads", "beside")


def test_programs_with_one_port_take_turns(served: Served) -> None:
    assert version(served, "program")

    served.deploy("turn")

    until_version(served, "program", "turn")


def test_what_was_returned_is_closed_at_the_end(served: Served) -> None:
    served.deploy("closing")
    until_version(served, "threads", "closing")
    connect().start(StopService("servers/threads", wait=True)).wait(30)
    said = Path(os.environ["CLOSED"]).read_text("utf-8").split()
    connect().start(StartService("servers/threads")).wait(30)

    assert "closing" in said


def test_who_is_in_a_hurry_lets_a_close_that_has_begun_finish() -> None:
    begun, may_end = threading.Event(), threading.Event()

    class Slow:
        def close(self) -> None:
            begun.set()
            may_end.wait(30)

    async def end() -> bool:
        running: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        running.set_result(Slow())
        server = WebServer(("127.0.0.1", 1), running, grace_s=30)
        first = asyncio.create_task(server.stop())
        await asyncio.to_thread(begun.wait, 30)
        first.cancel()
        second = asyncio.create_task(server.stop())
        await asyncio.wait({first})
        is_early = second.done()
        may_end.set()
        await second
        return is_early

    assert not asyncio.run(end())


def test_a_request_that_has_begun_is_finished_by_its_version(served: Served) -> None:
    served.deploy("slow")
    until_version(served, "threads", "slow")
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(served.ask, "threads", "/slow")
        gate = os.open(os.environ["GATE"], os.O_WRONLY)  # once it is being answered
        served.deploy("quick")
        until_version(served, "threads", "quick")
        os.close(gate)

        assert slow.result().body.split()[0] == b"slow"


def test_a_websocket_hears_what_its_server_says_at_the_end(served: Served) -> None:
    address = served.connect("sockets")
    with open_websocket(f"ws://{address.host}:{address.port}") as client:
        client.send("hello")
        client.recv()
        served.deploy("going")
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=30)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
