"""Procedures: written once as `async def`, run by a blocking caller or on an event loop.

A procedure awaits nothing but `step(...)`, which hands a ticket out to whoever runs it. `block`
waits for the ticket in the caller's own thread, `drive` awaits it on asyncio or trio. So a method
and its `aio` twin are one text:

    class Job:
        @twin
        async def status(self) -> JobStatus:      # job.status() blocks,
            snapshot = await step(...)            # job.status.aio() is awaited
            return snapshot.status

While `block` runs, Ctrl-C arrives only at a `step` that waits: there the procedure can still say
which jobs to cancel. User code that may take long belongs inside `with WINDOW`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from types import coroutine
from typing import Any, Generic, TypeVar

from apothic_backends.interrupts import DEFERRED, WINDOW
from apothic_backends.model.errors import BlockingCall, UsageError, WaitTimeout
from apothic_backends.ticket import Ticket

T = TypeVar("T")


def deadline_after(timeout_s: float | None) -> float | None:
    """The moment that far from now on the clock that `step` goes by; None for never."""
    return None if timeout_s is None else time.monotonic() + timeout_s


def is_past(deadline: float | None) -> bool:
    """Whether that moment is over."""
    return deadline is not None and time.monotonic() > deadline


@coroutine
def step(
    ticket: Ticket[T] | Foreign[T] | Turn, deadline: float | None = None
) -> Generator[Any, Any, T]:
    """Wait for a ticket inside a procedure.

    Raises:
        WaitTimeout: the deadline came first; the ticket stays good.
        Overtaken: what stops something foreign came first.
    """
    if ticket.done:
        return ticket.result()
    return (yield ticket, deadline)


class Overtaken(Exception):
    """Something else came before what was awaited, which is cancelled."""


class Foreign(Generic[T]):
    """Something of the user's to await, in a step; a blocking caller has no loop to do it on."""

    done = False

    def __init__(self, begin: Callable[[], Awaitable[T]], stop: Ticket[None] | None = None) -> None:
        self._begin = begin
        self._stop = stop

    def result(self) -> T:
        """Never asked for: it is not done before it is awaited."""
        raise AssertionError

    def wait(self, timeout_s: float | None = None) -> T:
        """Refuse."""
        del timeout_s
        raise UsageError(
            "an async iterable needs the awaited form, such as `await fn.map.aio(...)`"
        )

    def __await__(self) -> Generator[Any, Any, T]:
        """Await it on the running loop."""
        if self._stop is None:
            return self._begin().__await__()
        return self.until(None).__await__()

    async def until(self, deadline: float | None) -> T:
        """Await it on the running loop, until the deadline or what stops it at the latest."""
        left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        trio = sys.modules.get("trio")
        if trio is not None and trio.lowlevel.in_trio_run():
            with (
                trio.CancelScope() as scope,
                self._stopping(trio.lowlevel.current_trio_token().run_sync_soon, scope.cancel),
            ):
                if left_s is not None:
                    scope.deadline = trio.current_time() + left_s
                return await self._begin()
        else:
            import asyncio  # its loop runs already  # noqa: PLC0415

            loop = asyncio.get_running_loop()
            limit = asyncio.timeout(left_s)
            try:
                async with limit:
                    with self._stopping(
                        loop.call_soon_threadsafe, lambda: limit.reschedule(loop.time())
                    ):
                        return await self._begin()
            except TimeoutError:
                if not limit.expired():
                    raise  # the user's own
        if self._stop is not None and self._stop.done:
            raise Overtaken
        raise WaitTimeout("the next item did not come in time")

    @contextmanager
    def _stopping(
        self, soon: Callable[[Callable[[], None]], object], end: Callable[[], None]
    ) -> Generator[None]:
        """Have the loop call `end` when what stops this is done, from whichever thread."""
        stop, is_over = self._stop, False

        def end_if_awaited() -> None:
            if not is_over:
                with suppress(RuntimeError):  # it is ending already, for another reason
                    end()

        def tell() -> None:
            with suppress(RuntimeError):  # the loop is gone, and who awaited with it
                soon(end_if_awaited)

        if stop is not None and not stop.on_done(tell):
            tell()
        try:
            yield
        finally:
            is_over = True
            if stop is not None:
                stop.off_done(tell)


