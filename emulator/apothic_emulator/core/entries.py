"""What is in one dict: its entries in the order in which they came, and who holds its locks."""

from __future__ import annotations

import struct
from collections import deque

from apothic_backends.model.dicts import EPHEMERAL, LOCK, DictContents, DictEntry
from apothic_backends.model.payloads import PICKLES, Payload
from apothic_emulator.core.journal import Journal, Kept
from apothic_emulator.core.leases import Leased
from apothic_emulator.core.records import pack, unpack
from apothic_emulator.core.shared import SharedWait


class Entry(Leased):
    """What stands under a key."""

    __slots__ = ("born", "home", "key", "lease_s", "rev", "value")

    def __init__(self, home: SharedDict, key: str, born: int, value: Payload) -> None:
        super().__init__()
        self.home = home
        self.key = key
        self.born = born
        """The revision at which the key came: its place in the order, and the name of its record"""
        self.rev = born
        self.value = value
        self.lease_s: float | None = None

    def snapshot(self) -> DictEntry:
        """What its readers get."""
        return DictEntry(self.value, self.rev, self.lease_s)

    def pack(self) -> bytes:
        """All of it, as a record."""
        value = self.value
        return pack((self.key, self.rev, self.lease_s, value.codec), value.data)

    @classmethod
    def unpack(cls, home: SharedDict, born: int, record: bytes) -> Entry:
        """What was packed."""
        (key, rev, lease_s, codec), (data,) = unpack(record)
        entry = cls(home, key, born, Payload(data, codec=codec))
        entry.rev, entry.lease_s = rev, lease_s
        return entry


class Lock(Leased):
    """A key's lock, or the office of a leader: somebody has it, and others may stand in line."""

    __slots__ = (
        "candidate",
        "deadline",
        "fence",
        "holder",
        "home",
        "key",
        "kind",
        "lease_s",
        "renewing",
        "since",
        "waiting",
    )

    def __init__(self, home: SharedDict, kind: str, key: str) -> None:
        super().__init__()
        self.home = home
        self.kind = kind
        self.key = key
        self.holder = ""
        """What the holder is known by; no two are alike."""
        self.candidate = ""
        """What it is called."""
        self.fence = 0
        self.lease_s = 0.0
        self.since = 0.0
        """In Unix seconds."""
        self.deadline = 0.0
        """When the lease ends unless it is renewed; `due` may be earlier, to have it renewed."""
        self.waiting: deque[SharedWait] = deque()
        """Who wants it, the first in line first."""
        self.renewing: list[SharedWait] = []
        """The holder, who wants to be told when to renew."""

    @property
    def what(self) -> str:
        """What it is called in messages."""
        kind = "lock" if self.kind == LOCK else "election"
        return f"the {kind} {self.key} of dict {self.home.name}"

    def pack(self) -> bytes:
        """All that outlives the control plane, as a record; the line does not."""
        return pack((self.kind, self.key, self.holder, self.candidate, self.lease_s, self.since))

    @classmethod
    def unpack(cls, home: SharedDict, fence: int, record: bytes) -> Lock:
        """What was packed."""
        (kind, key, holder, candidate, lease_s, since), _ = unpack(record)
        lock = cls(home, kind, key)
        lock.holder, lock.candidate, lock.fence = holder, candidate, fence
        lock.lease_s, lock.since = lease_s, since
        return lock


class SharedDict:
    """A dict that programs share. One that is ephemeral keeps no records."""

    __slots__ = ("_journal", "entries", "locks", "name", "number")

    def __init__(self, name: str, number: int, journal: Journal | None) -> None:
        self.name = name
        self.number = number
        """The revision at which it was made; its records have it in their paths."""
        self.entries: dict[str, Entry] = {}
        self.locks: dict[tuple[str, str], Lock] = {}
        """Those that are held, by kind and key."""
        self._journal = None if name.startswith(EPHEMERAL) else journal

    @property
    def topic(self) -> str:
        """Where its events are."""
        return f"dicts:{self.name}"

    def contents(self, *, values: bool) -> DictContents:
        """All keys, and all values if they are wanted."""
        keys = tuple(self.entries)
        if not values:
            return DictContents(keys)
        pickles = [entry.value.data for entry in self.entries.values()]
        lengths = struct.pack(f"<{len(pickles)}I", *map(len, pickles))
        return DictContents(keys, Payload(b"".join((lengths, *pickles)), codec=PICKLES))

    def keep(self, thing: Kept, *place: str | int) -> None:
        """Something is new, or has changed: the dict itself, or what has a place in it."""
        if self._journal is not None:
            self._journal.keep(self._path(*place), thing)

    def drop(self, *place: str | int) -> None:
        """Something is gone."""
        if self._journal is not None:
            self._journal.drop(self._path(*place))

    def _path(self, *place: str | int) -> str:
        if len(place) == 1:  # an entry
            return f"dicts/{self.number}/{place[0]}"
        return "/".join(map(str, ("dicts", self.number, *place)))

    def pack(self) -> bytes:
        """The dict as a record; what is in it has records of its own."""
        return pack((self.name,))
