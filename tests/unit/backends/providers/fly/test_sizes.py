from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

import apothic_backends.catalogue
from apothic_backends.placement.offers import Offer
from apothic_backends.providers.base import ProviderError
from apothic_backends.providers.fly.sizes import (
    KINDS,
    OWN_MB,
    REGIONS,
    Guest,
    named,
    offers,
    smallest,
    usd_per_hour,
)

CATALOGUE = Path(apothic_backends.catalogue.__file__).with_name("offers.json")


def listed() -> list[tuple[str, int, int, float]]:
    told: Any = json.loads(CATALOGUE.read_text("utf-8"))["fly"]
    return [tuple(row) for row in told["offers"]]


@pytest.mark.parametrize(("size", "cpus", "memory_mb", "usd_per_second"), listed())
def test_prices_are_those_of_the_public_list(
    size: str, cpus: int, memory_mb: int, usd_per_second: float
) -> None:
    guest = Guest(size.split("-", maxsplit=1)[0], cpus, memory_mb)

    assert usd_per_hour(guest) / 3600 == pytest.approx(usd_per_second, rel=0.01)


@pytest.mark.parametrize(
    ("kind", "cpus", "memory_mb", "found"),
    [
        ("shared", 1, 256, Guest("shared", 1, 256)),
        ("shared", 1, 257, Guest("shared", 1, 512)),
        ("shared", 3, 1000, Guest("shared", 4, 1024)),
        ("shared", 1, 2304, Guest("shared", 2, 2304)),  # no single shared CPU has so much
        ("performance", 1, 1, Guest("performance", 1, 2048)),
        ("performance", 1, 9000, Guest("performance", 2, 10240)),
        ("shared", 8, 16385, None),
        ("performance", 17, 1, None),
    ],
)
def test_the_smallest_size_that_will_do(
    kind: str, cpus: int, memory_mb: int, found: Guest | None
) -> None:
    assert smallest(kind, cpus, memory_mb) == found


@given(st.sampled_from([*KINDS]), st.integers(1, 16), st.integers(1, 131_072))
def test_no_size_that_will_do_costs_less_than_the_smallest(
    kind: str, cpus: int, memory_mb: int
) -> None:
    its = KINDS[kind]
    fitting = [
        Guest(kind, count, size)
        for count in its.cpus
        for size in range(its.least_mb * count, its.most_mb * count + 1, its.step_mb)
        if count >= cpus and size >= memory_mb
    ]
    found = smallest(kind, cpus, memory_mb)

    if found is None:
        assert fitting == []
    else:
        assert found in fitting
        assert usd_per_hour(found) == min(map(usd_per_hour, fitting))


def test_an_offer_leaves_functions_what_they_ask_for_beside_the_agent() -> None:
    cheapest = min(offers(2, 1000, 0, ["iad"]), key=lambda it: it.usd_per_hour or 0)

    assert cheapest.name == "shared-2x-1280@iad"
    assert cheapest.values["cpu_ram_effective"] == 1280 - OWN_MB
    assert cheapest.values["cpu_cores_effective"] == 2
    assert cheapest.values["provider"] == "fly"


def test_each_region_has_its_price_and_its_country() -> None:
    found = {it.name.partition("@")[2]: it for it in offers(1, 256, 0, ["iad", "ams", "xyz"])}

    assert found["ams"].usd_per_hour == pytest.approx(1.04 * (found["iad"].usd_per_hour or 0))
    assert found["xyz"].usd_per_hour == pytest.approx(1.3 * (found["iad"].usd_per_hour or 0))
    assert found["ams"].values["geolocation"] == "NL"
    assert "geolocation" not in found["xyz"].values


def test_a_disk_costs_where_it_is_larger_than_the_one_that_is_there() -> None:
    small, same, large = (
        next(offers(1, 256, disk_gb, ["iad"])).usd_per_hour or 0 for disk_gb in (0, 8, 80)
    )

    assert small == same
    assert large == pytest.approx(small + 72 * 0.15 / 720)


def test_what_is_larger_than_any_size_or_disk_is_not_offered() -> None:
    assert [*offers(1, 200_000, 0, ["iad"])] == []
    assert [*offers(1, 256, 101, ["iad"])] == []


def test_the_name_of_an_offer_says_what_it_is_of() -> None:
    for offer in offers(3, 5000, 0, [*REGIONS]):
        guest, region = named(offer)

        assert usd_per_hour(guest, region) == pytest.approx(offer.usd_per_hour)


@pytest.mark.parametrize("name", ["", "vast 1", "shared-1x-512", "other-1x-512@iad", "a-b-c@d"])
def test_a_name_that_is_no_offer_of_fly_is_refused(name: str) -> None:
    with pytest.raises(ProviderError, match="has made no offer"):
        named(Offer(name, {}))
