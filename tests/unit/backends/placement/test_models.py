"""Names of GPUs: in any spelling, mistyped, and new."""

from __future__ import annotations

import pytest

from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.gpus import is_model, mb_of
from apothic_backends.placement.models import MODELS, is_known, known_as

AS_DRIVERS_SAY = [
    ("NVIDIA GeForce RTX 4070 SUPER", "RTX_4070S"),
    ("NVIDIA GeForce RTX 4070 Ti SUPER", "RTX 4070S Ti"),
    ("NVIDIA GeForce RTX 4090 D", "RTX 4090D"),
    ("NVIDIA RTX 6000 Ada Generation", "RTX 6000Ada"),
    ("NVIDIA GeForce GTX 1660 SUPER", "GTX 1660S"),
    ("NVIDIA GeForce RTX 4090", "rtx4090"),
    ("NVIDIA H100 80GB HBM3", "H100-80GB"),
]


@pytest.mark.parametrize(("name", "wanted"), AS_DRIVERS_SAY)
def test_markets_and_drivers_mean_the_same_model(name: str, wanted: str) -> None:
    assert is_model(name, wanted)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("RTX 4070 SUPER", "RTX_4070"),
        ("RTX 4070S", "RTX 4070 Ti"),
        ("RTX 6000Ada", "RTX 6000"),
        ("L40S", "L40"),
        ("A10g", "A10"),
        ("RTX 4090D", "RTX 4090"),
    ],
)
def test_a_variant_is_another_model(name: str, wanted: str) -> None:
    assert not is_model(name, wanted)


def test_a_size_is_that_of_the_device_where_its_name_has_none() -> None:
    assert is_model("A100 SXM4", "A100-80GB", 81_920)
    assert is_model("H100 SXM", "H100-80GB", 81_559)
    assert not is_model("A100 SXM4", "A100-40GB", 81_920)
    assert not is_model("A100 SXM4", "A100-80GB")
    assert not is_model("A100 SXM4", "H100-80GB", 81_920)


@pytest.mark.parametrize(
    ("gb", "reports_mb"), [(80, 81_559), (24, 24_564), (16, 15_360), (10, 10_240), (141, 143_771)]
)
def test_what_is_sold_with_so_many_gb_has_them(gb: int, reports_mb: int) -> None:
    assert mb_of(gb) <= reports_mb


@pytest.mark.parametrize(
    "name",
    [
        *("H100", "A100", "A100-80GB", "H100-80GB", "RTX_4070_TI", "T4", "V100", "A6000", "b200"),
        *("RTX_3060_TI", "MI300X", "A100:1g.5gb", "A100 MIG", "NVIDIA GeForce RTX 4090", "FOO"),
    ],
)
def test_what_names_a_model_or_nothing_like_one_is_let_through(name: str) -> None:
    assert known_as(name) == name


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("RTX_4009", "RTX 4090"),
        ("RXT 4090", "RTX 4090"),
        ("H100 SMX", "H100 SXM"),
        ("Telsa T4", "Tesla T4"),
    ],
)
def test_what_is_mistyped_is_refused_with_what_may_be_meant(name: str, meant: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        known_as(name)

    assert f"did you mean {meant!r}?" in caught.value.message
    assert f"{{'gpu_name': {{'eq': {name!r}}}}}" in caught.value.message


def test_every_model_knows_itself_and_no_two_are_one() -> None:
    assert [name for name in MODELS if not is_known(name)] == []
    assert len({*MODELS}) == len(MODELS)
