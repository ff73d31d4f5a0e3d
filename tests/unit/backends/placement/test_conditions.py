"""Comparisons: what they mean for values of each kind, and which can never be met together."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.functions import Condition
from apothic_backends.placement.conditions import check, gpus_of, meets, reason, test_of as judge
from apothic_backends.placement.fields import FIELDS, OPERATORS, coerced, field_of


def said(field: str, operator: str, value: Any) -> Condition:
    """A condition as a filter makes it."""
    found = coerced(FIELDS[field], operator, value, "filters")
    return Condition(field, operator, found, f"{field}.{operator}={value!r}")


@pytest.mark.parametrize(
    ("field", "operator", "value", "has", "is_met"),
    [
        ("gpu_ram", "eq", 10240, 10240, True),
        ("gpu_ram", "eq", 10240, 10240.0, True),
        ("gpu_ram", "neq", 10240, 10240, False),
        ("gpu_ram", "gt", 10240, 10240, False),
        ("gpu_ram", "gte", 10240, 10240, True),
        ("gpu_ram", "lt", 10240, 10240, False),
        ("gpu_ram", "lte", 10240, 10239, True),
        ("gpu_ram", "in", [8192, 10240], 10240, True),
        ("gpu_ram", "notin", [8192, 10240], 10240, False),
        ("cpu_arch", "eq", "amd64", "arm64", False),
        ("cpu_arch", "in", ("amd64", "arm64"), "arm64", True),
        ("verification", "neq", "deverified", "verified", True),
        ("geolocation", "in", ["us", "CA"], "US", True),
        ("geolocation", "notin", ["US"], "DE", True),
        ("static_ip", "eq", True, False, False),
        ("has_avx", "eq", 1, True, True),
        ("driver_version", "gte", "535.86", "535.104.05", True),
        ("driver_version", "gt", "535.104", "535.86.10", False),
        ("driver_version", "eq", "570.133.07", "570.133.07", True),
        ("driver_version", "in", ["570.1", "535.2"], "535.2", True),
        ("driver_version", "notin", ["570.1"], "570.1", False),
        ("gpu_name", "eq", "RTX_4070S", "RTX 4070 SUPER", True),
        ("gpu_name", "neq", "RTX_4070", "RTX 4070 Ti", True),
        ("gpu_name", "in", ["H100", "A100"], "A100 SXM4", True),
        ("gpu_name", "notin", ["H100", "A100"], "A100 SXM4", False),
    ],
)
def test_an_operator_means_what_it_says(
    field: str, operator: str, value: Any, has: Any, is_met: bool
) -> None:
    condition = said(field, operator, value)

    assert meets(condition, {field: has}) is is_met
    assert judge(condition)(has) is is_met


def test_what_is_not_told_is_neither_met_nor_missed() -> None:
    assert meets(said("gpu_ram", "gte", 1), {}) is None
    assert meets(said("gpu_ram", "gte", 1), {"gpu_ram": None}) is None


def test_a_name_with_a_size_is_met_by_what_the_device_reports() -> None:
    condition = said("gpu_name", "eq", "A100-80GB")

    assert meets(condition, {"gpu_name": "A100 SXM4", "gpu_ram": 81_920}) is True
    assert meets(condition, {"gpu_name": "A100 SXM4", "gpu_ram": 40_960}) is False
    assert meets(condition, {"gpu_name": "A100 SXM4"}) is False


@pytest.mark.parametrize(
    ("field", "operator", "value", "message"),
    [
        ("gpu_ram", "gte", True, "gpu_ram is a number (MB), not True (bool)"),
        ("gpu_ram", "gte", "10240", "gpu_ram is a number (MB), not '10240' (str)"),
        ("gpu_ram", "gte", float("nan"), "gpu_ram is a number (MB), not nan (float)"),
        ("gpu_ram", "lte", float("inf"), "gpu_ram is a number (MB), not inf (float)"),
        ("gpu_ram", "gte", [1], "gpu_ram is compared with one value; for several use 'in'"),
        ("gpu_ram", "in", 1, "'in' takes a list of at least one value, not 1"),
        ("gpu_ram", "in", [], "'in' takes a list of at least one value, not []"),
        ("cpu_arch", "in", "amd64", "'in' takes a list of at least one value, not 'amd64'"),
        ("cpu_arch", "gte", "amd64", "cpu_arch is a text, which is not more or less"),
        ("cpu_arch", "eq", 64, "cpu_arch is a text, not 64 (int)"),
        ("cpu_arch", "eq", " ", "cpu_arch is a text, not ' ' (str)"),
        ("static_ip", "eq", "yes", "static_ip is True or False, not 'yes' (str)"),
        ("static_ip", "eq", 1.0, "static_ip is True or False, not 1.0 (float)"),
        ("static_ip", "gt", False, "static_ip is a flag, which is not more or less"),
        ("geolocation", "eq", "Quebec", "a country is two letters such as 'US' or 'DE'"),
        ("geolocation", "eq", "EU", "a country is two letters such as 'US' or 'DE'"),
        ("geolocation", "eq", "uk", "there is no country 'UK'; did you mean 'GB'?"),
        ("geolocation", "gt", "US", "geolocation is a country, which is not more or less"),
        ("driver_version", "gte", "latest", "a version is numbers and points"),
        ("gpu_ram", "above", 1, "there is no operator 'above', only eq, neq, gt, lt"),
        ("gpu_ram", "$gte", 1, "did you mean 'gte'?"),
        ("gpu_ram", "not_in", [1], "did you mean 'notin'?"),
    ],
)
def test_a_comparison_that_cannot_be_meant_is_refused(
    field: str, operator: str, value: Any, message: str
) -> None:
    with pytest.raises(InvalidOption) as caught:
        said(field, operator, value)

    assert message in caught.value.message
    assert caught.value.message.startswith("filters: ")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpu_rum", "did you mean 'gpu_ram'?"),
        ("dph_totl", "did you mean 'dph_total'?"),
        ("xyzzy", "there are: gpu_name, num_gpus"),
        (5, "nothing is known of machines as 5"),
    ],
)
def test_an_unknown_field_is_refused_with_what_may_be_meant(name: Any, message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        field_of(name, "offer_filters")

    assert message in caught.value.message


def test_fields_have_the_other_names_that_the_market_knows() -> None:
    assert field_of("reliability2", "f").name == "reliability"
    assert field_of("dphtotal", "f").name == "dph_total"


def test_why_not_names_the_value_and_the_wish() -> None:
    assert reason(said("gpu_ram", "gte", 10240), {"gpu_ram": 8192}) == (
        "gpu_ram is 8192 MB, and gpu_ram.gte=10240 wants at least 10240 MB"
    )
    assert reason(said("geolocation", "in", ["US", "CA"]), {}) == (
        "geolocation is not known, and geolocation.in=['US', 'CA'] wants one of US or CA"
    )


IMPOSSIBLE = [
    [("gpu_ram", "gte", 49_152), ("gpu_ram", "lte", 24_576)],
    [("gpu_ram", "gt", 10), ("gpu_ram", "lte", 10)],
    [("gpu_ram", "lt", 10), ("gpu_ram", "gte", 10)],
    [("gpu_ram", "eq", 10), ("gpu_ram", "eq", 11)],
    [("gpu_ram", "in", [10, 11]), ("gpu_ram", "gt", 11)],
    [("gpu_ram", "notin", [10, 11]), ("gpu_ram", "eq", 11)],
    [("num_gpus", "gt", 1), ("num_gpus", "lt", 2)],
    [("num_gpus", "eq", 1.5)],
    [("cpu_arch", "eq", "amd64"), ("cpu_arch", "neq", "amd64")],
    [("cpu_arch", "in", ["a", "b"]), ("cpu_arch", "neq", "a"), ("cpu_arch", "neq", "b")],
    [("geolocation", "in", ["US", "CA"]), ("geolocation", "in", ["DE"])],
    [("static_ip", "eq", True), ("static_ip", "eq", False)],
    [("driver_version", "gte", "570.1"), ("driver_version", "lt", "535.999")],
    [("gpu_name", "in", ["H100"]), ("gpu_name", "eq", "RTX 4090")],
    [("gpu_name", "in", ["H100 SXM"]), ("gpu_name", "notin", ["H100"])],
]

POSSIBLE = [
    [("gpu_ram", "gte", 10), ("gpu_ram", "lte", 10)],
    [("gpu_ram", "gt", 10), ("gpu_ram", "lt", 11)],
    [("gpu_ram", "gte", 10), ("gpu_ram", "gt", 5), ("gpu_ram", "neq", 11)],
    [("gpu_ram", "lte", 10), ("gpu_ram", "lt", 5)],
    [("num_gpus", "gte", 1), ("num_gpus", "lte", 1)],
    [("cpu_arch", "neq", "amd64"), ("cpu_arch", "neq", "arm64")],
    [("gpu_name", "in", ["A100"]), ("gpu_name", "eq", "A100 SXM4")],
    [("gpu_name", "neq", "A100"), ("gpu_name", "neq", "H100")],
    [("gpu_name", "in", ["H100", "A100"]), ("gpu_name", "neq", "H100")],
    [("driver_version", "gte", "535.104"), ("driver_version", "lt", "570.1")],
]


@pytest.mark.parametrize("those", IMPOSSIBLE, ids=repr)
def test_what_excludes_each_other_is_refused_with_both_inputs(
    those: list[tuple[str, str, Any]],
) -> None:
    conditions = [said(*it) for it in those]

    for order in (conditions, conditions[::-1]):
        with pytest.raises(InvalidOption) as caught:
            check(order, "@app.function of f(): ")
        assert caught.value.message.startswith("@app.function of f(): ")
        assert all(it.said in caught.value.message for it in conditions)


@pytest.mark.parametrize("those", POSSIBLE, ids=repr)
def test_what_something_could_meet_is_not_refused(those: list[tuple[str, str, Any]]) -> None:
    check([said(*it) for it in those])
    check([said(*it) for it in those[::-1]])


VALUES = st.integers(0, 6)


@st.composite
def comparisons(draw: st.DrawFn) -> Condition:
    """One on memory, with small numbers so that many meet."""
    operator = draw(st.sampled_from(OPERATORS))
    value = draw(st.lists(VALUES, min_size=1, max_size=4) if "in" in operator else VALUES)
    return said("gpu_ram", operator, value)


@given(st.lists(comparisons(), max_size=4))
def test_only_what_nothing_meets_is_refused(conditions: list[Condition]) -> None:
    numbers = [it / 2 for it in range(-3, 20)]
    meeting = [it for it in numbers if all(meets(one, {"gpu_ram": it}) for one in conditions)]

    try:
        check(conditions)
    except InvalidOption:
        assert meeting == []
    else:
        # Bounds are compared in pairs; where values are excluded one by one, some are left between.
        assert meeting or any(one.operator in ("neq", "notin") for one in conditions)


@pytest.mark.parametrize(
    ("those", "count"),
    [
        ([], 0),
        ([("cpu_ghz", "gte", 3)], 0),
        ([("gpu_ram", "gte", 3)], 1),
        ([("total_flops", "gte", 3)], 1),
        ([("num_gpus", "gte", 2), ("num_gpus", "lte", 4)], 2),
        ([("num_gpus", "eq", 0)], 0),
        ([("num_gpus", "lte", 4), ("gpu_ram", "gte", 3)], 1),
        ([("num_gpus", "in", [8, 4])], 4),
    ],
)
def test_filters_say_how_many_gpus_are_wanted(those: list[tuple[Any, ...]], count: int) -> None:
    assert gpus_of([said(*it) for it in those]) == count
