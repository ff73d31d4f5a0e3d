"""Async functions: each call a task on one asyncio loop, as many at a time as there are slots."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from apothic_emulator.executors import calls
from apothic_emulator.executors.wire import Buffer, Packet

if TYPE_CHECKING:
    from apothic_emulator.executors.child import Executor


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
            self.loop.remove_reader(self.executor.jobs)
            self.ended.set()
            return
        self.free -= 1
        if not self.free:
            self.loop.remove_reader(self.executor.jobs)
        task = self.loop.create_task(self._run(packet, body, buffers))
        self.running[packet.job] = task

    async def _run(self, packet: Packet, body: Any, buffers: list[Buffer]) -> None:
        executor = self.executor
        calls.CURRENT.set((packet.job, packet.attempt))
        executor.begin_call()
        try:
            args, kwargs = calls.arguments(body, tuple(buffers))
            value = await executor.function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - also what would stop the loop
            executor.report_exception(packet.job, packet.attempt, error)
        else:
            executor.report_value(packet.job, packet.attempt, value)
        self._finished(packet.job)

    def _finished(self, job: int) -> None:
        del self.running[job]
        if self.executor.retiring:
            self.loop.remove_reader(self.executor.jobs)
            if not self.running:
                self.ended.set()
            return
        self.free += 1
        if self.free == 1:
            self.loop.add_reader(self.executor.jobs, self._readable)

    def interrupt(self, job: int) -> None:
        """Cancel a call, from any thread."""

        def cancel() -> None:
            task = self.running.get(job)
            if task is not None:
                task.cancel()

        self.loop.call_soon_threadsafe(cancel)


def serve(executor: Executor, slots: int) -> None:
    """Run calls until the channel ends or the executor retires."""
    asyncio.run(_serve(executor, slots))


async def _serve(executor: Executor, slots: int) -> None:
    executor.jobs.setblocking(False)  # a packet that was announced may have been taken back
    tasks = Tasks(executor, slots)
    if slots > 1:
        executor.control.on_interrupt = tasks.interrupt
        executor.control.start()
    await tasks.ended.wait()
