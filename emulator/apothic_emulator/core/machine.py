"""One machine that is rented, as it is held and as it is written down.

                        rented                  joins              idle, or too old
    (wanted) ──► creating ──► booting ──────────────► up ──────────────────► retiring
                    │            ▲                    │                        │ nothing runs
              may have been      │ a listing          │ lost, dearer,          ▼
                made ▼           │ shows it           │ not heard of  ──► destroying ──► (gone)
                  unclear ───────┘                    └──────────────────────► ▲     two whole
                    └──── two whole listings do not show it ──► (gone)         │     listings do
                                                                               │     not show it
    whatever does not come up in time, or has a tag of ours and no record ─────┘

It is written down before anybody is asked for it, under a tag that is used once: so whatever is
lost, it is found again. It is forgotten only when it certainly was not made, or is gone.
"""

from __future__ import annotations

from typing import Final

from apothic_backends.model.costs import NANO
from apothic_backends.model.machines import (
    BOOTING,
    CREATING,
    DESTROYING,
    RETIRING,
    UNCLEAR,
    UP,
    MachineSnapshot,
)
from apothic_backends.placement.offers import Offer
from apothic_emulator.core.avoided import Avoided
from apothic_emulator.core.journal import Kept
from apothic_emulator.core.leases import Leased
from apothic_emulator.core.listed import Listed
from apothic_emulator.core.records import pack, unpack

TABLE = "machines"

COMING: Final = frozenset((CREATING, UNCLEAR, BOOTING))
"""How those are of which executors may be expected."""

MOVES: Final = {
    "doubt": (frozenset((CREATING,)), UNCLEAR),
    "boot": (frozenset((CREATING, UNCLEAR)), BOOTING),
    "join": (COMING, UP),
    "retire": (frozenset((UP,)), RETIRING),
    "destroy": (frozenset((*COMING, UP, RETIRING)), DESTROYING),
}
"""What may happen to a machine: how it is before, and after that."""


class Machine(Leased, Listed, Kept):
    """One of them; `due` is when to look at it."""

    def __init__(self, number: int, provider: str, tag: str, now: float) -> None:
        Leased.__init__(self)
        Listed.__init__(self, now)
        self.number, self.provider, self.tag = number, provider, tag
        self.status, self.since = CREATING, now
        self.created_at = now
        self.rate = self.most = 0
        """What it counts for, and what it may cost: in nano-USD for an hour."""
        self.provider_id = self.host = self.region = ""
        """What its provider calls it; the computer that it is on, or where its provider tells of
        none, the region."""
        self.gpu, self.gpu_count, self.offer, self.function, self.label = "", 0, "", 0, ""
        """For what it was rented: the number of the function, and for people."""
        self.room = 1
        """How many executors of that it has room for."""
        self.agent = 0
        """Who has joined from it."""
        self.note = ""
        self.offset = 0.0
        """What Unix time is ahead of the times in here."""
        self.volume = 0
        """The number of the volume that it has, of those that are rented."""
        self.destroyed, self.has_failed = 0, False
        """How often its provider was told to destroy it; and whether it came to nothing."""
        self.idle_since: float | None = None
        self.latest = 0
        """The last executor that was there when it was looked at."""

    @property
    def key(self) -> str:
        """Where it is written down."""
        return f"{TABLE}/{self.number}"

    def wants(self, offer: Offer, most: int) -> None:
        """It is to be made of this offer, and may cost so much."""
        values = offer.values
        self.offer, self.host, self.region = offer.name, host_of(offer), region_of(offer)
        self.gpu, self.gpu_count = str(values.get("gpu_name", "")), int(values.get("num_gpus", 0))
        self.rate = self.most = most

    def move(self, what: str, now: float) -> None:
        """Something happens to it, which may."""
        before, after = MOVES[what]
        assert self.status in before, f"{self.tag} is {self.status}: {what}"
        self.status, self.since = after, now

    def spent(self, now: float) -> int:
        """What it has cost, about, in nano-USD."""
        return int(self.rate * max(0.0, now - self.created_at) / 3600)

    def pack(self) -> bytes:
        """All that must be known again."""
        times = self.since + self.offset, self.created_at + self.offset
        what = self.gpu, self.gpu_count, self.function, self.label, self.room, self.offer
        who = self.provider, self.tag, self.status, self.provider_id, self.host
        rest = self.agent, self.note, self.region, self.volume
        return pack((*who, *times, self.rate, self.most, *what, *rest))

    def snapshot(self, agent: str, executors: int) -> MachineSnapshot:
        """As people see it."""
        return MachineSnapshot(
            f"{TABLE}:{self.number}",
            self.provider,
            self.tag,
            self.status,
            self.since + self.offset,
            self.rate / NANO,
            self.created_at + self.offset,
            self.provider_id,
            self.host,
            self.gpu,
            self.gpu_count,
            self.label,
            agent,
            executors,
            self.note,
        )

    def __str__(self) -> str:
        """For those who wait for it."""
        count = f"{self.gpu_count} x " if self.gpu_count > 1 else ""
        what = f" {count}{self.gpu}" if self.gpu else ""
        return f"{self.provider}{what} ${self.rate / NANO:.2f}/h"


def machine_of(number: int, record: bytes, offset: float, now: float) -> Machine:
    """The machine that was packed: nobody asks its provider for it any more."""
    (provider, tag, status, provider_id, host, since, created_at, *rest), _ = unpack(record)
    it = Machine(number, provider, tag, now)
    it.status, it.provider_id, it.host, it.offset = status, provider_id, host, offset
    it.since, it.created_at = since - offset, created_at - offset
    it.rate, it.most, it.gpu, it.gpu_count, it.function, it.label, *rest = rest
    it.room, it.offer, it.agent, it.note, it.region, it.volume = rest
    it.was_seen = bool(it.agent)
    return it


def host_of(offer: Offer) -> str:
    """The computer that an offer is of; empty where that is not told."""
    return str(offer.values.get("machine_id", ""))


def region_of(offer: Offer) -> str:
    """Where it is, if that is all that is told; empty where the computer is, or nothing at all."""
    return "" if host_of(offer) else str(offer.values.get("region", ""))


class Head(Kept):
    """What is known of all machines together."""

    key = f"{TABLE}/0"

    def __init__(self, plane: str) -> None:
        self.plane = plane
        """What all tags have in common, after `apothic/`: for ever, from the first machine on."""
        self.is_new = True
        """Whether there was never one."""
        self.last = 0
        self.spent = 0
        """What those have cost that are gone, in nano-USD."""
        self.since = 0.0
        """From when on, in Unix time."""
        self.is_paused = False
        self.avoided = Avoided()

    @property
    def prefix(self) -> str:
        """How all tags begin."""
        return f"apothic/{self.plane}/"

    def pack(self) -> bytes:
        """All of it."""
        avoided = self.avoided.pack()
        return pack((self.plane, self.last, self.spent, self.since, self.is_paused, avoided))

    def load(self, record: bytes) -> None:
        """Take it back."""
        (*head, avoided), _ = unpack(record)
        self.plane, self.last, self.spent, self.since, self.is_paused = head
        self.avoided.load(avoided)
        self.is_new = False