class Turn:
    """A turn for the other tasks of the running loop, in a step; a blocking caller goes on."""

    done = False

    def result(self) -> Any:
        """Never asked for."""
        raise AssertionError

    def wait(self, timeout_s: float | None = None) -> None:
        """Go on."""

    def __await__(self) -> Generator[Any, Any, None]:
        """Let the others have their turn."""
        return checkpoint().__await__()


class _Work(Ticket[T]):
    """Something that blocks: done by the thread that waits, or beside the loop that awaits it."""

    __slots__ = ("_do",)

    def __init__(self, do: Callable[[], T]) -> None:
        super().__init__()
        self._do = do

    def _block(self, deadline: float | None) -> None:
        with WINDOW:
            self._run()

    def _suspend(self, deadline: float | None) -> Coroutine[Any, Any, None]:
        run = copy_context().run
        threading.Thread(target=run, args=(self._run,), name="apothic-work", daemon=True).start()
        return super()._suspend(deadline)

    def _run(self) -> None:
        try:
            self.complete(self._do())
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self.fail(error)


async def work(do: Callable[[], T]) -> T:
    """Do something that blocks, inside a procedure."""
    return await step(_Work(do))


def block(procedure: Coroutine[Any, Any, T]) -> T:
    """Run a procedure in this thread."""
    with DEFERRED:
        try:
            asked, deadline = procedure.send(None)
            while True:
                try:
                    reply = asked.wait(None if deadline is None else deadline - time.monotonic())
                except BaseException as error:  # noqa: BLE001 - raised again inside
                    asked, deadline = procedure.throw(error)
                else:
                    asked, deadline = procedure.send(reply)
        except StopIteration as stop:
            result: T = stop.value
            return result


async def drive(procedure: Coroutine[Any, Any, T]) -> T:
    """Run a procedure on the running loop."""
    try:
        asked, deadline = procedure.send(None)
        while True:
            try:
                reply = await (asked if deadline is None else asked.until(deadline))
            except BaseException as error:  # noqa: BLE001 - raised again inside
                asked, deadline = procedure.throw(error)
            else:
                asked, deadline = procedure.send(reply)
    except StopIteration as stop:
        result: T = stop.value
        return result


async def checkpoint() -> None:
    """Let the other tasks of the running loop have their turn."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        await trio.lowlevel.checkpoint()
    else:
        import asyncio  # its loop runs already  # noqa: PLC0415

        await asyncio.sleep(0)


def refuse_in_loop(owner: object, method: str) -> None:
    """Make sure that a blocking call stops no event loop.

    Raises:
        BlockingCall: a loop runs in this thread; the message names the `aio` spelling.
    """
    if is_in_loop():
        call = f"{getattr(owner, 'name', type(owner).__name__.lower())}.{method}"
        verb = "async for item in" if method == "remote_gen" else "await"
        raise BlockingCall(
            f"{call}() would stop the running event loop; write `{verb} {call}.aio(...)`",
            spelling=call,
        )


def refuse_statement_in_loop(statement: str) -> None:
    """Make sure that a plain `for` or `with` stops no event loop.

    Raises:
        BlockingCall: a loop runs in this thread.
    """
    if is_in_loop():
        raise BlockingCall(
            f"a plain `{statement}` would stop the running event loop; write `async {statement}`",
            spelling=f"async {statement}",
        )


def is_in_loop() -> bool:
    """Whether an event loop runs in this thread, and not one that a notebook keeps for itself."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or asyncio._get_running_loop() is None:  # noqa: SLF001 - its C fast path
        trio = sys.modules.get("trio")
        return trio is not None and trio.lowlevel.in_trio_run()
    return not _is_kernel()


def _is_kernel() -> bool:
    """Whether this is the main thread of a notebook, where every cell has a running loop."""
    ipython = sys.modules.get("IPython")
    if ipython is None or threading.current_thread() is not threading.main_thread():
        return False
    return hasattr(ipython.get_ipython(), "kernel")
