"""One job for each of many items, a bounded number of them at a time."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any, NamedTuple

from apothic._arrivals import Arrivals, name_item
from apothic._drive import Foreign, Overtaken, Turn, is_past, step
from apothic._serialize import decode_arguments, decode_outcome
from apothic._values import shortly
from apothic_backends.interrupts import WINDOW
from apothic_backends.model.errors import UsageError, WaitTimeout
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.jobs import JobOutcome
from apothic_backends.model.payloads import Payload
from apothic_backends.ticket import Ticket

Items = Iterable[Any] | AsyncIterable[Any]
_END: Any = object()

MOST_AHEAD = 1000
"""Items beyond those that can run: enough that no worker waits for the next one."""

LEAST_AHEAD = 64
"""As many short jobs may stand in the line of a worker."""

MOST_BYTES = 64 << 20
"""Arguments under way, after which the next item waits; one item alone may be larger."""

TURN = 64
"""Items after which an event loop gets its turn."""


def width(spec: FunctionSpec) -> int:
    """How many items are under way at once, queued and collected ones included."""
    at_once = spec.concurrent_requests * (spec.batch.max_size if spec.batch is not None else 1)
    slots = spec.max_containers * at_once
    return slots + min(MOST_AHEAD, max(LEAST_AHEAD, spec.max_pending_tasks))


class Feed:
    """The user's items, from either kind of iterable, as positional arguments.

    No async generator: one that is not exhausted when an item fails would be the loop's to close.
    """

    def __init__(self, items: Items, *, is_star: bool = False) -> None:
        self._is_star = is_star
        self._awaited: AsyncIterator[Any] | None = None
        self._iterator: Iterator[Any] = iter(())
        if isinstance(items, AsyncIterable):
            self._awaited = aiter(items)
        elif hasattr(items, "__iter__") or hasattr(items, "__getitem__"):
            self._iterator = iter(items)
        else:
            raise UsageError(f"items must be iterable, and {items!r} is not")

    async def next(
        self, deadline: float | None = None, stop: Ticket[None] | None = None
    ) -> tuple[Any, ...] | None:
        """The arguments for the next item; None after the last.

        Raises:
            WaitTimeout: the deadline has passed. A plain iterable is not interrupted for it.
            Overtaken: `stop` is done, and an async iterable has not given its item yet.
        """
        awaited = self._awaited
        if awaited is None:
            if is_past(deadline):
                raise WaitTimeout("the items did not come in time")
            with WINDOW:
                item = next(self._iterator, _END)
        else:
            item = await step(Foreign(lambda: anext(awaited, _END), stop), deadline)
        if item is _END:
            return None
        return _row(item) if self._is_star else (item,)


def _row(item: Any) -> tuple[Any, ...]:
    if isinstance(item, str | bytes) or not hasattr(item, "__iter__"):
        raise UsageError(f"starmap() spreads each item over the parameters; {item!r} is not a row")
    return tuple(item)


class How(NamedTuple):
    """What becomes of the results."""

    keeps: bool = True
    """Whether anybody wants them."""
    is_ordered: bool = True
    """Whether they stand in the order of the items, else in that of their arrival."""
    keeps_errors: bool = False
    """Whether errors of jobs stand among them, else the first is raised."""


class _UnderWay(NamedTuple):
    ticket: Ticket[JobOutcome]
    arguments: Payload


class Fan:
    """Runs one job for each item and gathers what they give.

    Each item is one command, and what has arrived is taken before the next item: so an endless
    iterable needs no more memory than a short one, beside the results.
    """

    def __init__(
        self,
        feed: Feed,
        encode: Callable[[tuple[Any, ...]], Payload],
        run: Callable[[Payload], Ticket[JobOutcome]],
        most: int,
        how: How,
    ) -> None:
        self._feed = feed
        self._encode = encode
        self._run = run
        self._most = most
        self._how = how
        self._under_way: dict[int, _UnderWay] = {}
        self._nbytes = 0
        self._begun = 0
        self._arrivals = Arrivals()
        self._results: list[Any] = []

    async def gather(self, deadline: float | None) -> list[Any]:
        """Run all items; the first failure is raised as soon as it is known."""
        arrivals, under_way = self._arrivals, self._under_way
        is_more = True
        while is_more or under_way:
            if is_more and not self._is_full:
                is_more = await self._begin_next(deadline)
            else:
                await arrivals.next(next(iter(under_way.values())).ticket, deadline)
            while arrivals.arrived:
                self._take(arrivals.arrived.popleft())
        return self._results

    @property
    def _is_full(self) -> bool:
        count = len(self._under_way)
        return count >= self._most or (count > 0 and self._nbytes >= MOST_BYTES)

    async def _begin_next(self, deadline: float | None) -> bool:
        """Begin the next item; whether there may be more."""
        stop = None if self._how.keeps_errors else self._arrivals.failed
        try:
            arguments = await self._feed.next(deadline, stop)
        except Overtaken:
            return True
        if arguments is None:
            return False
        index, self._begun = self._begun, self._begun + 1
        if not self._begun % TURN:
            await step(Turn())
        try:
            with WINDOW:
                payload = self._encode(arguments)
        except Exception as error:
            name_item(error, index, _note(index, _shown(arguments)))
            raise
        payload.own()
        ticket = self._run(payload)
        self._under_way[index] = _UnderWay(ticket, payload)
        self._nbytes += payload.nbytes
        if self._how.keeps and self._how.is_ordered:
            self._results.append(None)
        self._arrivals.expect(index, ticket)
        return True

    def _take(self, index: int) -> None:
        """Take what an item came to."""
        ticket, payload = self._under_way.pop(index)
        self._nbytes -= payload.nbytes
        how = self._how
        outcome = ticket.result()
        if outcome.error is None and not how.keeps:
            return
        try:
            with WINDOW:
                value = decode_outcome(outcome)
        except Exception as error:
            name_item(error, index, _note(index, _shown_again(payload), outcome.job_id))
            if not how.keeps_errors:
                raise
            value = error.with_traceback(None)
        if how.keeps and how.is_ordered:
            self._results[index] = value
        elif how.keeps:
            self._results.append(value)

    def let_go(self, keep: Callable[[str], object]) -> list[str]:
        """Wait no more, and let the jobs that there are run on: their ids."""
        kept: list[str] = []
        for ticket, _ in self._under_way.values():
            job_id = ticket.job_id
            if ticket.done or job_id is None:
                ticket.cancel()  # it waits for room, and so there is no job
            else:
                keep(job_id)
                kept.append(job_id)
        return kept

    def cancel(self) -> None:
        """Cancel what is under way."""
        for ticket, _ in self._under_way.values():
            ticket.cancel()


def _shown(arguments: tuple[Any, ...]) -> str:
    return shortly(arguments[0] if len(arguments) == 1 else arguments)


def _shown_again(payload: Payload) -> str:
    """An item out of what was sent, so that the item itself need not be kept."""
    try:
        return _shown(decode_arguments(payload)[0])
    except Exception:  # noqa: BLE001 - it may not be meant to be loaded here
        return "an item that cannot be shown here"


def _note(index: int, shown: str, job_id: str = "") -> str:
    return f"at item {index}: {shown}" + (f" ({job_id})" if job_id else "")
