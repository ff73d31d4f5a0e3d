"""An executor of an async function: its calls are tasks of one asyncio loop of its own.

The loop stands still until a thread that waits drives it, and again when what that thread waits
for has come: so calls overlap as in a worker, and none holds up who does not wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Protocol

from apothic_backends.ticket import Ticket
from apothic_emulator.core.effects import Credit, StartExecutor
from apothic_emulator.core.facts import Fact
from apothic_emulator.inline.calls import AfterError, Call
from apothic_emulator.inline.executor import Executor, Work, is_interrupt

_LAST_S = 1.0
"""What tasks that are left over get to end when their loop is closed."""


class Driven(Protocol):
    """What a loop needs of the host."""

    changes: int

    def post(self, item: Fact) -> None:
        """Bring a report."""
        ...

    def cut_short(self, call: Call) -> None:
        """A call was interrupted."""
        ...

    def take(self, executor: Executor) -> list[Call]:
        """The jobs that have come to a slot and that nobody has begun."""
        ...

    def pause_s(self, deadline: float | None) -> float | None:
        """How long to sleep at the most, after bringing what is due; None for ever."""
        ...


class LoopExecutor(Executor):
    """One async function, its loop, and its tasks."""

    def __init__(self, effect: StartExecutor, after_error: AfterError | None, host: Driven) -> None:
        super().__init__(effect, after_error)
        self._host = host
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._rooms: dict[int, asyncio.Event] = {}
        """What generators wait for, by job."""
        self._is_driven = False
        self._is_ended = False

    def claim(self, job: int, others: set[int]) -> Work | None:
        """Take the loop, if it has something to do and nobody drives it."""
        if self.function is None:
            return super().claim(job, others)
        slots = self.line[: self.slots]
        if self._is_driven or not slots or (job and all(job not in call.parts for call in slots)):
            return None
        self._is_driven = True
        return Drive(self, is_own=job != 0)

    def cancel(self, job: int = 0) -> None:
        """Cancel the task of one call, or all."""
        for number, task in list(self._tasks.items()):
            if not job or number == job:
                task.get_loop().call_soon_threadsafe(task.cancel)

    def credit(self, effect: Credit) -> None:
        """A generator may go on."""
        super().credit(effect)
        room = self._rooms.get(effect.job)
        if room is not None and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has just been closed
                self._loop.call_soon_threadsafe(room.set)

    def nudge(self) -> None:
        """Wake the driver: something has changed."""
        if self._is_driven and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has just been closed
                self._loop.call_soon_threadsafe(self._changed.set)

    def let_go(self) -> None:
        """Nobody drives it any more."""
        self._is_driven = False
        if self._is_ended:
            self.close()

    def end(self) -> None:
        """Cancel what is left, so that whoever closes the loop need not wait."""
        self.cancel()

    # --- user code, outside of the lock ---------------------------------------------------------

    def drive(self, awaited: Ticket[Any] | None, deadline: float | None, *, is_own: bool) -> None:
        """Run the loop until the reply is there, the deadline has passed, or nothing is left.

        Where the thread waits for something else (not `is_own`) also when anything has changed.
        """
        self._loop = self.new_loop()
        driver = self._loop.create_task(self._drive(awaited, deadline, is_own=is_own))
        try:
            self._loop.run_until_complete(driver)
        except BaseException:
            driver.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                self._loop.run_until_complete(driver)
            raise

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Its loop, made at the first need."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop

    async def _drive(
        self, awaited: Ticket[Any] | None, deadline: float | None, *, is_own: bool
    ) -> None:
        seen = self._host.changes
        while True:
            self._changed.clear()
            self._begin()
            is_over = self._is_ended or (awaited is not None and awaited.done)
            is_idle = not self._tasks or (not is_own and self._host.changes != seen)
            if is_over or is_idle:
                return
            sleep_s = self._host.pause_s(deadline)
            if sleep_s is not None and sleep_s <= 0:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), sleep_s)

    def _begin(self) -> None:
        for call in self._host.take(self):
            loop = asyncio.get_running_loop()
            self._tasks[call.job] = loop.create_task(self._serve(call), context=call.context)

    async def _serve(self, call: Call) -> None:
        try:
            with self.lent():
                facts = await self._outcome(call)
        except BaseException:
            self._host.cut_short(call)
            raise
        finally:
            del self._tasks[call.job]
            self._changed.set()
        for one in facts:
            self._host.post(one)

    async def _outcome(self, call: Call) -> Sequence[Fact]:
        return (await self._fact(call),)

    async def _fact(self, call: Call) -> Fact:
        assert self.function is not None, "loaded before it is driven"
        try:
            args, kwargs = call.unpack()
            made: Any = self.function(*args, **kwargs)
            if hasattr(made, "__anext__"):
                return await self._produce(call, made)
            return call.succeeded(await made)
        except BaseException as error:
            if is_interrupt(error):
                raise
            self.look_at(call, error)
            return call.failed(error, skip=1)
        finally:
            call.leave()

    async def _produce(self, call: Call, generator: AsyncGenerator[Any, Any]) -> Fact:
        """Make the next item whenever the reader has had the one before."""
        room = self._rooms[call.job] = asyncio.Event()
        try:
            async for item in generator:
                self._host.post(call.produced(item))
                while not call.may_go_on:
                    await room.wait()
                    room.clear()
        finally:
            del self._rooms[call.job]
            await generator.aclose()
        return call.succeeded(None)

    def close(self) -> None:
        """End the loop and what still runs on it, or have its driver do so."""
        self._is_ended = True
        if self._is_driven:
            self.nudge()
            return
        loop = self._loop
        if loop is None:
            return
        super().close()
        self._loop = None
        left = list(self._tasks.values())
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=_LAST_S))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class Drive(Work):
    """A turn at an executor's loop."""

    executor: LoopExecutor

    def __init__(self, executor: LoopExecutor, *, is_own: bool) -> None:
        super().__init__(executor, None)
        self._is_own = is_own

    def run(self, awaited: Ticket[Any] | None, deadline: float | None) -> None:
        """Run the loop in this thread."""
        self.executor.drive(awaited, deadline, is_own=self._is_own)

    def let_go(self) -> None:
        """Give the loop back."""
        self.executor.let_go()
