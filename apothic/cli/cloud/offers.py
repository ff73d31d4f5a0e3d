"""What `apothic offer` does."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from math import inf
from typing import Any

from apothic.cli import output
from apothic.cli.cloud.providers import names_here, opened
from apothic.cli.command import say
from apothic.cli.wishes import Wishes
from apothic_backends.model.errors import BackendError
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.placement.compiling import wish_of
from apothic_backends.placement.offers import Offer

SCHEMA = "apothic.offers.v1"


def search(
    asked: Wishes,
    *,
    gpu: tuple[str, ...],
    disk_gb: float,
    provider: str | None,
    most: int,
    **limits: float | None,
) -> None:
    """Print what could be rented."""
    wish = wish_of({"gpu": [*gpu] or None, "disk_gb": disk_gb, **limits})
    spec = FunctionSpec(
        *("offer", "search"),
        disk_gb=disk_gb,
        **{field: getattr(wish, field) for field in wish.fields},
    )
    found = offers_of(asked, names_here(provider), spec, disk_gb)
    if asked.is_json():
        told = [{"provider": name, "offer": it.name, **it.values} for name, it in found[:most]]
        output.put(output.line_of({"schema": SCHEMA, "offers": told, "found": len(found)}))
        return
    for line in output.columns(_table(found[:most])):
        output.put(line)
    say(asked, f"{min(most, len(found))} of {len(found)} offers; nothing is rented")


def offers_of(
    asked: Wishes, names: Sequence[str], spec: FunctionSpec, disk_gb: float
) -> list[tuple[str, Offer]]:
    """What the providers would rent for a function, the cheapest first.

    Raises:
        BackendError: no provider has answered.
    """
    found: list[tuple[str, Offer]] = []
    errors: list[BackendError] = []
    for name in names:
        try:
            with closing(opened(name)) as provider:
                found += [(name, offer) for offer in provider.offers(spec, disk_gb)]
        except BackendError as error:
            errors.append(error)
            say(asked, f"{name}: {error.message}")
    if errors and len(errors) == len(names):
        raise errors[0]
    return sorted(found, key=lambda it: _price(it[1]))


def _price(offer: Offer) -> float:
    return inf if offer.usd_per_hour is None else offer.usd_per_hour


def _table(found: Sequence[tuple[str, Offer]]) -> list[tuple[str, ...]]:
    rows = [("PROVIDER", "OFFER", "GPU", "CORES", "MEMORY GB", "WHERE", "USD/HOUR")]
    for name, offer in found:
        told = offer.values
        gpus = f"{told.get('num_gpus', 1)} x {told['gpu_name']}" if told.get("gpu_name") else "none"
        memory = told.get("cpu_ram_effective") or told.get("cpu_ram") or 0
        where = told.get("geolocation") or told.get("region") or ""
        price = "" if offer.usd_per_hour is None else f"{offer.usd_per_hour:.4f}"
        cores: Any = told.get("cpu_cores_effective") or told.get("cpu_cores") or 0
        rows.append(
            (name, offer.name, gpus, f"{cores:g}", f"{memory / 1024:.0f}", str(where), price)
        )
    return rows
