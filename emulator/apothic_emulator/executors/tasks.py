"""Async functions: each call a task on one asyncio loop, as many at a time as there are slots."""

from __future__ import annotations

import asyncio
import signal
from _socket import socket
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from types import FrameType
from typing import Any, Protocol

from apothic_emulator.executors import calls
from apothic_emulator.executors.control import Control
from apothic_emulator.executors.items import Outlets
from apothic_emulator.executors.stops import Stopped, Stops
from apothic_emulator.executors.wire import Buffer, Packet

Report = tuple[int, Buffer, tuple[Buffer, ...]]


class Executor(Protocol):
    """What the loop needs of the executor it runs in."""

    function: Callable[..., Any]
    jobs: socket
    control: Control
    stops: Stops
    retiring: bool
    window: tuple[int, int] | None
    holder: Any
    receive_rest: Callable[[socket, Packet], tuple[Buffer, list[Any]]]

    def receive(self) -> tuple[Packet, Buffer, list[Any]]:
        """The next packet and what follows it."""
        ...

    def begin(self) -> None:
        """Count a call that begins."""
        ...

    def finished(self, value: Any) -> Report:
        """A report of a result."""
        ...

    def failed(self, error: BaseException, skip: int | None = None) -> Report:
        """A report of what a call raised."""
        ...

    @property
    def passing(self) -> type[BaseException]:
        """What ends a call from outside."""
        ...

    def told(self, code: str, message: str, type_name: str = "") -> Report:
        """A report of a failure that is known by its code."""
        ...

    def report(self, job: int, attempt: int, report: Report) -> None:
        """Tell how a call ended."""
        ...

    def report_all(self, reports: Sequence[tuple[int, int, Report]]) -> None:
        """Tell how a call for several jobs ended."""
        ...

    def restore(self) -> None:
        """Undo what calls have changed."""
        ...


class Holder(Protocol):
    """What holds an object."""

    slots: int
    in_threads: set[int]


class Tasks:
    """The loop of an executor and the calls on it."""

    def __init__(self, executor: Executor, slots: int) -> None:
        self.executor = executor
        self.free = slots
        self.running: dict[int, asyncio.Task[None]] = {}
        self.loop = asyncio.get_running_loop()
        self.ended = asyncio.Event()
        self.loop.add_reader(executor.jobs, self._readable)

    def _readable(self) -> None:
        """Take one packet; with the last free slot, leave the rest where it can be taken back."""
        try:
            packet, body, buffers = self.executor.receive()
        except BlockingIOError:
            return  # the host took it back
        except (EOFError, OSError):
            self._stop_reading()
            return
        self.free -= 1
        if not self.free:
            self.loop.remove_reader(self.executor.jobs)
        self.executor.begin()
        self.running[packet.job] = self.loop.create_task(self._run(packet, body, buffers))

    async def _run(self, packet: Packet, body: Buffer, buffers: list[Buffer]) -> None:
        calls.CURRENT.set((packet.job, packet.attempt))
        report = await self._outcome(packet.job, body, buffers)
        self._tell(packet.job, lambda: self.executor.report(packet.job, packet.attempt, report))

    def _tell(self, job: int, tell: Callable[[], None]) -> None:
        try:
            tell()
        except OSError:
            self.executor.retiring = True  # user code closed our channel: nothing more can be told
        self._finished(job)

    async def _outcome(self, job: int, body: Buffer, buffers: list[Buffer]) -> Report:
        try:
            return await self._call(job, body, buffers)
        except BaseException as error:  # noqa: BLE001 - also what would stop the loop
            self.executor.stops.leave(job)
            return self.executor.failed(self.cause_of(error))

    def cause_of(self, error: BaseException) -> BaseException:
        """What ended a call: the end of its process, if that is why its task was cancelled."""
        is_end = self.executor.stops.terminated and isinstance(error, asyncio.CancelledError)
        return Stopped() if is_end else error

    async def _call(self, job: int, body: Buffer, buffers: list[Buffer]) -> Report:
        executor = self.executor
        try:
            executor.stops.enter(job)
            args, kwargs = calls.arguments(body, buffers)
            value = await executor.function(*args, **kwargs)
            return executor.finished(value)
        finally:
            executor.stops.leave(job)

    def _finished(self, job: int) -> None:
        del self.running[job]
        if not self.running:
            self.executor.restore()
        if self.executor.retiring:
            self._stop_reading()
            return
        self.free += 1
        if self.free == 1:
            self.loop.add_reader(self.executor.jobs, self._readable)

    def _stop_reading(self) -> None:
        """Take no more jobs, and end with the last that runs."""
        self.executor.retiring = True
        self.loop.remove_reader(self.executor.jobs)
        if not self.running:
            self.ended.set()

    def interrupt(self, job: int) -> None:
        """Cancel a call, from any thread."""
        holder = self.executor.holder
        if holder is not None and job in holder.in_threads:
            self.executor.stops.interrupt(job)
            return

        def cancel() -> None:
            task = self.running.get(job)
            if task is not None:
                task.cancel()

        self.loop.call_soon_threadsafe(cancel)

    def on_term(self, before: Callable[[int, FrameType | None], Any]) -> Callable[..., None]:
        """The handler of SIGTERM: cancel every call, or raise in the one that holds the loop."""

        def handle(signum: int, frame: FrameType | None) -> None:
            current = calls.CURRENT.get()
            try:
                before(signum, frame)
            except Stopped:
                if current is not None and self.executor.stops.is_inside(current[0]):
                    raise
            for job in list(self.running):
                self.interrupt(job)

        return handle


