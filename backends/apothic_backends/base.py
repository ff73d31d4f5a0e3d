"""What a backend does: take commands, tell what happens, end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from apothic_backends.commands import Command, ReadEvents, ReplyT
from apothic_backends.model.events import Cursor, Event, EventBatch
from apothic_backends.ticket import Ticket


class Backend(Protocol):
    """A place where programs run."""

    def start(self, command: Command[ReplyT]) -> Ticket[ReplyT]:
        """Ask for something; never blocks or awaits. From any thread, any loop or none."""
        ...

    def watch(self, topic: str, after: Cursor | None = None) -> EventStream:
        """Follow what happens to `topic` from now on, or from just after a position."""
        ...

    def close(self) -> None:
        """End everything that was started, and say on stderr what was cut short. Idempotent."""
        ...


class WorkerBackend(Backend, Protocol):
    """The backend of code that runs in a worker: the session with its control plane."""

    def current_job(self) -> tuple[str, int] | None:
        """The id and the attempt of the job that this thread or task works on."""
        ...


class EventStream:
    """Events of a topic, in order and without a hole, for `for` and for `async for`.

    The stream holds no buffer: it reads the backend's retained log from its own position, so a
    slow reader costs nobody anything, and one that falls behind the log is told by `stream.reset`.
    """

    def __init__(self, backend: Backend, topic: str, after: Cursor | None = None) -> None:
        self.cursor = after
        self._backend = backend
        self._topic = topic
        # Asked for at once, so that "from now on" means from this call and not from the first read.
        self._next: Ticket[EventBatch] | None = self._read()

    def _read(self) -> Ticket[EventBatch]:
        return self._backend.start(ReadEvents(self._topic, self.cursor))

    def _take(self) -> Ticket[EventBatch]:
        ticket, self._next = self._next or self._read(), None
        return ticket

    def __iter__(self) -> Iterator[Event]:
        """Wait for each event in turn, blocking."""
        while True:
            batch = self._take().wait()
            self.cursor = batch.cursor
            yield from batch.events

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Wait for each event in turn, on asyncio or trio."""
        while True:
            batch = await self._take()
            self.cursor = batch.cursor
            for event in batch.events:
                yield event
