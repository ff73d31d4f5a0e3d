"""A function's wishes as a search of Vast's market, and its answer judged again."""

from __future__ import annotations

from typing import Any

from hypothesis import given, strategies as st

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.placement.compiling import wish_of
from apothic_backends.placement.offers import Offer
from apothic_backends.providers.vast.searching import (
    PAGE,
    body_of,
    fitting,
    is_meant,
    next_floor,
    offers_of,
)
from tests.fakes.vast.market import offer


def spec_of(**options: Any) -> FunctionSpec:
    """A function with these options."""
    wish = wish_of(options)
    return FunctionSpec(
        "app",
        "train",
        gpu=wish.gpu,
        gpu_count=wish.gpu_count,
        min_vram_gb=wish.min_vram_gb,
        placement=wish.placement,
    )


def told(**values: Any) -> list[Offer]:
    """An offer as the market tells it."""
    return list(offers_of([offer(0, **values)], 40))


def test_conditions_are_sent_in_the_markets_words() -> None:
    body = body_of(
        spec_of(
            gpu=["A100-80GB", "RTX_4090"],
            min_vram_gb=24,
            max_cost_per_hour_usd=1.5,
            geolocation=["us", "DE"],
            secure_cloud_only=True,
            min_internet_download_mbps=300,
        ),
        disk_gb=40,
    )

    assert body["gpu_name"] == {"in": ["A100 PCIE", "A100 SXM4", "A100 SXM", "RTX 4090"]}
    assert body["num_gpus"] == {"eq": 1}
    assert body["gpu_ram"] == {"gte": 22888}
    assert body["dph_total"] == {"lte": 1.5}
    assert body["geolocation"] == {"in": ["US", "DE"]}
    assert body["datacenter"] == {"eq": True}
    assert body["inet_down"] == {"gte": 300}
    assert (body["allocated_storage"], body["limit"]) == (40, 64)
    assert body["order"] == [["dph_total", "asc"]]


def test_what_the_market_has_no_filter_for_is_not_sent_and_yet_counts() -> None:
    spec = spec_of(gpu="RTX 4090", offer_filters={"driver_version": {"gte": "570.0"}})

    assert "driver_version" not in body_of(spec, 8)
    assert fitting(spec, told(driver_version="560.35.03")) == []
    assert fitting(spec, told(driver_version="575.1")) != []
    assert fitting(spec, told()) == []  # it does not say


def test_of_two_limits_the_stricter_is_sent() -> None:
    filters = {"dph_total": {"lte": 0.8}, "cpu_cores_effective": {"gte": 8}}
    spec = spec_of(gpu="L4", max_cost_per_hour_usd=2, min_cpu_cores=4, offer_filters=filters)

    body = body_of(spec, 8, least_usd=0.3)

    assert body["dph_total"] == {"lte": 0.8, "gte": 0.3}
    assert body["cpu_cores_effective"] == {"gte": 8}


def test_memory_is_asked_of_the_whole_machine_and_judged_by_ones_share() -> None:
    spec = spec_of(gpu="RTX 4090", min_cpu_ram_gb=64)

    assert body_of(spec, 8)["cpu_ram"] == {"gte": 61035}
    assert fitting(spec, told(cpu_ram=128_000, cpu_cores=32, cpu_cores_effective=8)) == []
    assert fitting(spec, told(cpu_ram=128_000, cpu_cores=32, cpu_cores_effective=16)) != []


def test_unverified_machines_are_for_those_who_say_so() -> None:
    careful = spec_of(gpu="RTX 4090")
    careless = spec_of(gpu="RTX 4090", offer_filters={"verification": {"neq": "deverified"}})
    unverified = told(verification="unverified")

    assert body_of(careful, 8)["verified"] == {"eq": True}
    assert "verified" not in body_of(careless, 8)
    assert fitting(careful, unverified) == []
    assert fitting(careless, unverified) != []


def test_what_the_market_was_asked_and_did_not_keep_to_is_thrown_away() -> None:
    spec = spec_of(gpu="A100-80GB", max_cost_per_hour_usd=2)

    assert fitting(spec, told(gpu_name="A100 SXM4", gpu_ram=40_960)) == []
    assert fitting(spec, told(gpu_name="A100 SXM4", gpu_ram=81_559, dph_base=3.0)) == []
    assert fitting(spec, told(gpu_name="A100 SXM4", gpu_ram=81_559, rented=True)) == []
    assert fitting(spec, told(gpu_name="A100 SXM4", gpu_ram=81_559, rented=None)) != []


def test_offers_cost_what_they_do_with_the_disk_that_is_rented() -> None:
    (one,) = told(dph_base=0.4, storage_cost=0.36)

    assert one.usd_per_hour == 0.4 + 40 * 0.36 / 720
    assert (one.name, one.values["provider"], one.values["machine_id"]) == (
        "21000000",
        "vast",
        31_000,
    )


def test_rows_that_make_no_sense_are_no_offers() -> None:
    good = offer(1)
    rows = [None, "text", {}, {**good, "id": None, "ask_contract_id": None}, {**good, "id": True}]
    odd = {**offer(2), "gpu_ram": "24564", "geolocation": 7, "dph_base": None, "dph_total": None}

    assert [it.name for it in offers_of([*rows, odd, good, good], 8)] == ["21000001"]
    assert "gpu_ram" not in offers_of([{**good, "gpu_ram": "24564"}], 8)[0].values


def test_cheaper_pages_end_where_a_page_is_not_full_or_goes_no_further() -> None:
    page = [{**offer(i), "dph_total": 0.1 * i} for i in range(PAGE)]

    assert next_floor(page[:-1], 0) is None
    assert next_floor(page, 0) == 0.1 * (PAGE - 1)
    assert next_floor(page, 0.1 * (PAGE - 1)) is None
    assert next_floor([None] * PAGE, 0) is None


def test_functions_without_gpus_are_not_meant_unless_they_name_the_market() -> None:
    assert not is_meant(spec_of(min_cpu_cores=4))
    assert is_meant(spec_of(gpu="L4"))
    assert is_meant(spec_of(offer_filters={"provider": {"eq": "vast"}}))


ODD = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just([1])


@given(st.dictionaries(st.sampled_from(sorted(offer(0))), ODD))
def test_whatever_is_told_of_an_offer_is_judged_or_passed_over(told: dict[str, Any]) -> None:
    spec = spec_of(gpu="A100-80GB", min_vram_gb=24, max_cost_per_hour_usd=2, geolocation="US")

    for it in fitting(spec, offers_of([{**offer(0), **told}], 8)):
        assert 0 < (it.usd_per_hour or 0) <= 2