def producer(outlets: Outlets, function: Callable[..., Any]) -> Callable[..., Any]:
    """In place of an async generator function, what runs it to its end and sends what it yields."""

    async def produce(*args: Any, **kwargs: Any) -> None:
        generator: AsyncGenerator[Any, Any] = function(*args, **kwargs)
        loop, room = asyncio.get_running_loop(), asyncio.Event()
        outlet = outlets.open(lambda: loop.call_soon_threadsafe(room.set))
        try:
            async for item in generator:
                encoded = calls.encode_item(item)
                del item
                while not outlet.offer(encoded):
                    await room.wait()
                    room.clear()
                del encoded
        finally:
            outlet.flush()
            await generator.aclose()
            outlets.forget()

    calls.HIDDEN.add(produce.__code__)
    return produce


def serve(executor: Executor, slots: int, kind: Callable[[Executor, int], Tasks] = Tasks) -> None:
    """Run calls until the channel ends or the executor retires."""
    serving = _serve(executor, slots, kind)
    if executor.holder is None:
        asyncio.run(serving)
    else:
        executor.holder.runner.run(serving)


def new_runner() -> asyncio.Runner:
    """The loop of an object, which its hooks and its calls run on."""
    return asyncio.Runner()


def methods(holder: Holder, known: Mapping[str, Callable[..., Any]], stops: Stops) -> Any:
    """What calls a method by its name: a task, or a thread if it is not `async def`.

    Where there is one call at a time it has the loop to itself instead.
    """

    def run(job: int, method: Callable[..., Any], arguments: calls.Arguments) -> Any:
        args, kwargs = arguments
        stops.enter(job)
        holder.in_threads.add(job)
        try:
            return method(*args, **kwargs)
        finally:
            holder.in_threads.discard(job)
            stops.leave(job)

    async def call(_name: str, /, *args: Any, **kwargs: Any) -> Any:
        method = known[_name]
        if calls.is_async(method):
            return await method(*args, **kwargs)
        current = calls.CURRENT.get()
        job = 0 if current is None else current[0]
        if holder.slots == 1:
            return run(job, method, (args, kwargs))
        return await asyncio.to_thread(run, job, method, (args, kwargs))

    calls.HIDDEN.update((run.__code__, call.__code__))
    return call


async def _serve(executor: Executor, slots: int, kind: Callable[[Executor, int], Tasks]) -> None:
    executor.jobs.setblocking(False)  # a packet that was announced may have been taken back
    tasks = kind(executor, slots)
    before = signal.getsignal(signal.SIGTERM)
    assert callable(before), "the executor has a handler of its own"
    signal.signal(signal.SIGTERM, tasks.on_term(before))
    if slots > 1 or executor.window is not None or executor.holder is not None:
        executor.control.on_interrupt = tasks.interrupt
        executor.control.start()
    await tasks.ended.wait()
