"""Offers to plan with where no market can be asked: machines, and about what they cost.

They are in `offers.json` beside this, which says where its figures are from and of when they are.
Nothing is rented by them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from apothic_backends.placement.offers import Offer, offer_of

_SECONDS_AN_HOUR = 3600


def as_of() -> str:
    """Of when the figures are: "2026-11"."""
    return str(_told()["as_of"])


def offers(disk_gb: float = 0) -> list[Offer]:
    """All of them, at the price with so much disk."""
    told = _told()
    return [*_rented(told["vast"], disk_gb), *_sized(told["fly"], disk_gb)]


def _told() -> dict[str, Any]:
    return json.loads(Path(__file__).with_name("offers.json").read_text("utf-8"))


def _rented(told: dict[str, Any], disk_gb: float) -> list[Offer]:
    """Machines of a market: a name says of which model they have how many."""
    found: list[Offer] = []
    for row in told["offers"]:
        its: dict[str, Any] = dict(zip(told["fields"], row, strict=True))
        total = {"gpu_total_ram": its["num_gpus"] * its["gpu_ram"], "dph_total": its["dph_base"]}
        name = f"vast {its['num_gpus']} x {its['gpu_name']}, {its['geolocation']}"
        found.append(offer_of(name, {**told["same"], **its, **total}, disk_gb))
    return found


def _sized(told: dict[str, Any], disk_gb: float) -> list[Offer]:
    """Machines that are made in sizes. What comes with one is no disk to keep anything on."""
    found: list[Offer] = []
    for row in told["offers"]:
        its: dict[str, Any] = dict(zip(told["fields"], row, strict=True))
        usd = its["usd_per_second"] * _SECONDS_AN_HOUR
        price = {"dph_base": usd, "dph_total": usd, "cpu_cores": its["cpu_cores_effective"]}
        price["cpu_ram"] = its["cpu_ram_effective"]
        name = f"fly {its['size']}, {its['cpu_ram_effective']} MB"
        found.append(offer_of(name, {**told["same"], **its, **price}, disk_gb))
    return found
