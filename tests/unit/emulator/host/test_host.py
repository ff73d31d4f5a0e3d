from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any
from weakref import ref

import pytest

from apothic_backends.commands import RegisterFunction, RunJob
from apothic_backends.model.errors import BackendClosed
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload
from apothic_emulator.agent.zygote import Zygote
from apothic_emulator.core.facts import Asked
from apothic_emulator.executors import wire
from apothic_emulator.executors.wire import Frame
from apothic_emulator.host.backend import LocalBackend
from apothic_emulator.host.host import Host
from apothic_emulator.host.thread import HostThread
from apothic_emulator.host.tickets import HostTicket


@pytest.fixture
def host() -> Iterator[Host]:
    """A host whose thread does not run, and whose executors are never started."""
    host = Host(HostThread(Zygote()))
    yield host
    for line in host.agent.lines.values():
        line.close()
    host.agent.zygote.close()
    host.reader.close()


def ask(host: Host, command: Any) -> HostTicket:
    ticket = HostTicket(host)
    host.post(Asked(command, ticket))
    return ticket


def run_job(host: Host) -> HostTicket:
    registered = ask(host, RegisterFunction(FunctionSpec("app", "f"), Payload(b"code")))
    return ask(host, RunJob(registered.wait(), Payload(b"")))


def test_what_a_fork_gives_up_is_not_given_up_by_its_parent(host: Host) -> None:
    ticket = run_job(host)
    host.abandon()
    ticket.cancel()

    assert host.plane.tokens() == [ticket]


def test_nobody_waits_in_a_fork_for_what_its_parent_has_asked(host: Host) -> None:
    ticket = run_job(host)
    host.abandon()

    with pytest.raises(BackendClosed):
        ticket.wait(0.0)


def test_nobody_is_called_back_in_a_fork(host: Host) -> None:
    ticket = run_job(host)
    host.abandon()

    assert not ticket.on_done(lambda: None)


class Worker:
    """Takes replies, in place of an executor's line."""

    number = 1
    is_closed = False
    outgoing = ()

    def __init__(self) -> None:
        self.replies: list[int] = []
        self.requests: dict[int, object] = {}

    def reply(self, kind: int, *rest: object) -> None:
        self.replies.append(kind)


def test_a_worker_is_told_that_its_command_is_none(host: Host) -> None:
    worker: Any = Worker()
    body = b'{"$record": "GetJob", "job_id": 5}'

    host._asked_by_worker(worker, Frame(wire.COMMAND, 0, 1, 1, body))

    assert worker.replies == [wire.FAILURE]
    assert not host.inbox
    assert not worker.requests


def test_a_backend_that_was_closed_is_let_go() -> None:
    thread = HostThread(Zygote())
    thread.start()
    backend = LocalBackend(Host(thread))
    host = ref(backend._host)
    backend.close()
    del backend, thread
    gc.collect()

    assert host() is None
