"""Batches of async functions: each call a task on one asyncio loop."""

from __future__ import annotations

from functools import partial
from typing import Any

from apothic_emulator.executors import calls, tasks
from apothic_emulator.executors.batches import Batch, Signature, receive_rest
from apothic_emulator.executors.wire import Buffer, Packet


class BatchTasks(tasks.Tasks):
    """The loop of an executor, and the calls for several inputs on it."""

    def __init__(self, executor: tasks.Executor, slots: int, signature: Signature) -> None:
        super().__init__(executor, slots)
        self.signature = signature

    async def _run(self, packet: Packet, body: Buffer, buffers: list[Any]) -> None:
        calls.CURRENT.set((packet.job, buffers[0].attempt))
        batch = Batch(self.executor, self.signature, buffers)
        stops = self.executor.stops
        try:
            await self._take_and_call(packet.job, batch)
        except BaseException as error:  # noqa: BLE001 - also what would stop the loop
            stops.leave(packet.job)
            batch.fail(self.cause_of(error), skip=2)
        self._tell(packet.job, lambda: self.executor.report_all(batch.reports()))

    async def _take_and_call(self, first: int, batch: Batch[tasks.Report]) -> None:
        stops = self.executor.stops
        try:
            stops.enter(first)
            args, kwargs = batch.take()
            if batch.rows:
                batch.finish(await self.executor.function(*args, **kwargs))
        finally:
            stops.leave(first)


def serve(executor: tasks.Executor, slots: int) -> None:
    """Run batches until the channel ends or the executor retires."""
    signature = Signature(executor.function)
    executor.receive_rest = receive_rest
    tasks.serve(executor, slots, partial(BatchTasks, signature=signature))
