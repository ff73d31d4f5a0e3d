from __future__ import annotations

import asyncio
import gc
import math
import threading
import time
import traceback
import weakref
from collections.abc import Callable

import anyio
import pytest

from apothic_backends.model.errors import TicketCancelled, WaitTimeout
from apothic_backends.ticket import Ticket
from tests.signals import unheard_interrupt

BACKENDS = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


def in_thread(work: object) -> threading.Thread:
    thread = threading.Thread(target=work)  # type: ignore[arg-type]
    thread.start()
    return thread


def test_a_reply_that_is_here_is_given_at_once() -> None:
    ticket: Ticket[int] = Ticket()
    ticket.complete(3)

    assert ticket.wait() == 3


def test_a_thread_waits_for_a_reply_of_another() -> None:
    ticket: Ticket[int] = Ticket()
    thread = in_thread(lambda: ticket.complete(3))

    assert ticket.wait() == 3
    thread.join()


def test_the_first_reply_stays() -> None:
    ticket: Ticket[int] = Ticket()
    ticket.complete(1)
    ticket.fail(ValueError())

    assert ticket.wait() == 1


def test_a_failure_is_raised() -> None:
    ticket: Ticket[int] = Ticket()
    ticket.fail(ValueError("no"))

    with pytest.raises(ValueError, match="no"):
        ticket.wait()


def test_an_error_that_is_raised_again_and_again_does_not_grow() -> None:
    ticket: Ticket[int] = Ticket()
    error = ValueError("no")
    ticket.fail(error)
    depths: list[int] = []
    for _ in range(3):
        with pytest.raises(ValueError, match="no"):
            ticket.result()
        depths.append(len(traceback.extract_tb(error.__traceback__)))

    assert depths == [depths[0]] * 3


def test_waiting_ends_with_its_time_and_the_ticket_stays_good() -> None:
    ticket: Ticket[int] = Ticket()
    with pytest.raises(WaitTimeout):
        ticket.wait(0.0)
    ticket.complete(3)

    assert ticket.wait(0.0) == 3


def test_ctrl_c_that_comes_just_before_a_wait_is_heard() -> None:
    with pytest.raises(KeyboardInterrupt), unheard_interrupt():
        Ticket[int]().wait()


class CompletedOnceWaitedFor(Ticket[int]):
    """Its reply comes as soon as somebody has asked to be told."""

    def on_done(self, callback: Callable[[], object]) -> bool:
        asked = super().on_done(callback)
        self.complete(3)
        return asked


def test_a_reply_can_be_waited_for_as_long_as_anybody_likes() -> None:
    assert CompletedOnceWaitedFor().wait(math.inf) == 3


def test_a_cancelled_ticket_says_so() -> None:
    ticket: Ticket[int] = Ticket()
    ticket.cancel()
    ticket.cancel()

    with pytest.raises(TicketCancelled):
        ticket.wait()


def test_callbacks_are_called_once_and_can_be_forgotten() -> None:
    ticket: Ticket[int] = Ticket()
    calls: list[str] = []

    def one() -> None:
        calls.append("one")

    def two() -> None:
        calls.append("two")

    assert ticket.on_done(one)
    assert ticket.on_done(two)
    ticket.off_done(one)
    ticket.off_done(one)
    ticket.complete(3)
    ticket.complete(4)

    assert calls == ["two"]
    assert not ticket.on_done(one)


@BACKENDS
async def test_a_reply_that_is_here_needs_no_loop(anyio_backend: str) -> None:
    ticket: Ticket[int] = Ticket()
    ticket.complete(3)

    assert await ticket == 3
    assert await ticket.until(0.0) == 3


@BACKENDS
async def test_a_task_waits_for_a_reply_of_a_thread(anyio_backend: str) -> None:
    ticket: Ticket[int] = Ticket()
    thread = in_thread(lambda: ticket.complete(3))

    assert await ticket == 3
    thread.join()


@BACKENDS
async def test_a_task_waits_until_a_moment(anyio_backend: str) -> None:
    ticket: Ticket[int] = Ticket()

    with pytest.raises(WaitTimeout):
        await ticket.until(time.monotonic())


@BACKENDS
async def test_a_task_is_woken_before_its_moment(anyio_backend: str) -> None:
    ticket: Ticket[int] = Ticket()
    thread = in_thread(lambda: ticket.complete(3))

    assert await ticket.until(time.monotonic() + 60.0) == 3
    thread.join()


@BACKENDS
async def test_a_cancelled_task_leaves_no_callback(anyio_backend: str) -> None:
    ticket: Ticket[int] = Ticket()
    with anyio.move_on_after(0):
        await ticket
    ticket.complete(3)

    assert await ticket == 3


@BACKENDS
async def test_no_wake_up_is_lost(anyio_backend: str) -> None:
    tickets: list[Ticket[int]] = [Ticket() for _ in range(500)]

    def complete() -> None:
        for i, ticket in enumerate(tickets):
            ticket.complete(i)

    threads = [in_thread(complete) for _ in range(2)]
    with anyio.fail_after(30):
        assert [await ticket for ticket in tickets] == list(range(500))
    for thread in threads:
        thread.join()


def test_threads_that_wait_for_one_ticket_are_all_woken() -> None:
    for _ in range(100):
        ticket: Ticket[int] = Ticket()
        threads = [in_thread(lambda ticket=ticket: ticket.wait(30.0)) for _ in range(4)]
        ticket.complete(3)
        for thread in threads:
            thread.join(30.0)
        assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("which", ["asyncio", "trio"])
def test_a_reply_to_a_loop_that_is_closed_harms_nobody(which: str) -> None:
    ticket: Ticket[int] = Ticket()

    async def wait() -> None:
        await ticket

    if which == "asyncio":
        loop = asyncio.new_event_loop()
        task = loop.create_task(wait())
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        ticket.complete(3)
        task.get_coro().close()
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        del task
        gc.collect()
    else:
        with pytest.raises(TimeoutError):
            anyio.run(_wait_a_moment, ticket, backend="trio")
        ticket.complete(3)

    assert ticket.wait() == 3


def test_a_loop_that_has_waited_is_let_go() -> None:
    async def wait() -> weakref.ref[asyncio.AbstractEventLoop]:
        await CompletedOnceWaitedFor()
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(wait())
    gc.collect()

    assert loop() is None


async def _wait_a_moment(ticket: Ticket[int]) -> None:
    with anyio.fail_after(0):
        await ticket


class Torn(list[Callable[[], object]]):
    """Callbacks that a finaliser interrupts while one is noted, by completing the ticket."""

    def __init__(self, ticket: Ticket[int], *, is_before: bool) -> None:
        self.ticket = ticket
        self.is_before = is_before

    def append(self, callback: Callable[[], object], /) -> None:
        if self.is_before:
            self.ticket.complete(3)
        super().append(callback)
        self.ticket.complete(3)


@pytest.mark.parametrize("is_before", [True, False])
def test_a_callback_is_never_lost_to_a_finaliser_and_never_called_twice(
    is_before: bool,
) -> None:
    ticket: Ticket[int] = Ticket()
    ticket._callbacks = Torn(ticket, is_before=is_before)
    called: list[int] = []

    if not ticket.on_done(lambda: called.append(1)):
        called.append(1)
    assert called == [1]
