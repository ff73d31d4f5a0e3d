"""The order in which an agent takes its locks; nothing runs here, so nothing can be waited for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from select import EPOLLIN
from typing import Any

import pytest

from apothic_backends.commands import RegisterFunction, RunJob
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload
from apothic_emulator.agent.agent import Agent
from apothic_emulator.agent.line import Line
from apothic_emulator.agent.zygote import Zygote
from apothic_emulator.core.effects import Recall
from apothic_emulator.core.facts import Asked
from apothic_emulator.executors import orders
from apothic_emulator.executors.orders import Message
from apothic_emulator.host.host import Host
from apothic_emulator.host.thread import HostThread
from apothic_emulator.host.tickets import HostTicket


@pytest.fixture
def agent() -> Iterator[Agent]:
    """An agent with one executor, which is never started."""
    host = Host(HostThread(Zygote()))
    function = _ask(host, RegisterFunction(FunctionSpec("app", "f"), Payload(b"code"))).result()
    _ask(host, RunJob(function, Payload(b"")))
    yield host.agent
    for line in host.agent.lines.values():
        line.close()
    host.agent.zygote.close()
    host.reader.close()


def _ask(host: Host, command: Any) -> HostTicket:
    ticket = HostTicket(host)
    host.post(Asked(command, ticket))
    return ticket


class Watched:
    """A lock that looks at the world when it is taken."""

    def __init__(self, look: Any) -> None:
        self._lock = threading.Lock()
        self._look = look

    def __enter__(self) -> None:
        self._look()
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()


def test_nobody_waits_for_a_line_while_he_keeps_others_from_being_buried(agent: Agent) -> None:
    line = agent.lines[1]
    seen: list[bool] = []
    line.reading = Watched(lambda: seen.append(agent._burying.locked()))  # type: ignore[assignment]

    agent.carry_out(Recall(1), set())

    assert seen == [False]


def test_a_line_that_hangs_up_is_forgotten_before_it_can_be_closed(agent: Agent) -> None:
    line = agent.lines[1]
    held: list[bool] = []

    class Looking(Agent):
        def _forget_channels(self, line: Line) -> None:
            held.append(line.reading.locked())
            super()._forget_channels(line)

    agent.__class__ = Looking
    line.channels.handed_over()
    agent.zygote._chain[0].far.close()  # with it goes what was to be handed over

    agent.read_channel(line.bulk_fd, EPOLLIN)

    assert held == [True]


def test_an_executor_has_not_ended_before_that_is_heard(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    news = [[Message(orders.STARTED, 1, 4711)], [Message(orders.ENDED, 1, 9)]]
    left: list[int] = []

    def wait(patience_s: float) -> list[Message]:
        left.append(len(agent.lines))
        return news.pop(0)

    monkeypatch.setattr(agent.zygotes, "wait", wait)

    agent.end_all()

    assert (left, news, agent.lines) == ([1, 1], [], {})
