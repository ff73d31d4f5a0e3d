"""The books of rented volumes: each of them, what all cost, and which are gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from apothic_backends.model.machines import DESTROYING, VolumeSnapshot
from apothic_emulator.core.journal import Kept
from apothic_emulator.core.leases import Leases
from apothic_emulator.core.local_volume import PATH, LocalVolume, volume_of
from apothic_emulator.core.machine import TABLE
from apothic_emulator.core.records import pack, unpack
from apothic_emulator.core.rented import Books
from apothic_emulator.core.shared import Shared

_MOST_REMEMBERED: Final = 200
"""So many labels of volumes that are gone are known."""


class Past(Kept):
    """Labels of volumes that are gone, or were never made: what turns up under one is empty."""

    key = f"{TABLE}/{PATH}/0"

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.is_new = True
        """Whether there was never any volume."""

    def pack(self) -> bytes:
        """All of it."""
        return pack((self.labels,))

    def load(self, record: bytes) -> None:
        """Take it back."""
        (labels,), _ = unpack(record)
        self.labels, self.is_new = [*labels], False


class VolumeBooks:
    """All of them. `changed` hears of which name something else is so than before."""

    def __init__(self, shared: Shared, books: Books) -> None:
        self.shared, self.books = shared, books
        self.volumes: dict[int, LocalVolume] = {}
        self.by_name: dict[str, LocalVolume] = {}
        """Those that are not to go."""
        self.rate = 0
        """What all of them count for, in nano-USD for an hour."""
        self.past = Past()
        self.leases = Leases(shared.wake_at)
        self.changed: Callable[[str], object]

    def add(self, it: LocalVolume) -> None:
        """It counts from now on."""
        self.volumes[it.number] = it
        self.rate += it.rate
        if it.status != DESTROYING:
            self.by_name[it.name] = it

    def drop(self, it: LocalVolume, now: float) -> None:
        """It is not there, for certain."""
        if it.provider_id:
            self.books.head.spent += it.spent(now)
            self.books.keep_head()
        self.rate -= it.rate
        self.leases.drop(it)
        del self.volumes[it.number]
        if self.by_name.get(it.name) is it:
            del self.by_name[it.name]
        self.past.labels = [*self.past.labels, it.label][-_MOST_REMEMBERED:]
        self.keep_past()
        if self.shared.journal is not None:
            self.shared.journal.drop(it.key)
        self.changed(it.name)

    def move(self, it: LocalVolume, status: str, now: float, note: str = "") -> None:
        """It is like that from now on."""
        it.move(status, now, note)
        self.keep(it)

    def reprice(self, it: LocalVolume, rate: int) -> None:
        """It counts for so much."""
        self.rate += rate - it.rate
        it.rate = rate

    def keep(self, it: LocalVolume) -> None:
        """Have it written down."""
        if self.shared.journal is not None:
            self.shared.journal.keep(it.key, it)

    def keep_past(self) -> None:
        """Have it written down which are gone."""
        if self.shared.journal is not None:
            self.shared.journal.keep(self.past.key, self.past)

    def load(self, number: int, record: bytes, now: float) -> None:
        """Take one back."""
        if number:
            self.add(volume_of(number, record, self.books.offset, now))
        else:
            self.past.load(record)

    def snapshots(self) -> tuple[VolumeSnapshot, ...]:
        """All of them, the oldest first."""
        machines = self.books.machines.values()
        return tuple(
            it.snapshot(tuple(f"{TABLE}:{one.number}" for one in machines if one.volume == number))
            for number, it in self.volumes.items()
        )

    def spent(self, now: float) -> int:
        """What those have cost that are there, in nano-USD."""
        return sum(it.spent(now) for it in self.volumes.values())

    def check(self) -> None:
        """See to it that the sums are right; for tests."""
        assert self.rate == sum(it.rate for it in self.volumes.values()), self.rate
        living = {it.name: it for it in self.volumes.values() if it.status != DESTROYING}
        assert self.by_name == living, (self.by_name, living)
        names = [it.name for it in self.volumes.values() if it.status != DESTROYING]
        assert len(names) == len({*names}), names
