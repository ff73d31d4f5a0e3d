"""What a backend does: take commands, tell what happens, end."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from apothic_backends.commands import Command, ReadEvents, ReplyT
from apothic_backends.model.events import Cursor, Event, EventBatch
from apothic_backends.ticket import Ticket


class Backend(Protocol):
    """A place where programs run."""

    @property
    def shares_files(self) -> bool:
        """Whether functions find this program's own files where they run; else they are shipped."""
        ...

    def start(self, command: Command[ReplyT]) -> Ticket[ReplyT]:
        """Ask for something; never blocks or awaits. From any thread, any loop or none."""
        ...

    def watch(
        self, topic: str, after: Cursor | None = None, *, snapshot: bool = False
    ) -> EventStream:
        """Follow what happens to `topic`, from just after a position or as `ReadEvents` says."""
        ...

    def current_job(self) -> tuple[str, int] | None:
        """The id and the attempt of the job that this thread or task works on, if it is one's."""
        ...

    def close(self) -> None:
        """End everything that was started, and say on stderr what was cut short. Idempotent."""
        ...


class EventStream:
    """Events of a topic, in order and without a hole, for `for` and for `async for`.

    It ends when nothing can follow, as after `job.end`. `cursor` is the position of the last event
    that was given out: another watch may resume there. The stream reads the backend's retained log
    from its own position, so a slow reader costs nobody anything, and one that falls behind the log
    is told by `stream.reset` and a snapshot.
    """

    def __init__(
        self,
        backend: Backend,
        topic: str,
        after: Cursor | None = None,
        *,
        snapshot: bool = False,
        keys: tuple[str, ...] = (),
        prefix: str = "",
    ) -> None:
        self.cursor = after
        self.backend = backend
        self._topic = topic
        self._snapshot = snapshot
        self._keys = keys
        self._prefix = prefix
        self._batch: deque[Event] = deque()
        self._read_on = after
        self._is_over = False
        # Asked for at once, so that "from now on" means from this call and not from the first read.
        self._asked: Ticket[EventBatch] | None = self._ask()

    def _ask(self) -> Ticket[EventBatch]:
        snapshot = self._snapshot and self._read_on is None
        asked = ReadEvents(
            self._topic, self._read_on, snapshot=snapshot, keys=self._keys, prefix=self._prefix
        )
        return self.backend.start(asked)

    def pop(self) -> Event | None:
        """The next event that is here already."""
        if not self._batch:
            return None
        event = self._batch.popleft()
        self.cursor = event.cursor
        return event

    def more(self) -> Ticket[EventBatch] | None:
        """What to wait for, and to `take`, when no event is here; None after the last one."""
        if self._asked is None and not self._is_over:
            self._asked = self._ask()
        return self._asked

    def take(self, batch: EventBatch) -> None:
        """Note what the ticket has brought."""
        self._asked = None
        self._read_on = batch.cursor
        self._is_over = batch.ended
        self._batch.extend(batch.events)

    def __iter__(self) -> EventStream:
        """Itself: each event is given out once."""
        return self

    def __next__(self) -> Event:
        """Wait for the next event, blocking."""
        while (event := self.pop()) is None:
            ticket = self.more()
            if ticket is None:
                raise StopIteration
            self.take(ticket.wait())
        return event

    def __aiter__(self) -> EventStream:
        """Itself: each event is given out once."""
        return self

    async def __anext__(self) -> Event:
        """Wait for the next event, on asyncio or trio."""
        while (event := self.pop()) is None:
            ticket = self.more()
            if ticket is None:
                raise StopAsyncIteration
            self.take(await ticket)
        return event

    def close(self) -> None:
        """Stop waiting for events; an iteration ends."""
        self._is_over = True
        self._batch.clear()
        if self._asked is not None:
            self._asked.cancel()
            self._asked = None
