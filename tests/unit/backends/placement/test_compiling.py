"""What options ask for, as conditions."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.functions import Condition, FunctionSpec
from apothic_backends.placement.compiling import (
    Wish,
    check_placement,
    conditions_of,
    wish_of,
)

SPEC_OPTIONS: dict[str, Any] = {
    "gpu": ["RTX_4070", "RTX_4070S", "RTX_4070_TI", "RTX_3080", "RTX_3060", "RTX_3060_TI"],
    "gpu_count": 1,
    "min_vram_gb": 10,
    "geolocation": ["US", "CA"],
    "max_cost_per_hour_usd": 1.5,
    "offer_filters": {
        "num_gpus": {"gte": 1, "lte": 1},
        "gpu_ram": {"gte": 10 * 1024, "lte": 24 * 1024},
        "verification": {"eq": "verified"},
        "cpu_arch": {"eq": "amd64"},
        "pci_gen": {"gte": 3},
    },
}


def all_of(options: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """All conditions of a function with these options, without what was said."""
    wish = wish_of(options)
    spec = FunctionSpec(
        *("app", "f"),
        gpu=wish.gpu,
        gpu_count=wish.gpu_count,
        min_vram_gb=wish.min_vram_gb,
        placement=wish.placement,
        disk_gb=options.get("disk_gb", 0),
    )
    return [(it.field, it.operator, it.value) for it in conditions_of(spec)]


def test_the_options_of_the_spec_are_all_there() -> None:
    assert all_of(SPEC_OPTIONS) == [
        ("gpu_name", "in", tuple(SPEC_OPTIONS["gpu"])),
        ("num_gpus", "eq", 1),
        ("gpu_ram", "gte", 9536),
        ("cpu_cores_effective", "gte", 1),
        ("cpu_ram_effective", "gte", 1024),
        ("dph_total", "lte", 1.5),
        ("geolocation", "in", ("US", "CA")),
        ("num_gpus", "gte", 1),
        ("num_gpus", "lte", 1),
        ("gpu_ram", "gte", 10_240),
        ("gpu_ram", "lte", 24_576),
        ("verification", "eq", "verified"),
        ("cpu_arch", "eq", "amd64"),
        ("pci_gen", "gte", 3),
    ]


@pytest.mark.parametrize(
    ("option", "value", "condition"),
    [
        ("max_cost_per_tflop_hour_usd", 0.02, ("flops_per_dphtotal", "gte", 50.0)),
        ("min_total_flops", 80, ("total_flops", "gte", 80)),
        ("min_gpu_ram_bandwidth_gbps", 900, ("gpu_mem_bw", "gte", 900)),
        ("min_cpu_cores", 8, ("cpu_cores_effective", "gte", 8)),
        ("min_cpu_ram_gb", 64, ("cpu_ram_effective", "gte", 61_035)),
        ("min_cpu_ghz", 3.5, ("cpu_ghz", "gte", 3.5)),
        ("min_disk_bandwidth_mb_s", 2000, ("disk_bw", "gte", 2000)),
        ("min_internet_upload_mbps", 100, ("inet_up", "gte", 100)),
        ("min_internet_download_mbps", 300, ("inet_down", "gte", 300)),
        ("secure_cloud_only", True, ("datacenter", "eq", True)),
        ("geolocation", "de", ("geolocation", "in", ("DE",))),
        ("disk_gb", 160, ("disk_space", "gte", 160)),
        ("min_vram_gb", 24, ("gpu_ram", "gte", 22_888)),
    ],
)
def test_each_option_is_a_condition(option: str, value: Any, condition: tuple[Any, ...]) -> None:
    assert condition in all_of({option: value})


def test_what_is_not_wanted_is_no_condition() -> None:
    assert wish_of({"secure_cloud_only": False, "gpu": None}) == Wish()


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"gpu": "H100"}, 1),
        ({"gpu": "H100", "gpu_count": 4}, 4),
        ({"min_vram_gb": 8}, 1),
        ({"offer_filters": {"num_gpus": {"gte": 2}}, "gpu": "H100"}, 2),
        ({"offer_filters": {"gpu_ram": {"gte": 8000}}}, 1),
        ({"offer_filters": {"num_gpus": {"eq": 0}}}, 0),
        ({"min_total_flops": 20}, 1),
        ({"min_cpu_cores": 20}, 0),
    ],
)
def test_options_say_how_many_gpus_a_worker_gets(options: dict[str, Any], count: int) -> None:
    assert wish_of(options).gpu_count == count


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (
            {"gpu_count": 1, "offer_filters": {"num_gpus": {"gte": 2}}},
            ["gpu_count=1", "offer_filters['num_gpus']['gte']", "at least 2"],
        ),
        (
            {"min_vram_gb": 48, "offer_filters": {"gpu_ram": {"lte": 24 * 1024}}},
            ["min_vram_gb=48", "offer_filters['gpu_ram']['lte']", "at most 24576 MB"],
        ),
        (
            {"gpu": "H100", "offer_filters": {"gpu_name": {"eq": "RTX 4090"}}},
            ["gpu='H100'", "offer_filters['gpu_name']['eq']"],
        ),
        (
            {"geolocation": "US", "offer_filters": {"geolocation": {"notin": ["US"]}}},
            ["geolocation='US'", "offer_filters['geolocation']['notin']"],
        ),
        (
            {"cpu": 16, "offer_filters": {"cpu_cores_effective": {"lt": 16}}},
            ["cpu=16", "offer_filters['cpu_cores_effective']['lt']"],
        ),
        (
            {"disk_gb": 100, "offer_filters": {"disk_space": {"lte": 50}}},
            ["disk_gb=100", "offer_filters['disk_space']['lte']"],
        ),
        (
            {"max_cost_per_hour_usd": 1, "offer_filters": {"dphtotal": {"gte": 2}}},
            ["max_cost_per_hour_usd=1", "offer_filters['dphtotal']['gte']"],
        ),
        (
            {"gpu": "H100", "offer_filters": {"num_gpus": {"eq": 0}}},
            ["gpu_count=1", "offer_filters['num_gpus']['eq']"],
        ),
        ({"min_total_flops": 8e13}, ["min_total_flops=80000000000000.0 counts TFLOPS", "mean 80?"]),
        ({"gpu": "RTX_4009"}, ["no GPU is known as 'RTX_4009'; did you mean 'RTX 4090'?"]),
        ({"geolocation": "USA"}, ["geolocation: a country is two letters"]),
    ],
)
def test_what_no_machine_could_be_is_refused_with_both_inputs(
    options: dict[str, Any], names: list[str]
) -> None:
    with pytest.raises(InvalidOption) as caught:
        wish_of(options, "@app.function of f(): ")

    assert caught.value.message.startswith("@app.function of f(): ")
    assert [name for name in names if name not in caught.value.message] == []


def test_a_model_that_is_too_new_is_taken_as_a_filter() -> None:
    wish = wish_of({"offer_filters": {"gpu_name": {"eq": "RTX 6090"}}})

    assert (wish.gpu, wish.gpu_count) == ((), 1)


@pytest.mark.parametrize(
    "condition",
    [
        Condition("nothing", "eq", 1, "it"),
        Condition("dphtotal", "eq", 1, "it"),
        Condition("gpu_ram", "above", 1, "it"),
        Condition("gpu_ram", "gte", "1", "it"),
        Condition("gpu_ram", "in", (1, "2"), "it"),
        Condition("gpu_ram", "in", (), "it"),
        Condition("gpu_ram", "gte", (1,), "it"),
    ],
)
def test_a_condition_that_came_from_elsewhere_is_checked(condition: Condition) -> None:
    with pytest.raises(InvalidOption, match="it: "):
        check_placement(FunctionSpec("app", "f", placement=(condition,)))


def test_conditions_from_elsewhere_must_not_exclude_each_other() -> None:
    low, high = Condition("gpu_ram", "lt", 5, "low"), Condition("gpu_ram", "gt", 5, "high")

    check_placement(FunctionSpec("app", "f", placement=(low,)))
    with pytest.raises(InvalidOption, match=r"'f': low wants .* and high wants"):
        check_placement(FunctionSpec("app", "f", placement=(low, high)))
