"""A control plane with a dict in it, whose records are kept, so that it can begin anew."""

from __future__ import annotations

from typing import Any

from apothic_backends.commands import Command, ReadEvents
from apothic_backends.commands.dicts import (
    AcquireLock,
    CountKeys,
    GetKeys,
    PopKey,
    PutKey,
    ReadDict,
    ReleaseLock,
    RenewKey,
    RenewLock,
)
from apothic_backends.model.dicts import DictEntry
from apothic_backends.model.events import Event
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.check import check
from apothic_emulator.core.facts import GivenUp, Origin
from apothic_emulator.core.journal import Journal
from apothic_emulator.core.plane import Plane
from apothic_emulator.core.records import Change
from tests.unit.emulator.core.driving import Driver


class DictDriver(Driver):
    """Asks for what is in the dict `d`, which is made when it is needed."""

    def __init__(self, **limits: Any) -> None:
        self.records: dict[str, bytes] = {}
        super().__init__(**limits)

    def new_plane(self, wall_offset: float) -> Plane:
        return Plane("here", wall_offset, journal=Journal())

    def keep(self, changes: list[Change]) -> None:
        for key, record in changes:
            if record is None:
                self.records.pop(key, None)
            else:
                self.records[key] = record

    def restart(self) -> None:
        """Another control plane takes back what was kept."""
        self.plane = Plane("there", journal=Journal())
        self.plane.load(sorted(self.records.items()), self.now)
        check(self.plane)

    def kept(self) -> list[str]:
        """The records of dicts."""
        return [key for key in self.records if key.startswith("dicts")]

    # --- entries --------------------------------------------------------------------------------

    def put(self, key: str, value: str = "v", **how: Any) -> int | None:
        return self.ask(PutKey("d", key, Payload(value.encode()), create=True, **how))

    def entry(self, key: str) -> DictEntry | None:
        [found] = self.ask(GetKeys("d", (key,), create=True))
        return found

    def value(self, key: str) -> str | None:
        entry = self.entry(key)
        return None if entry is None else entry.value.data.decode()

    def pop(self, key: str, **how: Any) -> DictEntry | None:
        return self.ask(PopKey("d", key, **how))

    def renew_key(self, key: str, lease_s: float, **how: Any) -> bool:
        return self.ask(RenewKey("d", key, lease_s, create=True, **how))

    def keys(self) -> tuple[str, ...]:
        return self.ask(ReadDict("d", values=False, create=True)).keys

    def count(self) -> int:
        return self.ask(CountKeys("d", create=True))

    # --- locks ----------------------------------------------------------------------------------

    def want(self, holder: str, key: str = '"k"', origin: Origin | None = None, **how: Any) -> int:
        """Ask for a lock; gives the token."""
        how = {"kind": "lock", "lease_s": 15.0, "candidate": holder, **how}
        return self.start(AcquireLock("d", key=key, holder=holder, create=True, **how), origin)

    def acquire(self, holder: str, key: str = '"k"', **how: Any) -> int:
        """Get a lock that is free; gives the fence."""
        return self.answered(self.want(holder, key, **how))

    def answered(self, token: int) -> Any:
        answer = self.answers[token]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def is_owed(self, token: int) -> bool:
        return token not in self.answers

    def release(self, holder: str, key: str = '"k"', kind: str = "lock") -> bool:
        return self.ask(ReleaseLock("d", kind, key, holder))

    def renew(self, fence: int, key: str = '"k"', kind: str = "lock") -> None:
        self.ask(RenewLock("d", kind, key, fence))

    def renew_later(self, fence: int, key: str = '"k"', kind: str = "lock") -> int:
        """Renew, and wait until it is time to do so again; gives the token."""
        return self.start(RenewLock("d", kind, key, fence, wait=True))

    def give_up(self, token: int) -> None:
        self.step(GivenUp(token))

    # --- events ---------------------------------------------------------------------------------

    def told(self, topic: str = "dicts:d", **how: Any) -> list[Event]:
        """What was told of the dict from the beginning, or from a snapshot."""
        if not how.get("snapshot"):
            start = self.plane.shared.feed.events
            how["after"] = start.cursor.replace(seq=start.first - 1)
        return list(self.ask(ReadEvents(topic, **how)).events)

    def ops(self) -> list[str]:
        return [event.data.get("op", event.event) for event in self.told()]

    def send(self, command: Command[Any]) -> Any:
        return self.ask(command)
