"""State that programs share: what queues and dicts have in common.

They are loaded with the first command that is for them. Their events lie in a log of their own, so
that a busy queue does not push out what is told of jobs. All of them draw revisions from one
counter: a number that was given to a later write, lease or lock is always larger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableSequence
from heapq import heappop, heappush
from importlib import import_module
from typing import Any, Protocol

from apothic_backends.model.errors import ApothicError, BackendClosed
from apothic_backends.model.events import Cursor, Event
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.admission import Admission
from apothic_emulator.core.callers import Callers
from apothic_emulator.core.effects import LATER
from apothic_emulator.core.eventlog import EventLog
from apothic_emulator.core.executors import Executor
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.feeds import Feed, Wants
from apothic_emulator.core.fences import Fences
from apothic_emulator.core.fleet import Fleet
from apothic_emulator.core.jobs import NEVER, Wait
from apothic_emulator.core.journal import Journal, Kept
from apothic_emulator.core.registry import Registry
from apothic_emulator.core.schedules import Schedules

Rule = Callable[[Any, Asked, float], object]
Again = Callable[[float], None]

PARTS: tuple[str, ...] = ("instances", "deployments", "dicts", "queues", "services", "machines")
"""Modules of the core, each with a class `Rules`, for the commands of the module of that name."""

_COMMANDS = {f"apothic_backends.commands.{name}": name for name in PARTS}
_COMMANDS["apothic_emulator.core.doors"] = "services"
_COMMANDS["apothic_emulator.core.renting"] = "machines"


class Part(Protocol):
    """The rules for one kind of shared state."""

    commands: Mapping[type, Rule]

    def tick(self, now: float) -> None:
        """Do what is due, and see to it that the next is not missed."""
        ...

    def state(self, name: str, wants: Wants | None, here: Cursor) -> list[Event]:
        """The snapshot that a watch begins with.

        Raises:
            NotFound: there is none of that name.
        """
        ...

    def look_for(self, name: str) -> None:
        """See to it that there is one of that name.

        Raises:
            NotFound: there is none.
        """
        ...

    def load(self, key: list[str], record: bytes, now: float) -> None:
        """Take a record back that was kept; `key` is its path after the name of the part."""
        ...

    def loaded(self, now: float) -> None:
        """All records are back."""
        ...

    def number_after(self, number: int) -> None:
        """Give higher numbers than that."""
        ...

    def check(self) -> None:
        """See to it that everything agrees; for tests."""
        ...


class SharedWait(Wait):
    """A reply that is owed until a deadline; `empty` is what it is then, says it, or the error."""

    __slots__ = ("again", "asked", "empty", "shared")

    def __init__(
        self,
        shared: Shared,
        asked: Asked,
        among: MutableSequence[Any],
        again: Again | None,
        empty: object,
    ) -> None:
        super().__init__(asked.token, among)
        self.shared = shared
        self.asked = asked
        self.again = again
        """What to look at when it is given up: it may have stood in somebody's way."""
        self.empty = empty

    def left(self) -> None:
        """Nobody waits any more."""
        if self.again is not None:
            self.shared.again.append(self.again)

    def passes_to(self, asked: Asked) -> None:
        """Who has asked again has this place from now on."""
        super().passes_to(asked)
        self.asked = asked


