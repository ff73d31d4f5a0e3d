"""The backend of code that runs in a worker: its commands go to the control plane that started it."""

from __future__ import annotations

import json
from typing import TypeVar

from apothic_backends.base import EventStream
from apothic_backends.commands import Command
from apothic_backends.model import codec
from apothic_backends.model.errors import ApothicError, BackendClosed
from apothic_backends.model.events import Cursor
from apothic_backends.ticket import Ticket
from apothic_emulator.executors import calls, child
from apothic_emulator.executors.wire import FAILURE, Frame

ReplyT = TypeVar("ReplyT")


class SessionBackend:
    """A backend over the executor's own channel."""

    def __init__(self, executor: child.Executor) -> None:
        self._control = executor.control

    def start(self, command: Command[ReplyT]) -> Ticket[ReplyT]:
        """Send a command on behalf of the job that this thread or task works on."""
        ticket: Ticket[ReplyT] = Ticket()
        current = calls.CURRENT.get()
        buffers: list[bytes | bytearray | memoryview] = []
        body = json.dumps(codec.to_json(command, buffers)).encode()

        def answer(frame: Frame | None) -> None:
            if frame is None:
                ticket.fail(BackendClosed("the control plane hung up"))
                return
            value = codec.from_json(json.loads(bytes(frame.body)), frame.buffers)
            if frame.kind == FAILURE and isinstance(value, ApothicError):
                ticket.fail(value)
            else:
                ticket.complete(value)

        self._control.request(current[0] if current else 0, body, tuple(buffers), answer)
        return ticket

    def watch(self, topic: str, after: Cursor | None = None) -> EventStream:
        """Follow what happens to a topic."""
        return EventStream(self, topic, after)

    def current_job(self) -> tuple[str, int] | None:
        """The id and the attempt of the job that this thread or task works on."""
        current = calls.CURRENT.get()
        return (f"jobs:{current[0]}", current[1]) if current is not None else None

    def close(self) -> None:
        """Nothing to do: the channel belongs to the executor."""


def open_session() -> SessionBackend:
    """The session of this worker."""
    executor = child.CURRENT_EXECUTOR
    if executor is None:
        raise BackendClosed("this process is not an executor")
    return SessionBackend(executor)
