"""Choosing among offers: those that will do, the best liked and cheapest first; why not others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, Final

from apothic_backends.model.functions import Condition
from apothic_backends.model.gpus import has_size, is_model
from apothic_backends.model.record import Record
from apothic_backends.placement.conditions import Test, meets, members, reason, test_of
from apothic_backends.placement.fields import ALIASES, FIELDS, FLAG

HOURS_A_MONTH: Final = 720
"""As Vast counts what storage costs."""


class Offer(Record):
    """A machine, or a part of one, that can be had: what is known of it, by field."""

    name: str
    values: dict[str, Any]

    @property
    def usd_per_hour(self) -> float | None:
        """What it costs, with the storage that was asked for; None if that is not known."""
        return self.values.get("dph_total")


def offer_of(name: str, told: Mapping[str, Any], disk_gb: float = 0) -> Offer:
    """An offer as a market tells it, with what follows from that, and the price of so much disk.

    What is null, no number (NaN), or unknown to the table of fields is left out.
    """
    values = {ALIASES.get(key, key): value for key, value in told.items() if _is_told(value)}
    values = {
        key: bool(value) if FIELDS[key].kind == FLAG else value
        for key, value in values.items()
        if key in FIELDS
    }
    if "geolocation" in values:  # such as "Quebec, CA"
        values["geolocation"] = str(values["geolocation"])[-2:].upper()
    _derive_standing(values)
    _derive_share(values)
    _derive_price(values, disk_gb)
    return Offer(name, values)


def _is_told(value: Any) -> bool:
    return value is not None and value == value  # noqa: PLR0124 - NaN is not itself


def _derive_standing(values: dict[str, Any]) -> None:
    if "verification" in values:
        values["verified"] = values["verification"] == "verified"
    if "hosting_type" in values:
        values["datacenter"] = values["hosting_type"] >= 1


def _derive_share(values: dict[str, Any]) -> None:
    """Memory is told of the whole machine: one gets as much of it as of its cores."""
    cores, mine = values.get("cpu_cores"), values.get("cpu_cores_effective")
    share = mine / cores if cores and mine else values.get("gpu_frac")
    if "cpu_ram" in values and share and "cpu_ram_effective" not in values:
        values["cpu_ram_effective"] = int(values["cpu_ram"] * min(share, 1))


def _derive_price(values: dict[str, Any], disk_gb: float) -> None:
    base = values.get("dph_base")
    if base is not None and disk_gb:
        storage = disk_gb * values.get("storage_cost", 0) / HOURS_A_MONTH
        values["storage_total_cost"], values["dph_total"] = storage, base + storage
    total, flops = values.get("dph_total"), values.get("total_flops")
    if total and flops is not None:
        values["flops_per_dphtotal"] = flops / total


class Choice(Record):
    """What there is for a wish: `candidates` in order, the best first."""

    conditions: tuple[Condition, ...]
    offers: Sequence[Offer]
    candidates: Sequence[Offer]

    def why_not(self, offer: Offer) -> list[str]:
        """Every reason why an offer will not do, for people; none if it will."""
        return [
            reason(condition, offer.values)
            for condition in self.conditions
            if not meets(condition, offer.values)
        ]

    def rejected(self) -> list[tuple[Condition, int]]:
        """How many offers each condition rejects by itself; the strictest first."""
        counts = [(it, _count_rejected(it, self.offers)) for it in self.conditions]
        return sorted((one for one in counts if one[1]), key=lambda one: -one[1])


def _count_rejected(condition: Condition, offers: Sequence[Offer]) -> int:
    return len(offers) - len(_meeting([condition], offers))


def choose(
    conditions: Sequence[Condition], offers: Sequence[Offer], models: Sequence[str] = ()
) -> Choice:
    """Those of the offers that meet all conditions.

    They are in the order of `models`, as far as those are GPUs that were named, then of their
    prices; what costs the same stays in the order in which it came, and what has no price is last.
    """
    by_price = sorted(_meeting(conditions, offers), key=_cost)
    return Choice(tuple(conditions), offers, _by_liking(by_price, models) if models else by_price)


def _cost(offer: Offer) -> float:
    price = offer.values.get("dph_total")
    return inf if price is None else price


def _meeting(conditions: Sequence[Condition], offers: Sequence[Offer]) -> list[Offer]:
    """As `meets`, for very many: each is looked at once, while it is in the processor's cache."""
    tests = [(it.field, _test(it)) for it in conditions if not _is_sized(it)]
    sized = [it for it in conditions if _is_sized(it)]
    found: list[Offer] = []
    for offer in offers:
        values = offer.values
        for field, test in tests:
            if (has := values.get(field)) is None or not test(has):
                break
        else:
            if not sized or all(meets(it, values) for it in sized):
                found.append(offer)
    return found


def _is_sized(condition: Condition) -> bool:
    """Whether it names models by their memory, which a name alone does not tell."""
    names = members(condition.value)
    return condition.field == "gpu_name" and any(has_size(str(name)) for name in names)


def _test(condition: Condition) -> Test:
    test = test_of(condition)
    return _Known(test).__getitem__ if condition.field == "gpu_name" else test


class _Known(dict[Any, bool]):
    """What a test has said of each value: there are few names in many offers."""

    def __init__(self, test: Test) -> None:
        super().__init__()
        self._test = test

    def __missing__(self, value: Any) -> bool:
        found = self[value] = self._test(value)
        return found


def _by_liking(offers: Sequence[Offer], models: Sequence[str]) -> list[Offer]:
    ranks: dict[tuple[Any, Any], int] = {}
    groups: list[list[Offer]] = [[] for _ in range(len(models) + 1)]
    for offer in offers:
        key = offer.values.get("gpu_name"), offer.values.get("gpu_ram")
        rank = ranks.get(key)
        if rank is None:
            rank = ranks[key] = _rank(*key, models)
        groups[rank].append(offer)
    return [offer for group in groups for offer in group]


def _rank(name: Any, memory_mb: Any, models: Sequence[str]) -> int:
    fits = (is_model(str(name), model, int(memory_mb or 0)) for model in models)
    return next((place for place, is_it in enumerate(fits) if is_it), len(models))
