"""What carries out a watch: a procedure, for `_drive`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from apothic._drive import step
from apothic._serialize import decode_outcome
from apothic._values import is_list, is_tuple, refuse
from apothic_backends.base import EventStream
from apothic_backends.commands import WaitJob
from apothic_backends.model.errors import InvalidOption, JobGone, ResultDeserializeError
from apothic_backends.model.events import (
    APP_EVENTS,
    DEPLOYMENT_EVENTS,
    JOB_EVENTS,
    QUEUE_EVENTS,
    SERVICE_EVENTS,
    Cursor,
    Event,
)
from apothic_backends.ticket import Ticket

Begin = Callable[[], Coroutine[Any, Any, EventStream]]
"""A procedure that opens a stream."""

_ALWAYS = frozenset({"job.end", "stream.reset"})
_ALL = _ALWAYS.union(JOB_EVENTS, APP_EVENTS, DEPLOYMENT_EVENTS, QUEUE_EVENTS, SERVICE_EVENTS)
_ERROR_FIELDS = ("code", "message", "type_name", "traceback")


class Reading:
    """Reads a stream that is open, or that is opened when the first event is asked for."""

    def __init__(
        self,
        source: EventStream | Begin,
        event_types: object = None,
        *,
        first: Ticket[Any] | None = None,
    ) -> None:
        """`first` was asked before the stream, which is of no use if that fails."""
        self._wanted = wanted_of(event_types)
        self._stream = source if isinstance(source, EventStream) else None
        self._begin: Any = source
        self._first = first
        self._is_closed = False

    @property
    def cursor(self) -> Cursor | None:
        """The position of the latest event that was read."""
        return self._stream.cursor if self._stream is not None else None

    async def next(self) -> Event | None:
        """The next event that is wanted; None after the last."""
        if self._first is not None:
            await step(self._first)
            self._first = None
        while not self._is_closed:
            self._stream = stream = self._stream or await self._begin()
            event = stream.pop()
            if event is None:
                ticket = stream.more()
                if ticket is None:
                    return None
                stream.take(await step(ticket))
            elif event.event in self._wanted:
                is_result = event.event == "job.result"
                return await _with_result(stream, event) if is_result else event
        return None

    def close(self) -> None:
        """Read no more."""
        self._is_closed = True
        if self._stream is not None:
            self._stream.close()


async def _with_result(stream: EventStream, event: Event) -> Event:
    """The event with what the job gave, as far as that is kept and can be loaded here."""
    data = dict(event.data)
    try:
        outcome = await step(stream.backend.start(WaitJob(data["job_id"])))
        if outcome.error is None:
            data["value"] = decode_outcome(outcome, is_shared=True)
        else:
            data["error"] = {field: getattr(outcome.error, field) for field in _ERROR_FIELDS}
    except JobGone:
        pass  # its last handle has gone, and its result with that
    except ResultDeserializeError as error:
        data["error"] = {"code": error.code, "message": error.message}
    return event.replace(data=data)


def wanted_of(event_types: object) -> frozenset[str]:
    """The events that are to be given out: `job.end` and `stream.reset` always are.

    Raises:
        InvalidOption: there is no event of such a name.
    """
    if event_types is None:
        return _ALL
    if not is_list(event_types) and not is_tuple(event_types):
        refuse("event_types", event_types, "a list or a tuple of names")
    names: Iterable[Any] = event_types
    unknown = [name for name in names if name not in _ALL]
    if unknown:
        raise InvalidOption(
            f"there is no event {unknown[0]!r}; there are: {', '.join(JOB_EVENTS)}",
            option="event_types",
        )
    return _ALWAYS.union(names)
