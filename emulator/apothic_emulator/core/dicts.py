"""The rules for dicts: one writer, this core, so whatever is read is what was written last.

A key that is written in place keeps its place in the order. Its lease, if it has one, ends at the
first tick after its moment, and then it goes with one event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from apothic_backends.commands.dicts import (
    ClearDict,
    CountKeys,
    DeleteDict,
    GetKeys,
    PopKey,
    PutKey,
    ReadDict,
    RenewKey,
    UpdateKeys,
)
from apothic_backends.model.dicts import (
    EPHEMERAL,
    DictContents,
    DictEntry,
    check_key,
    check_lease,
    check_value,
    is_dict_name,
)
from apothic_backends.model.errors import InvalidOption, NotFound, OverLimit
from apothic_backends.model.events import Cursor, Event
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.entries import Entry, Lock, SharedDict
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.feeds import Wants
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.leases import Leases
from apothic_emulator.core.locks import Locks
from apothic_emulator.core.records import unpack
from apothic_emulator.core.shared import Shared


class Rules:
    """All dicts, and what can be asked of them."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.dicts: dict[str, SharedDict] = {}
        self.keys = self.nbytes = 0
        """Of all dicts together."""
        self.leases = Leases(shared.wake_at)
        self.locks = Locks(shared, self.dicts, self.find, self.leases)
        self._loading: dict[int, SharedDict] = {}
        self.commands: dict[type, Callable[[Any, Asked, float], object]] = {
            PutKey: self._put,
            UpdateKeys: self._update,
            GetKeys: self._get,
            PopKey: self._pop,
            RenewKey: self._renew,
            ReadDict: self._read,
            CountKeys: self._count,
            ClearDict: self._clear,
            DeleteDict: self._delete,
            **self.locks.commands,
        }

    def find(self, name: str, now: float, *, create: bool) -> SharedDict:
        """The dict of that name.

        Raises:
            NotFound: there is none, and it is not to be made.
            OverLimit: there are too many to make it.
        """
        found = self.dicts.get(name)
        if found is None:
            if not is_dict_name(name):
                raise InvalidOption(f"{name!r:.100} cannot be the name of a dict", option="name")
            if not create:
                raise self._missing(name)
            most = self.shared.ledger.quotas.dicts
            if len(self.dicts) >= most:
                raise OverLimit(f"there are {most} dicts already; delete some", limit="dicts")
            found = SharedDict(name, self.shared.next_rev(), self.shared.journal)
            self.dicts[name] = found
            found.keep(found)
        return found

    def _missing(self, name: str) -> NotFound:
        if name.startswith(EPHEMERAL):
            return NotFound(
                "this ephemeral dict was deleted, or its control plane ended", name=name
            )
        known = sorted(it for it in self.dicts if not it.startswith(EPHEMERAL))
        there_are = f"there are: {', '.join(known[:10])}" if known else "there are none yet"
        return NotFound(
            f"no dict {name!r}, {there_are}; "
            f"Dict.from_name({name!r}, create_if_missing=True) makes it",
            name=name,
            known=known,
        )

    # --- commands -------------------------------------------------------------------------------

    def _put(self, command: PutKey, asked: Asked, now: float) -> int | None:
        key, value, lease_s = command.key, command.value, command.lease_s
        self.shared.check_fence(command.fence)
        check_key(key)
        check_value(value)
        if lease_s is not None:
            check_lease(lease_s)
        found = self.find(command.name, now, create=command.create)
        if command.if_rev is not None:
            entry = found.entries.get(key)
            if command.if_rev != (0 if entry is None else entry.rev):
                return None
        self._check_room(found, {key: value})
        return self._write(found, key, value, lease_s, now)

    def _update(self, command: UpdateKeys, asked: Asked, now: float) -> int:
        self.shared.check_fence(command.fence)
        if len(command.keys) != len(command.values):
            raise InvalidOption("there must be one value for each key", option="values")
        for key, value in zip(command.keys, command.values, strict=True):
            check_key(key)
            check_value(value)
        found = self.find(command.name, now, create=command.create)
        self._check_room(found, dict(zip(command.keys, command.values, strict=True)))
        for key, value in zip(command.keys, command.values, strict=True):
            self._write(found, key, value, None, now)
        return self.shared.rev

    def _get(self, command: GetKeys, asked: Asked, now: float) -> tuple[DictEntry | None, ...]:
        entries = self.find(command.name, now, create=command.create).entries
        found = map(entries.get, command.keys)
        return tuple([None if entry is None else entry.snapshot() for entry in found])

    def _pop(self, command: PopKey, asked: Asked, now: float) -> DictEntry | None:
        self.shared.check_fence(command.fence)
        entry = self.find(command.name, now, create=command.create).entries.get(command.key)
        if entry is None or command.if_rev not in (None, entry.rev):
            return None
        self._remove(entry, "deleted", now)
        return entry.snapshot()

    def _renew(self, command: RenewKey, asked: Asked, now: float) -> bool:
        self.shared.check_fence(command.fence)
        check_lease(command.lease_s)
        home = self.find(command.name, now, create=command.create)
        entry = home.entries.get(command.key)
        if entry is None or command.if_rev not in (None, entry.rev):
            return False
        if entry.lease_s != command.lease_s:
            entry.lease_s = command.lease_s
            home.keep(entry, entry.born)
        self.leases.set(entry, now + command.lease_s)
        return True

    def _read(self, command: ReadDict, asked: Asked, now: float) -> DictContents:
        found = self.find(command.name, now, create=command.create)
        return found.contents(values=command.values)

    def _count(self, command: CountKeys, asked: Asked, now: float) -> int:
        return len(self.find(command.name, now, create=command.create).entries)

    def _clear(self, command: ClearDict, asked: Asked, now: float) -> int:
        self.shared.check_fence(command.fence)
        found = self.find(command.name, now, create=command.create)
        count = len(found.entries)
        if count:
            self._forget(found)
            told = {"op": "cleared", "rev": self.shared.next_rev()}
            self.shared.tell("dict.changed", found.topic, now, told)
        return count

    def _delete(self, command: DeleteDict, asked: Asked, now: float) -> bool:
        found = self.dicts.pop(command.name, None)
        if found is None:
            return False
        self._forget(found)
        for lock in found.locks.values():
            self.locks.end(lock, NotFound(f"dict {found.name!r} was deleted", name=found.name))
        found.drop()
        told = {"rev": self.shared.next_rev()}
        self.shared.tell("dict.deleted", found.topic, now, told)
        return True

    # --- what becomes of entries ----------------------------------------------------------------

    def _check_room(self, home: SharedDict, values: Mapping[str, Payload]) -> None:
        """See to it that so much may be written.

        Raises:
            OverLimit: it would be too much.
        """
        quotas, known = self.shared.ledger.quotas, home.entries
        replaced = [known[key].value.nbytes for key in values if key in known]
        if self.keys + len(values) - len(replaced) > quotas.keys:
            raise OverLimit(f"dicts have {self.keys} keys already; delete some", limit="keys")
        nbytes = self.nbytes + sum(value.nbytes for value in values.values()) - sum(replaced)
        if nbytes > max(quotas.bytes, self.nbytes):
            raise OverLimit(
                f"the values of all dicts would have {nbytes >> 20} MiB, and may have "
                f"{quotas.bytes >> 20}: delete some, or put large data into a volume",
                limit="bytes",
            )

    def _write(
        self, home: SharedDict, key: str, value: Payload, lease_s: float | None, now: float
    ) -> int:
        rev = self.shared.next_rev()
        entry = home.entries.get(key)
        if entry is None:
            entry = home.entries[key] = Entry(home, key, rev, value)
            self.keys += 1
        else:
            self.nbytes -= entry.value.nbytes
        self.nbytes += value.nbytes
        entry.value, entry.rev, entry.lease_s = value, rev, lease_s
        if lease_s is None:
            self.leases.drop(entry)
        else:
            self.leases.set(entry, now + lease_s)
        home.keep(entry, entry.born)
        told = {"op": "put", "key": key, "rev": rev, "lease_s": lease_s}
        self.shared.tell_value("dict.changed", home.topic, now, told, value)
        return rev

    def _remove(self, entry: Entry, op: str, now: float) -> None:
        home = entry.home
        del home.entries[entry.key]
        self._dropped(entry)
        told = {"op": op, "key": entry.key, "rev": self.shared.next_rev()}
        self.shared.tell("dict.changed", home.topic, now, told)

    def _forget(self, home: SharedDict) -> None:
        """Take out everything."""
        for entry in home.entries.values():
            self._dropped(entry)
        home.entries.clear()

    def _dropped(self, entry: Entry) -> None:
        """It is in its dict no more."""
        self.keys -= 1
        self.nbytes -= entry.value.nbytes
        self.leases.drop(entry)
        entry.home.drop(entry.born)

    # --- as a part of shared state --------------------------------------------------------------

    def tick(self, now: float) -> None:
        """End the leases that are over, and tell holders to renew."""
        for thing in self.leases.take(now):
            if isinstance(thing, Entry):
                self._remove(thing, "expired", now)
            else:
                assert isinstance(thing, Lock)
                self.locks.due(thing, now)

    def look_for(self, name: str) -> None:
        """See to it that there is a dict of that name."""
        if name not in self.dicts:
            raise self._missing(name)

    def state(self, name: str, wants: Wants | None, here: Cursor) -> list[Event]:
        """What is in a dict, and who holds what.

        Raises:
            NotFound: there is no such dict.
        """
        self.look_for(name)
        found = self.dicts[name]

        def is_wanted(key: str) -> bool:
            return wants is None or wants(Event("dict.changed", {"key": key}, here))

        entries = {
            key: {"value": it.value, "rev": it.rev, "lease_s": it.lease_s}
            for key, it in found.entries.items()
            if is_wanted(key)
        }
        held = [
            {"kind": it.kind, "key": it.key, "holder": it.candidate, "fence": it.fence}
            for it in found.locks.values()
            if is_wanted(it.key)
        ]
        told = {"name": name, "rev": self.shared.rev, "entries": entries, "held": held}
        return [Event("dict.snapshot", told, here)]

    def load(self, key: list[str], record: bytes, now: float) -> None:
        """Take back a dict, an entry, or a lock."""
        number = int(key[0])
        home = self._loading.get(number)
        if home is None:
            home = self._loading[number] = SharedDict("", number, self.shared.journal)
        match key[1:]:
            case []:
                (home.name,) = unpack(record)[0]
            case ["locks", fence]:
                lock = Lock.unpack(home, int(fence), record)
                home.locks[lock.kind, lock.key] = lock
            case [born]:
                entry = Entry.unpack(home, int(born), record)
                home.entries[entry.key] = entry
            case _:
                raise ValueError(f"no record of dicts is called {'/'.join(key)}")

    def loaded(self, now: float) -> None:
        """Put everything into its order, and begin all leases anew."""
        for home in self._loading.values():
            self.dicts[home.name] = home
            in_order = sorted(home.entries.values(), key=lambda entry: entry.born)
            home.entries = {entry.key: entry for entry in in_order}
            self.keys += len(in_order)
            self.nbytes += sum(entry.value.nbytes for entry in in_order)
            for entry in in_order:
                if entry.lease_s is not None:
                    self.leases.set(entry, now + entry.lease_s)
            for lock in home.locks.values():
                self.locks.loaded(lock, now)
        self._loading.clear()

    def number_after(self, number: int) -> None:
        """Nothing here has a number that anybody is told, but revisions."""

    def check(self) -> None:
        """See to it that everything agrees; for tests."""
        held: dict[int, str] = {}
        entries = [entry for home in self.dicts.values() for entry in home.entries.values()]
        assert self.keys == len(entries), "keys that are not counted"
        assert self.nbytes == sum(it.value.nbytes for it in entries), "bytes that are not counted"
        for name, home in self.dicts.items():
            assert name == home.name, "a dict under a foreign name"
            born = [entry.born for entry in home.entries.values()]
            assert born == sorted(set(born)), "entries out of order"
            for key, entry in home.entries.items():
                assert (entry.key, entry.home) == (key, home), "an entry at a foreign place"
                assert (entry.lease_s is None) is (entry.due == NEVER), "a lease that nothing ends"
            for place, lock in home.locks.items():
                assert (lock.kind, lock.key, lock.home) == (*place, home), "a foreign lock"
                assert lock.due <= lock.deadline, "a lock whose lease nothing ends"
                assert len(lock.renewing) <= 1, "two holders that renew"
                held[lock.fence] = lock.what
        assert held == self.shared.fences.held, "fences that hold nothing"
        assert self.shared.callers.scheduler.alarm <= self.leases.alarm, "nothing wakes leases"
