"""One volume that is rented, as it is held and as it is written down.

    (wanted) ──► creating ──► there ──► destroying ──► (gone)
                     │  ▲       │           ▲    two whole listings do not show it
            may have │  │ it is │           │
           been made ▼  │ shown │           └── its volume was deleted here; or it is empty, and no
                  unclear       │               machine is to be had on its host
                     │          └──► lost: two whole listings do not show it, and it had data
                     └──► (gone): nor this, which was never made

It is written down before anybody is asked for it, under a label that is used once. While it may be
there, no other one is rented for the same volume: a second one would be empty, and that of which
nobody knows would cost for ever.
"""

from __future__ import annotations

from typing import Final

from apothic_backends.model.costs import NANO
from apothic_backends.model.functions import Condition, FunctionSpec
from apothic_backends.model.machines import (
    CREATING,
    VolumeSnapshot,
)
from apothic_emulator.core.journal import Kept
from apothic_emulator.core.leases import Leased
from apothic_emulator.core.listed import Listed
from apothic_emulator.core.machine import TABLE
from apothic_emulator.core.records import pack, unpack

VAST: Final = "vast"
"""Who has such volumes: their kind is named after it."""

PATH: Final = "volume"
"""What the keys of their records begin with, among those of machines."""

MOST_USD_PER_GB_MONTH: Final = 0.5
"""What one may cost: more than most hosts want, and little beside what a machine costs."""

_HOURS_A_MONTH: Final = 720


class LocalVolume(Leased, Listed, Kept):
    """One of them; `due` is when to look at it."""

    def __init__(self, number: int, name: str, host: str, label: str, now: float) -> None:
        Leased.__init__(self)
        Listed.__init__(self, now)
        self.number, self.name, self.host, self.label = number, name, host, label
        self.status, self.since = CREATING, now
        self.created_at = now
        self.offset = 0.0
        """What Unix time is ahead of the times in here."""
        self.rate = self.size_gb = 0
        """What it counts for, in nano-USD for an hour; and what it can hold."""
        self.provider_id = self.note = ""
        self.is_used = False
        """Whether a machine has ever come up with it: then it may have data."""
        self.told = 0
        """How often its provider was told to delete it."""
        self.function = 0
        """For which it was rented; not known any more after a restart."""

    @property
    def key(self) -> str:
        """Where it is written down."""
        return f"{TABLE}/{PATH}/{self.number}"

    def move(self, status: str, now: float, note: str = "") -> None:
        """It is like that from now on."""
        self.status, self.since, self.note = status, now, note

    def spent(self, now: float) -> int:
        """What it has cost, about, in nano-USD."""
        return int(self.rate * max(0.0, now - self.created_at) / 3600)

    def where(self) -> str:
        """What a function that mounts it is told, where nothing is to be had on its host."""
        return (
            f"volume {self.name} is on {VAST}'s machine {self.host} alone: wait until there is "
            "room on that, or ask for what it has; or give up all that is in the volume, with "
            f"`apothic volume rm -r {self.name}`"
        )

    def pack(self) -> bytes:
        """All that must be known again."""
        times = self.since + self.offset, self.created_at + self.offset
        who = self.name, self.host, self.label, self.status, self.provider_id
        return pack((*who, *times, self.rate, self.size_gb, self.is_used, self.note))

    def snapshot(self, machines: tuple[str, ...]) -> VolumeSnapshot:
        """As people see it."""
        return VolumeSnapshot(
            self.name,
            VAST,
            self.label,
            self.status,
            self.since + self.offset,
            self.rate / NANO,
            self.created_at + self.offset,
            self.host,
            self.size_gb,
            self.provider_id,
            machines,
            self.note,
        )


def volume_of(number: int, record: bytes, offset: float, now: float) -> LocalVolume:
    """The volume that was packed: nobody asks its provider for it any more."""
    (name, host, label, status, provider_id, since, created_at, *rest), _ = unpack(record)
    it = LocalVolume(number, name, host, label, now)
    it.status, it.provider_id, it.offset = status, provider_id, offset
    it.since, it.created_at = since - offset, created_at - offset
    it.rate, it.size_gb, it.is_used, it.note = rest
    it.was_seen = bool(provider_id)
    return it


def most_of(size_gb: int) -> int:
    """What one of that size may cost, in nano-USD for an hour."""
    return round(size_gb * MOST_USD_PER_GB_MONTH / _HOURS_A_MONTH * NANO)


def needs_of(spec: FunctionSpec, volume: LocalVolume | None, size_gb: int) -> FunctionSpec:
    """A function with what its volume adds to its conditions: which host, or room for it."""
    if volume is None:
        said = f"room for volume {spec.local_volume}, {size_gb} GB"
        its = Condition("avail_vol_size", "gte", size_gb, said)
    else:
        its = Condition(
            "machine_id", "eq", int(volume.host), f"volume {volume.name}, which is there"
        )
    # Vast is asked also for one without GPUs: what it wants is nowhere else.
    found: FunctionSpec = spec.replace(placement=(*spec.placement, _AT_VAST, its))
    return found


def sought_of(spec: FunctionSpec, volume: LocalVolume | None, size_gb: int) -> FunctionSpec:
    """What is asked of the market: all of a host, where that is given, to tell what it lacks."""
    if volume is None:
        return needs_of(spec, None, size_gb)
    return needs_of(FunctionSpec(spec.app_name, spec.name, memory_mb=0), volume, size_gb)


_AT_VAST: Final = Condition("provider", "eq", VAST, "where volumes of the kind vast_local are")
