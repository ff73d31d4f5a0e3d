"""What happens, as it happens: events of jobs and apps, and the lines that jobs print."""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol, Self

from apothic._twins import awaited, blocking_for
from apothic._values import refuse, whole
from apothic_backends.model.errors import UsageError
from apothic_backends.model.events import Cursor, Event


class Source(Protocol):
    """What reads the events: a `_watching.Reading`."""

    @property
    def cursor(self) -> Cursor | None: ...  # noqa: D102
    async def next(self) -> Event | None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class Watch:
    """Events in order and without a hole, for `for` and for `async for`; it ends with its job.

    Each has `event` (its name), `data` and `cursor`; another watch may begin after that cursor.
    `job.result` has the job's `value`, or its `error` with message and traceback. A watch that
    falls behind what is retained is told so by `stream.reset`, and goes on with a snapshot. It
    holds nobody up, and closing it stops nothing but the watching.
    """

    def __init__(self, source: Source, owner: object = None) -> None:
        self._source = source
        self._owner = owner
        """Whatever has to live until the last event was read."""

    @property
    def cursor(self) -> Cursor | None:
        """The position of the latest event that was read."""
        return self._source.cursor

    def __iter__(self) -> Self:
        """Itself: each event is given out once."""
        return self

    def __next__(self) -> Event:
        """Wait for the next event, blocking.

        Raises:
            BlockingCall: an event loop runs in this thread; write `async for`.
        """
        event = blocking_for(self._source.next)
        if event is None:
            raise StopIteration
        return event

    def __aiter__(self) -> Self:
        """Itself: each event is given out once."""
        return self

    async def __anext__(self) -> Event:
        """Wait for the next event, on asyncio or trio."""
        event = await awaited(self._source.next())
        if event is None:
            raise StopAsyncIteration
        return event

    def close(self) -> None:
        """Stop watching; the job goes on."""
        self._source.close()
        self._owner = None

    def __enter__(self) -> Self:
        """Itself; it is closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching."""
        self.close()

    def __del__(self) -> None:
        """Owe nobody a reply that is not read any more."""
        try:
            self.close()
        except Exception:  # noqa: BLE001, S110 - nobody to tell, and modules may be gone already
            pass


class Lines:
    """What a job prints, line by line as it comes, for `for` and for `async for`.

    A line that the job leaves unfinished comes as it is after a tenth of a second. Where output
    was dropped because nobody read it in time, a line says so.
    """

    def __init__(self, watch: Watch, attempt: int | None, stream: str | None) -> None:
        self._watch = watch
        self._attempt = attempt
        self._stream = stream
        self._ready: deque[str] = deque()

    def __iter__(self) -> Lines:
        """Itself: each line is given out once."""
        return self

    def __next__(self) -> str:
        """Wait for the next line, blocking."""
        while not self._ready:
            self._take(next(self._watch))
        return self._ready.popleft()

    def __aiter__(self) -> Lines:
        """Itself: each line is given out once."""
        return self

    async def __anext__(self) -> str:
        """Wait for the next line, on asyncio or trio."""
        while not self._ready:
            self._take(await anext(self._watch))
        return self._ready.popleft()

    def close(self) -> None:
        """Stop following."""
        self._watch.close()

    def _take(self, event: Event) -> None:
        data = event.data
        if event.event == "stream.reset":
            self._ready.append("[... output dropped ...]\n")
        elif self._is_wanted(data):
            if event.event == "job.log":
                self._ready.extend(data["text"].splitlines(keepends=True))
            elif event.event == "log.gap":
                self._ready.append(f"[... {data['dropped']} characters dropped ...]\n")

    def _is_wanted(self, data: dict[str, Any]) -> bool:
        is_attempt = self._attempt in (None, data.get("attempt"))
        return is_attempt and self._stream in (None, data.get("stream"))


def check_watch(after: object, *, snapshot: object) -> None:
    """See to it that a watch can begin there.

    Raises:
        UsageError: `after` is no position, or it and a snapshot are both asked for.
    """
    if not isinstance(snapshot, bool):
        refuse("snapshot", snapshot, "True or False")
    if after is None:
        return
    if not isinstance(after, Cursor):
        refuse("after", after, "the cursor of an event, or Cursor.parse(text)")
    if snapshot:
        raise UsageError("snapshot begins with what is now, and after somewhere else; keep one")


def check_lines(attempt: object, stream: object) -> None:
    """See to it that a job can have such lines.

    Raises:
        InvalidOption: it cannot.
    """
    if attempt is not None:
        whole("attempt", attempt, 1)
    if stream not in (None, "stdout", "stderr"):
        refuse("stream", stream, "'stdout' or 'stderr'")
