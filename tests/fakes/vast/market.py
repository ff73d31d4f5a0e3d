"""What the fake market has to let, and how it answers a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from apothic_backends import catalogue

MOST_OFFERS = 64
HOURS_A_MONTH = 720
_OURS = ("provider", "cpu_ram_effective", "verified", "datacenter")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": eq,
    "neq": ne,
    "gt": gt,
    "gte": ge,
    "lt": lt,
    "lte": le,
    "in": lambda has, wanted: has in wanted,
    "notin": lambda has, wanted: has not in wanted,
}
_CONTROLS = ("type", "order", "limit", "allocated_storage")

Row = dict[str, Any]


def stock() -> list[Row]:
    """Some machines of each kind, each let once; like Vast's, with fields that are null."""
    told = [it.values for it in catalogue.offers() if it.values["provider"] == "vast"]
    return [offer(place, **values) for place, values in enumerate(told)]


def offer(place: int, **values: Any) -> Row:
    """An offer with these values, and others of its own for what has to be there."""
    its = {key: value for key, value in values.items() if key not in _OURS}
    country = its.get("geolocation", "US")
    gpus = its.get("num_gpus", 1)
    return {
        "gpu_name": "RTX 4090",
        "num_gpus": gpus,
        "gpu_ram": 24564,
        "cpu_arch": "amd64",
        "gpu_arch": "nvidia",
        "cpu_cores": 32,
        "cpu_cores_effective": 16,
        "cpu_ram": 128_000,
        "disk_space": 400.0,
        "avail_vol_size": 400.0,
        "reliability": 0.99,
        "verification": "verified",
        "hosting_type": 0,
        "external": False,
        "rentable": True,
        "rented": False,
        "duration": 2_592_000.0,
        "dph_base": 0.4,
        "storage_cost": 0.15,
        **its,
        "geolocation": country if "," in country else f"Somewhere, {country}",
        "id": 21_000_000 + place,
        "ask_contract_id": 21_000_000 + place,
        "machine_id": values.get("machine_id", 31_000 + place),
        "host_id": 88_000 + place,
        "cluster_id": None,
        "score": None,
    }


def price_of(row: Row, disk_gb: float) -> tuple[float, float]:
    """What its GPUs and a disk cost, in $/h."""
    return row["dph_base"], disk_gb * row["storage_cost"] / HOURS_A_MONTH


def search(rows: list[Row], body: Mapping[str, Any], ignored: frozenset[str]) -> list[Row]:
    """The answer: never more than 64. What is `ignored` is a filter that does nothing."""
    disk_gb = body["allocated_storage"]
    filters = {k: v for k, v in body.items() if k not in _CONTROLS and k not in ignored}
    found = [its for row in rows if _meets(its := _priced(row, disk_gb), filters)]
    for field, direction in reversed(body["order"]):
        found.sort(key=lambda row: row[field], reverse=direction == "desc")
    return found[: min(body["limit"], MOST_OFFERS)]


def _priced(row: Row, disk_gb: float) -> Row:
    base, storage = price_of(row, disk_gb)
    return {**row, "storage_total_cost": storage, "dph_total": base + storage}


def _meets(row: Row, filters: Mapping[str, Mapping[str, Any]]) -> bool:
    seen = {
        **row,
        "geolocation": row["geolocation"][-2:],
        "verified": row["verification"] == "verified",
        "datacenter": row["hosting_type"] >= 1,
        "flops_per_dphtotal": (row.get("total_flops") or 0) / row["dph_total"],
    }
    return all(
        seen.get(field) is not None and _OPERATORS[operator](seen[field], value)
        for field, comparisons in filters.items()
        for operator, value in comparisons.items()
    )
