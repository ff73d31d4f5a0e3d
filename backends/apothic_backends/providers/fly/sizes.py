"""The sizes in which Fly makes machines, and about what each costs where. Pure.

Nobody can be asked for prices: these are estimates, by a rule that gives the public list of prices
as of 2025-08, which was cited unchanged in 2026. Prices of regions are factors of those of `iad`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any, Final, NamedTuple

from apothic_backends.placement.offers import HOURS_A_MONTH, Offer, offer_of
from apothic_backends.providers.base import ProviderError

SHARED, PERFORMANCE = "shared", "performance"

OWN_MB: Final = 256
"""What the system and the agent take of a machine's memory; functions have the rest."""

ROOT_GB: Final = 8
"""The disk that a machine has anyway."""

MOST_DISK_GB: Final = 100
STORAGE_USD: Final = 0.15
"""Per GB and month, of a disk that is larger."""

UNKNOWN_FACTOR: Final = 1.3
"""What a region costs of which that is not known: cautiously much."""


class Kind(NamedTuple):
    """CPUs of one kind: how many there may be, and how much memory (MB) with each of them."""

    cpus: tuple[int, ...]
    least_mb: int
    most_mb: int
    step_mb: int
    usd_per_s: float
    """For one CPU with its least memory."""


KINDS: Final = {
    SHARED: Kind((1, 2, 4, 6, 8), 256, 2048, 256, 0.00000075),
    PERFORMANCE: Kind((1, 2, 4, 6, 8, 10, 12, 14, 16), 2048, 8192, 2048, 0.00001196),
}
_USD_PER_S_A_GB: Final = 0.00000193
"""For memory beyond the least."""


class Region(NamedTuple):
    """Where it is (a country's two letters), and what it costs as a multiple of `iad`."""

    country: str
    factor: float = UNKNOWN_FACTOR


REGIONS: Final = {
    "iad": Region("US", 1.0),
    "ewr": Region("US", 1.0),
    "ams": Region("NL", 1.04),
    "arn": Region("SE", 1.04),
    "bom": Region("IN", 1.08),
    "yyz": Region("CA", 1.115),
    "lhr": Region("GB", 1.135),
    "sjc": Region("US", 1.2),
    "syd": Region("AU", 1.27),
    "cdg": Region("FR"),
    "dfw": Region("US"),
    "fra": Region("DE"),
    "gru": Region("BR"),
    "jnb": Region("ZA"),
    "lax": Region("US"),
    "nrt": Region("JP"),
    "ord": Region("US"),
    "sin": Region("SG"),
}


class Guest(NamedTuple):
    """A size: CPUs of a kind, and memory."""

    kind: str
    cpus: int
    memory_mb: int

    @property
    def told(self) -> dict[str, Any]:
        """As the API wants it."""
        return {"cpu_kind": self.kind, "cpus": self.cpus, "memory_mb": self.memory_mb}


def smallest(kind: str, cpus: int, memory_mb: int) -> Guest | None:
    """The cheapest size of a kind with at least so much of both; None if there is none."""
    its = KINDS[kind]
    fitting = [
        Guest(kind, count, size)
        for count in its.cpus
        if count >= cpus and (size := _stepped(its, count, memory_mb)) <= its.most_mb * count
    ]
    return min(fitting, key=lambda guest: (usd_per_hour(guest), guest.cpus), default=None)


def _stepped(kind: Kind, cpus: int, memory_mb: int) -> int:
    return max(kind.least_mb * cpus, ceil(memory_mb / kind.step_mb) * kind.step_mb)


def usd_per_hour(guest: Guest, region: str = "iad", disk_gb: float = 0) -> float:
    """About what it costs while it is there, with so much disk."""
    kind = KINDS[guest.kind]
    more_gb = (guest.memory_mb - kind.least_mb * guest.cpus) / 1024
    usd_per_s = kind.usd_per_s * guest.cpus + _USD_PER_S_A_GB * more_gb
    factor = REGIONS[region].factor if region in REGIONS else UNKNOWN_FACTOR
    return usd_per_s * 3600 * factor + storage_usd_per_hour(disk_gb)


def storage_usd_per_hour(disk_gb: float) -> float:
    """What a disk costs that is larger than the one that is there anyway."""
    return max(0.0, disk_gb - ROOT_GB) * STORAGE_USD / HOURS_A_MONTH


# --- as offers ------------------------------------------------------------------------------------


def offers(cpus: int, memory_mb: int, disk_gb: float, regions: Sequence[str]) -> Iterator[Offer]:
    """The smallest machine of each kind in each region that leaves functions so much of it."""
    if disk_gb > MOST_DISK_GB:
        return
    for kind in KINDS:
        guest = smallest(kind, cpus, memory_mb + OWN_MB)
        if guest is not None:
            for region in regions:
                yield _offer(guest, region, disk_gb)


def _offer(guest: Guest, region: str, disk_gb: float) -> Offer:
    left_mb = guest.memory_mb - OWN_MB
    told: dict[str, Any] = {
        "provider": "fly",
        "region": region,
        "num_gpus": 0,
        "cpu_arch": "amd64",
        "cpu_name": guest.kind,
        "cpu_cores": guest.cpus,
        "cpu_cores_effective": guest.cpus,
        "cpu_ram": guest.memory_mb,
        "cpu_ram_effective": left_mb,
        "disk_space": max(float(ROOT_GB), disk_gb),
        "inet_up_cost": 0.02,
        "inet_down_cost": 0,
        "hosting_type": 1,
        "verification": "verified",
        "rentable": True,
        "rented": False,
        "storage_total_cost": storage_usd_per_hour(disk_gb),
        "dph_base": usd_per_hour(guest, region),
        "dph_total": usd_per_hour(guest, region, disk_gb),
    }
    if region in REGIONS:
        told["geolocation"] = REGIONS[region].country
    return offer_of(f"{guest.kind}-{guest.cpus}x-{guest.memory_mb}@{region}", told)


def named(offer: Offer) -> tuple[Guest, str]:
    """The size, and the region, that an offer is of.

    Raises:
        ProviderError: it is none of these.
    """
    try:
        size, _, region = offer.name.partition("@")
        kind, cpus, memory_mb = size.split("-")
        guest = Guest(kind, int(cpus.removesuffix("x")), int(memory_mb))
    except ValueError:
        guest, region = Guest("", 0, 0), ""
    if guest.kind not in KINDS or not region:
        raise ProviderError(
            f"fly has made no offer {offer.name!r}: its names look like shared-1x-512@iad",
            provider="fly",
        )
    return guest, region
