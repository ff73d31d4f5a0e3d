"""What happens, as it happens: events of jobs and apps, and the lines that jobs print."""

from __future__ import annotations

from typing import Protocol, Self

from apothic._values import refuse, whole
from apothic.iterations import Iteration
from apothic_backends.model.errors import UsageError
from apothic_backends.model.events import Cursor, Event


class Source(Protocol):
    """What reads the events: a `_watches.Reading`."""

    @property
    def cursor(self) -> Cursor | None: ...  # noqa: D102
    async def next(self) -> Event | None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class Watch(Iteration[Event]):
    """Events in order and without a hole, for `for` and for `async for`; it ends with its job.

    Each has `event` (its name), `data` and `cursor`; another watch may begin after that cursor.
    `job.result` has the job's `value`, or its `error` with message and traceback. A watch that
    falls behind what is retained is told so by `stream.reset`, and goes on with a snapshot. It
    holds nobody up, and closing it stops nothing but the watching.
    """

    def __init__(self, source: Source, owner: object = None) -> None:
        super().__init__(lambda: _next(source))
        self._source = source
        self._owner = owner
        """Whatever has to live until the last event was read."""

    @property
    def cursor(self) -> Cursor | None:
        """The position of the latest event that was read."""
        return self._source.cursor

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


class Lines(Iteration[str]):
    """What a job prints, line by line as it comes, for `for` and for `async for`.

    A line that the job leaves unfinished comes as it is after a tenth of a second. Where output
    was dropped because nobody read it in time, a line says so.
    """

    def __init__(self, watch: Watch, attempt: int | None, stream: str | None) -> None:
        source = watch._source  # noqa: SLF001 - read by whoever asks for the next line
        super().__init__(lambda: _lines(source, attempt, stream))
        self._watch = watch

    def close(self) -> None:
        """Stop following."""
        self._watch.close()


async def _next(source: Source) -> list[Event]:
    event = await source.next()
    return [] if event is None else [event]


async def _lines(source: Source, attempt: int | None, stream: str | None) -> list[str]:
    while (event := await source.next()) is not None:
        if lines := _lines_of(event, attempt, stream):
            return lines
    return []


def _lines_of(event: Event, attempt: int | None, stream: str | None) -> list[str]:
    """The lines that an event brings, if they are wanted."""
    data = event.data
    if event.event == "stream.reset":
        return ["[... output dropped ...]\n"]
    if attempt in (None, data.get("attempt")) and stream in (None, data.get("stream")):
        if event.event == "job.log":
            return data["text"].splitlines(keepends=True)
        if event.event == "log.gap":
            return [f"[... {data['dropped']} characters dropped ...]\n"]
    return []


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
