"""A client that speaks only the contract, for tests over every backend."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle

from apothic_backends.base import Backend
from apothic_backends.commands import (
    GetDurability,
    GetJob,
    RegisterFunction,
    RunJob,
    SubmitJob,
    WaitJob,
)
from apothic_backends.model.events import Cursor, Event
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.jobs import JobOutcome, JobSnapshot, JobStatus
from apothic_backends.model.payloads import Payload
from apothic_backends.ticket import Ticket


class Gate:
    """Holds calls up, in this process or another, until the test lets so many of them through."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = str(path)
        self._fd = os.open(path, os.O_RDWR)  # both ends, so that nobody waits for the other

    @property
    def wait(self) -> Callable[[], None]:
        """What a call has to call; it travels by value."""
        path = self.path

        def wait() -> None:
            with open(path, "rb", buffering=0) as fifo:  # noqa: PTH123 - travels light
                fifo.read(1)

        return wait

    def let_go(self, calls: int = 1) -> None:
        """Let calls through, also those that come later."""
        os.write(self._fd, b"." * calls)

    def close(self) -> None:
        """Let go of the descriptor."""
        os.close(self._fd)


class Client:
    """Calls functions through a backend's commands alone."""

    def __init__(self, backend: Backend, *, is_cut_off: bool = False) -> None:
        self.backend = backend
        self.is_cut_off = is_cut_off
        """Whether its connection is cut now and then."""
        self._names = 0

    async def register(self, function: Callable[..., Any], **options: Any) -> str:
        """Make a function known; its id."""
        self._names += 1
        spec = FunctionSpec("conformance", f"f{self._names}", **options)
        module = sys.modules[function.__module__]
        cloudpickle.register_pickle_by_value(module)  # executors need not import the tests
        code = Payload(cloudpickle.dumps(function))
        cloudpickle.unregister_pickle_by_value(module)
        return await self.backend.start(RegisterFunction(spec, code))

    async def submit(
        self, function_id: str, *args: Any, wait_for_room: bool = False, key: str | None = None
    ) -> str:
        """Queue one call; the job's id."""
        command = SubmitJob(function_id, arguments(*args), wait_for_room, key)
        return await self.backend.start(command)

    async def wait(self, job_id: str, *, last: bool = False) -> JobOutcome:
        """How a job ends."""
        return await self.backend.start(WaitJob(job_id, last=last))

    async def run(self, function_id: str, *args: Any) -> JobOutcome:
        """Queue one call and wait for its end."""
        return await self.backend.start(RunJob(function_id, arguments(*args)))

    async def job_of(self, ticket: Ticket[JobOutcome]) -> str:
        """The job that a call has become, once what was asked before has been answered."""
        await self.backend.start(GetDurability())
        assert ticket.job_id is not None
        return ticket.job_id

    async def look(self, job_id: str) -> JobSnapshot:
        """A job as it is now."""
        return await self.backend.start(GetJob(job_id))

    async def events_until(
        self, topic: str, after: Cursor | None, last: Callable[[Event], bool]
    ) -> list[Event]:
        """Events of a topic up to the first that is wanted."""
        found: list[Event] = []
        async for event in self.backend.watch(topic, after):
            found.append(event)
            if last(event):
                break
        return found

    async def until_running(self, job_id: str) -> None:
        """Wait until a job runs."""
        await self.events_until(
            job_id, await self.beginning(), lambda event: event.event == "job.running"
        )

    async def beginning(self) -> Cursor:
        """The position before the first event."""
        at = self.backend.watch("jobs", Cursor("nowhere", 0))
        async for event in at:
            return Cursor(event.data["epoch"], 0)
        raise AssertionError("a watch ended by itself")


def arguments(*args: Any) -> Payload:
    """What a call is given."""
    return Payload(cloudpickle.dumps((args, {})))


def value_of(outcome: JobOutcome) -> Any:
    """The value of a job that succeeded."""
    assert outcome.status is JobStatus.SUCCEEDED, outcome
    assert outcome.result is not None
    return cloudpickle.loads(outcome.result.data, buffers=outcome.result.buffers)