class Shared:
    """What the parts have in common; `journal` is None where nothing is kept."""

    def __init__(
        self,
        callers: Callers,
        wake_at: Callable[[float], None],
        journal: Journal | None,
    ) -> None:
        ledger = callers.ledger
        self.ledger = ledger
        self.callers = callers
        self.wake_at = wake_at
        self.journal = journal
        self.rev = 0
        """The latest revision of anything."""
        self.floor = 0
        """No number up to here is given any more."""
        events = EventLog(f"{ledger.events.epoch}s", ledger.events.wall_offset)
        self.feed = Feed(events, ledger.answer)
        self.fences = Fences()
        self.parts: dict[str, Part] = {}
        self.again: list[Again] = []
        self._owners: dict[str, Executor] = {}
        self._deadlines: list[tuple[float, int, SharedWait]] = []
        self._waits = 0

    def lend(
        self,
        registry: Registry,
        schedules: Schedules,
        admission: Admission,
        fleet: Fleet,
        terms: Any,
    ) -> None:
        """What deployments and machines need of the rest; on what `terms` those may be rented."""
        self.fleet, self.terms = fleet, terms
        fleet.rented = lambda: self.part("machines")
        self.registry = registry
        registry.instance = self._pool_of
        self.schedules = schedules
        self.admission = admission
        if terms is not None:
            self.part("machines")

    def rule(self, command: type) -> Rule | None:
        """The rule for a command; its part is loaded for it."""
        name = _COMMANDS.get(command.__module__)
        return None if name is None else self.part(name).commands.get(command)

    def part(self, name: str) -> Part:
        """One kind of shared state."""
        part = self.parts.get(name)
        if part is None:
            module: Any = import_module(f"apothic_emulator.core.{name}")
            part = self.parts[name] = module.Rules(self)
            part.number_after(self.floor)
        return part

    def loaded(self, now: float) -> None:
        """All records are back: instances say what deployments have, and those what services."""
        for name in PARTS:
            if name in self.parts:
                self.parts[name].loaded(now)

    def number_after(self, floor: int) -> None:
        """Give higher numbers than that, of whatever kind."""
        self.floor = max(self.floor, floor)
        self.rev = max(self.rev, floor)
        for part in self.parts.values():
            part.number_after(floor)

    def _pool_of(self, instance_id: str) -> Any:
        instances: Any = self.part("instances")
        return instances.pool_of(instance_id)

    @property
    def services(self) -> Any:
        """The rules for services; loaded for the first."""
        return self.part("services")

    def state(self, topic: str, wants: Wants | None) -> list[Event]:
        """The snapshot of a topic such as `queues:jobs`.

        Raises:
            NotFound: there is no such topic.
        """
        kind, _, name = topic.partition(":")
        return self.part(kind).state(name, wants, self.feed.events.cursor)

    def look_for(self, topic: str) -> None:
        """See to it that there is a topic such as `queues:jobs`.

        Raises:
            NotFound: there is none.
        """
        kind, _, name = topic.partition(":")
        self.part(kind).look_for(name)

    def tell(self, event: str, topic: str, now: float, told: dict[str, Any]) -> None:
        """Write down that something happened."""
        self.feed.events.append(event, topic, now, 0, told)

    def tell_value(
        self, event: str, topic: str, now: float, told: dict[str, Any], value: Payload
    ) -> None:
        """Write down that something happened to a value, which the log holds for a while."""
        self.feed.events.append_value(event, topic, now, told, value)

    def next_rev(self) -> int:
        """A revision that was never given before."""
        self.rev += 1
        if self.journal is not None:
            self.journal.keep("rev", _Rev(self.rev))
        return self.rev

    def entrust(self, asked: Asked, topic: str, end: Again) -> None:
        """A thing is its maker's: it ends with that process, if a process has asked for it."""
        if asked.origin is not None:
            owner = self._owners[topic] = self.callers.executor(asked.origin.executor)
            owner.belongings[topic] = end

    def part_with(self, topic: str) -> None:
        """A thing has ended, and was somebody's perhaps."""
        owner = self._owners.pop(topic, None)
        if owner is not None:
            del owner.belongings[topic]

    def check_fence(self, fence: int | None) -> None:
        """See to it that a write which carries a fence may be carried out.

        Raises:
            Fenced: its lock or term is not held any more.
        """
        self.fences.check(fence)

    def wait(
        self,
        asked: Asked,
        among: MutableSequence[Any],
        timeout_s: float | None,
        now: float,
        *,
        again: Again | None = None,
        empty: object = None,
        lends: bool = True,
    ) -> Any:
        """Owe the reply to whoever stands in `among`; after `timeout_s` it is `empty`.

        That may be an error, or a function which gives it. A job whose code waits lends its place,
        unless that goes on meanwhile.

        Raises:
            OverLimit: too many wait.
        """
        self.ledger.check_waits()
        caller = self.callers.job(asked, now) if lends else None
        wait = SharedWait(self, asked, among, again, empty)
        self.ledger.waits[wait.token] = wait
        self.callers.park(wait, asked, caller, now)
        if timeout_s is not None:
            self._waits += 1
            heappush(self._deadlines, (now + timeout_s, self._waits, wait))
            self.wake_at(now + timeout_s)
        return LATER

    def may_answer(self, wait: SharedWait) -> bool:
        """Whether somebody who waits will hear a reply; if its process was stopped, it is told."""
        try:
            if wait.executor:
                self.callers.executor(wait.executor)
        except BackendClosed as error:
            wait.among.remove(wait)
            self.answer(wait, None, error)
            return False
        return True

    def answer(self, wait: SharedWait, value: object, error: BaseException | None = None) -> None:
        """Give the reply to somebody who was taken out of those who wait."""
        self.ledger.answer(wait, value, error)

    def tick(self, now: float) -> None:
        """Answer those whose time is up, and have each part do what is due."""
        deadlines, waits = self._deadlines, self.ledger.waits
        while deadlines and (deadlines[0][0] <= now or not _is_owed(waits, deadlines[0][2])):
            wait = heappop(deadlines)[2]
            if _is_owed(waits, wait):
                wait.among.remove(wait)
                wait.left()
                empty = wait.empty() if callable(wait.empty) else wait.empty
                if isinstance(empty, ApothicError):
                    self.ledger.answer(wait, None, empty)
                else:
                    self.ledger.answer(wait, empty)
        if deadlines:
            self.wake_at(deadlines[0][0])
        for part in self.parts.values():
            part.tick(now)

    def settle(self, now: float) -> None:
        """Look again where somebody has left who stood in the way."""
        while self.again:
            self.again.pop()(now)

    @property
    def alarm(self) -> float:
        """The next deadline of a wait."""
        return self._deadlines[0][0] if self._deadlines else NEVER

    def load(self, kind: str, key: list[str], record: bytes, now: float) -> None:
        """Take a record back; `kind` is the part that it belongs to, or `rev`."""
        if kind == "rev":
            self.rev = int(record)
        else:
            self.part(kind).load(key, record, now)


def _is_owed(waits: Mapping[object, Wait], wait: SharedWait) -> bool:
    return waits.get(wait.token) is wait


class _Rev(Kept):
    """The counter of revisions as a record."""

    def __init__(self, rev: int) -> None:
        self.rev = rev

    def pack(self) -> bytes:
        return b"%d" % self.rev
