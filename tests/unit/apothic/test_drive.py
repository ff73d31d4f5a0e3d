from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from apothic import App, Job
from apothic._connect import connect, use
from apothic._drive import block, drive, step
from apothic._twins import twin
from apothic_backends.commands import CancelJob
from apothic_backends.model.errors import WaitTimeout
from apothic_backends.ticket import Ticket
from tests.unit.apothic.threads import ThreadBackend

app = App("drive")


@app.function
def echo(value: int) -> int:
    return value


async def add(left: Ticket[int], right: Ticket[int], deadline: float | None = None) -> int:
    return await step(left, deadline) + await step(right, deadline)


def ticket_later(value: int) -> Ticket[int]:
    """A ticket that another thread completes."""
    ticket: Ticket[int] = Ticket()
    threading.Timer(0, ticket.complete, [value]).start()
    return ticket


def test_a_procedure_runs_in_a_thread() -> None:
    assert block(add(ticket_later(1), ticket_later(2))) == 3


async def test_the_same_procedure_runs_on_a_loop() -> None:
    assert await drive(add(ticket_later(1), ticket_later(2))) == 3


def test_an_error_of_a_ticket_is_raised_inside_the_procedure() -> None:
    async def rescue() -> str:
        try:
            await step(failed)
        except LookupError:
            return "rescued"
        return "not reached"

    failed: Ticket[int] = Ticket()
    threading.Timer(0, failed.fail, [LookupError()]).start()
    assert block(rescue()) == "rescued"


def test_a_step_that_comes_too_late_leaves_the_ticket_good() -> None:
    ticket: Ticket[int] = Ticket()

    with pytest.raises(WaitTimeout):
        block(add(ticket, ticket, deadline=0.0))

    ticket.complete(2)
    assert block(add(ticket, ticket, deadline=0.0)) == 4


async def test_an_awaited_step_that_comes_too_late_leaves_the_ticket_good() -> None:
    ticket: Ticket[int] = Ticket()

    with pytest.raises(WaitTimeout):
        await drive(add(ticket, ticket, deadline=0.0))

    ticket.complete(2)
    assert await drive(add(ticket, ticket, deadline=0.0)) == 4


class Owner:
    name = "owner"

    @twin
    async def ask(self, text: str) -> str:
        """Ask."""
        return f"{self.name} {text}"


async def test_a_method_and_its_twin_are_one_text() -> None:
    assert await Owner().ask.aio("hello") == "owner hello"
    assert Owner.ask.__doc__ == Owner().ask.__doc__ == "Ask."


def test_ctrl_c_during_the_users_iterable_arrives_there_and_cancels(held: ThreadBackend) -> None:
    def items() -> Iterator[int]:
        yield 1
        signal.raise_signal(signal.SIGINT)
        yield 2

    with pytest.raises(KeyboardInterrupt):
        echo.map(items())

    assert held.seen(CancelJob) == [CancelJob("jobs:1")]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_during_a_call_made_by_the_users_iterable_waits_for_its_step(
    backend: ThreadBackend,
) -> None:
    seen: list[str] = []

    class Interrupting(ThreadBackend):
        def start(self, command: Any) -> Any:
            if isinstance(command, CancelJob):
                signal.raise_signal(signal.SIGINT)
            ticket = super().start(command)
            seen.append("started")
            return ticket

    def items() -> Iterator[int]:
        yield 1
        Job("jobs:1").cancel()
        yield 2

    use(Interrupting())
    with pytest.raises(KeyboardInterrupt):
        echo.map(items())

    assert seen[-1] == "started"


def test_a_notebooks_main_thread_may_block(
    backend: ThreadBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = ModuleType("IPython")
    shell.get_ipython = type("Shell", (), {"kernel": object()})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", shell)

    async def cell() -> int:
        return echo.remote(3)

    assert asyncio.run(cell()) == 3


def test_the_backend_of_a_process_is_the_one_that_was_put_in_place(backend: ThreadBackend) -> None:
    assert connect() is backend
