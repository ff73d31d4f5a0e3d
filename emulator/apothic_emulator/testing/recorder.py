"""Everything that happened in a runtime, from its first event on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from apothic_backends.model.errors import WaitTimeout
from apothic_backends.model.events import Event
from apothic_backends.ticket import Ticket
from apothic_emulator.core.plane import Plane
from apothic_emulator.host.host import Host
from apothic_emulator.host.virtual import VirtualClock
from apothic_emulator.testing.waits import refuse_in_loop

PATIENCE_S = 10.0
"""How long `wait_for` waits, in real time."""

_LOOK_S = 0.1

Wanted = str | tuple[str, Mapping[str, Any]]
"""The name of an event, or that and what has to be in its data."""


class Recorder:
    """The events of one runtime, complete and in order, for `for` and by name.

    What `match` asks for is compared with an event's `data`; besides, `job` takes a handle or an
    id, and `fn` a function or its name.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._seen: list[Event] = []
        self._names: dict[str, str] = {}
        """The function of every job."""
        self._awaited: list[tuple[Ticket[Event], str, dict[str, Any], int]] = []
        self.wait_for = WaitFor(self)
        host.after_step(self._stepped)

    # --- taking them in, under the core's lock --------------------------------------------------

    def _stepped(self, plane: Plane) -> None:
        self._pull(plane)
        if self._awaited:
            self._awaited = [one for one in self._awaited if not self._answer(*one)]

    def _pull(self, plane: Plane) -> None:
        """Take what is new; at every step, since the core forgets jobs, and events in the end."""
        log = plane.ledger.events
        if log.seq == len(self._seen):
            return
        for subject, event in log.since(len(self._seen)):
            self._seen.append(event)
            if event.event == "job.queued" and isinstance(subject, int):
                job = plane.ledger.jobs[subject]
                self._names[event.data["job_id"]] = job.function.spec.name

    def _answer(self, ticket: Ticket[Event], name: str, match: dict[str, Any], start: int) -> bool:
        found = self._find(name, match, start)
        if found is not None:
            ticket.complete(found)
        return ticket.done

    # --- asking ---------------------------------------------------------------------------------

    @property
    def all(self) -> list[Event]:
        """Every event so far."""
        return [*self._seen]

    def __iter__(self) -> Iterator[Event]:
        """Every event so far."""
        return iter(self.all)

    def __len__(self) -> int:
        """How many there are so far."""
        return len(self.all)

    def of(self, *names: str, **match: Any) -> list[Event]:
        """The events of these names (of any, if none is given) that match."""
        return [e for e in self.all if (not names or e.event in names) and self._fits(e, match)]

    def assert_order(self, wanted: Iterable[Wanted]) -> None:
        """See to it that these happened one after the other, whatever happened in between.

        Raises:
            AssertionError: one did not, or not in its turn; the message has the time-line.
        """
        events = iter(self.all)
        before = "the beginning"
        for one in wanted:
            name, match = (one, {}) if isinstance(one, str) else (one[0], dict(one[1]))
            if not any(e.event == name and self._fits(e, match) for e in events):
                told = f"{name} {match}" if match else name
                raise AssertionError(f"no {told} after {before}; there were:\n{self.timeline()}")
            before = name

    def begin_wait(
        self, name: str, after: Event | None, match: dict[str, Any]
    ) -> tuple[Ticket[Event], VirtualClock | None]:
        """Look out for an event; the clock that shall hurry meanwhile, if it is a virtual one."""
        ticket: Ticket[Event] = Ticket()
        start = after.cursor.seq if after is not None else 0

        def look(_: Plane) -> None:
            if not self._answer(ticket, name, match, start):
                self._awaited.append((ticket, name, match, start))

        self._host.look(look)
        clock = self._host.clock
        if not isinstance(clock, VirtualClock):
            return ticket, None
        if not ticket.done:
            clock.hasten(ticket)
        return ticket, clock

    def is_stuck(self, clock: VirtualClock | None) -> bool:
        """Whether nothing more can happen by itself."""
        return clock is not None and self._host.look(clock.is_stuck)

    def _find(self, name: str, match: dict[str, Any], start: int) -> Event | None:
        events = (self._seen[i] for i in range(start, len(self._seen)))
        return next((e for e in events if e.event == name and self._fits(e, match)), None)

    def _fits(self, event: Event, match: Mapping[str, Any]) -> bool:
        for key, value in match.items():
            if key == "job":
                if event.data.get("job_id") != getattr(value, "job_id", value):
                    return False
            elif key == "fn":
                if self._function_of(event) != getattr(value, "name", value):
                    return False
            elif key not in event.data or event.data[key] != value:
                return False
        return True

    def _function_of(self, event: Event) -> str | None:
        return event.data.get("function") or self._names.get(event.data.get("job_id", ""))

    # --- telling --------------------------------------------------------------------------------

    def timeline(self, most: int = 200) -> str:
        """The latest events, a line each: when, what, of which job and function, and its data."""
        events = [event for event in self.all if event.event != "job.log"]
        lines = [self._line(event) for event in events[-most:]]
        if len(events) > most:
            lines.insert(0, f"({len(events) - most} earlier ones)")
        return "\n".join(lines) or "(nothing happened)"

    def _line(self, event: Event) -> str:
        data = dict(event.data)
        at = datetime.fromtimestamp(data.pop("at", 0.0), UTC)
        whose = [data.pop("job_id", ""), self._function_of(event) or ""]
        told = [f"{key}={value}" for key, value in data.items() if value not in (None, "")]
        words = [f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}", f"{event.event:<12}"]
        return "  ".join([*words, *(word for word in whose if word), *told])


class WaitFor:
    """`wait_for(name, **match)`: blocks until there is such an event; its `aio` is awaited."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __call__(
        self,
        name: str,
        *,
        after: Event | None = None,
        timeout_s: float = PATIENCE_S,
        **match: Any,
    ) -> Event:
        """The first event of that name that matches, also if it has happened already.

        A virtual clock jumps meanwhile, as for anybody who waits. `after` looks only at what
        follows an event.

        Raises:
            AssertionError: nothing more can happen, or `timeout_s` real seconds have passed.
        """
        refuse_in_loop("wait_for")
        ticket, clock = self._recorder.begin_wait(name, after, match)
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return ticket.wait(max(0.0, min(_LOOK_S, deadline - time.monotonic())))
            except WaitTimeout:
                self._give_up(ticket, clock, deadline, f"{name} {match or ''}")

    async def aio(
        self,
        name: str,
        *,
        after: Event | None = None,
        timeout_s: float = PATIENCE_S,
        **match: Any,
    ) -> Event:
        """The same, awaited on asyncio or trio."""
        ticket, clock = self._recorder.begin_wait(name, after, match)
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return await ticket.until(min(time.monotonic() + _LOOK_S, deadline))
            except WaitTimeout:
                self._give_up(ticket, clock, deadline, f"{name} {match or ''}")

    def _give_up(
        self, ticket: Ticket[Event], clock: VirtualClock | None, deadline: float, what: str
    ) -> None:
        """Raise if there is no more hope."""
        recorder = self._recorder
        is_stuck = recorder.is_stuck(clock)
        if ticket.done or not (is_stuck or time.monotonic() >= deadline):
            return
        ticket.cancel()
        why = "nothing more can happen: no worker is busy and nothing is due" if is_stuck else ""
        raise AssertionError(
            f"there was no {what.strip()}{'; ' + why if why else ' in time'}; "
            f"there were:\n{recorder.timeline()}"
        )
