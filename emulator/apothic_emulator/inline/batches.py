"""Calls for several inputs, without a process: what each comes to is a report of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.effects import StartExecutor
from apothic_emulator.core.facts import Fact, Reported
from apothic_emulator.executors import calls, wire
from apothic_emulator.executors.batches import Batch, Signature
from apothic_emulator.executors.wire import Frame
from apothic_emulator.inline.calls import AfterError, Call, error_info
from apothic_emulator.inline.executor import Executor, is_interrupt
from apothic_emulator.inline.loops import LoopExecutor

Outcome = tuple[Payload | None, ErrorInfo | None]


class Poster(Protocol):
    """What an executor needs of the host."""

    def post(self, item: Fact) -> None:
        """Bring a report."""
        ...


class Teller:
    """Makes outcomes of what calls come to."""

    passing = KeyboardInterrupt

    def __init__(self, purse: Any) -> None:
        self._purse = purse

    def finished(self, value: Any) -> Outcome:
        """A result, pickled and copied."""
        encoded = calls.encode_result(value)
        buffers = tuple(bytearray(buffer) for buffer in encoded.buffers)
        return Payload(bytes(encoded.data), buffers), None

    def failed(self, error: BaseException, skip: int | None = None) -> Outcome:
        """An exception."""
        return None, error_info(error, skip or 0, self._purse)

    def told(self, code: str, message: str, type_name: str = "") -> Outcome:
        """A failure that is known by its code."""
        return None, ErrorInfo(code, message, type_name)


def _batch_of(executor: Executor, call: Call) -> Batch[Outcome]:
    assert executor.function is not None, "loaded before it is claimed"
    inputs = [
        Frame(wire.JOB, 0, one.attempt, one.job, one.arguments.data, _copies(one.arguments))
        for one in call.parts.values()
    ]
    return Batch(Teller(executor.purse), Signature(executor.function), inputs)


def _copies(arguments: Payload) -> tuple[bytearray, ...]:
    """What the call changes in them is not the caller's."""
    return tuple(bytearray(buffer) for buffer in arguments.buffers)


def _facts(call: Call, batch: Batch[Outcome]) -> list[Fact]:
    return [
        Reported(call.executor, job, attempt, result, error)
        for job, attempt, (result, error) in batch.reports()
    ]


class BatchExecutor(Executor):
    """One function that takes its inputs in batches."""

    def __init__(self, effect: StartExecutor, after_error: AfterError | None, host: Poster) -> None:
        super().__init__(effect, after_error)
        self._host = host

    def run(self, call: Call) -> None:
        """Run one call to its end, and report each of its inputs."""
        assert self.function is not None, "loaded before it is claimed"
        batch = _batch_of(self, call)
        try:
            args, kwargs = batch.take()
            if batch.rows:
                batch.finish(self.function(*args, **kwargs))
        except BaseException as error:
            if is_interrupt(error):
                raise
            self.look_at(call, error)
            batch.fail(error, skip=1)
        finally:
            call.leave()
        for fact in _facts(call, batch):
            self._host.post(fact)


class BatchLoopExecutor(LoopExecutor):
    """One async function that takes its inputs in batches."""

    async def _outcome(self, call: Call) -> Sequence[Fact]:
        assert self.function is not None, "loaded before it is driven"
        batch = _batch_of(self, call)
        try:
            args, kwargs = batch.take()
            if batch.rows:
                batch.finish(await self.function(*args, **kwargs))
        except BaseException as error:
            if is_interrupt(error):
                raise
            self.look_at(call, error)
            batch.fail(error, skip=1)
        finally:
            call.leave()
        return _facts(call, batch)
