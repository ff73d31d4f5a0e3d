"""The process of a service: whoever connects as it comes to rest is for the next one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from apothic_emulator.executors.web import serving
from apothic_emulator.executors.web.serving import Serving
from tests.unit.emulator.executors.web.doors import Door
from tests.unit.emulator.executors.web.test_server import ASK, UPGRADE

PATIENCE_S = 20.0
SERVICE = {"method": "", "shape": "asgi", "keep_warm_s": 0, "grace_s": 5.0}
SPEC = {"name": "demo/web", "service": SERVICE, "timeout_s": 60.0, "slots": 1000}


async def app(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "lifespan", "nobody is to be taken"


async def serve(executor: Executor) -> None:
    """Be the process, until it has ended by itself."""
    async with asyncio.timeout(PATIENCE_S):
        await Serving(executor, SPEC).run()


class Executor:
    """What a service is in: its host hangs up as soon as it hears that it rests."""

    lasting = None

    def __init__(self, door: Door, as_it_rests: Callable[[], object]) -> None:
        self.door = door.duplicates()
        self.jobs, self._host = socket.socketpair()
        self._as_it_rests = as_it_rests
        self.words: list[bytes] = []

    def function(self) -> Any:
        return app

    def is_ready(self) -> None:
        """Nobody is told."""

    def cannot_load(self, name: str, error: BaseException) -> Any:
        raise error

    def report(self, job: int, attempt: int, report: Any) -> None:
        """There is nothing to report."""

    def send(self, frame: Any) -> None:
        self.words.append(bytes(frame.body))
        self._as_it_rests()
        self._host.close()

    def close(self) -> None:
        self.jobs.close()
        self._host.close()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("asks", [ASK, UPGRADE, b""])
def test_whoever_connects_as_it_comes_to_rest_is_left_for_the_next(
    door: Door, monkeypatch: pytest.MonkeyPatch, loop: Any, asks: bytes
) -> None:
    monkeypatch.setattr(serving, "FIRST_S", 0.0)
    late: list[socket.socket] = []

    def connect() -> None:
        late.append(door.caller())
        late[0].sendall(asks)

    executor = Executor(door, connect)
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(serve(executor))
    executor.close()

    assert executor.words == [b"rests"]
    late[0].shutdown(socket.SHUT_WR)
    door.listener.settimeout(PATIENCE_S)
    taken, _ = door.listener.accept()
    with taken, taken.makefile("rb") as heard:
        assert heard.read() == asks


def test_it_ends_though_its_host_does_not_hear_that_it_rests(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "FIRST_S", 0.0)
    executor = Executor(door, bool)
    monkeypatch.setattr(executor, "send", lambda _: None)

    asyncio.run(serve(executor))

    executor.close()
