"""Choosing among offers, beside a rule that is too simple to be wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from apothic_backends import catalogue
from apothic_backends.model.functions import Condition, FunctionSpec
from apothic_backends.model.gpus import is_model
from apothic_backends.placement.compiling import conditions_of, wish_of
from apothic_backends.placement.conditions import meets
from apothic_backends.placement.fields import FIELDS, OPERATORS
from apothic_backends.placement.offers import Choice, Offer, choose, offer_of


def chosen(options: dict[str, Any], offers: list[Offer]) -> Choice:
    """What there is for options."""
    wish = wish_of(options)
    return choose(wish.placement, offers, wish.gpu)


def priced(name: str, usd: float | None, **values: Any) -> Offer:
    """An offer that says that, and no more."""
    return Offer(name, {"dph_total": usd, **values} if usd is not None else values)


def names(choice: Choice) -> list[str]:
    """The candidates in order."""
    return [offer.name for offer in choice.candidates]


def test_the_cheapest_comes_first_and_what_has_no_price_last() -> None:
    offers = [priced("b", 2), priced("none", None), priced("a", 1), priced("also a", 1)]

    assert names(choose((), offers)) == ["a", "also a", "b", "none"]


def test_what_is_liked_better_comes_before_what_is_cheaper() -> None:
    offers = [
        priced("cheap", 0.1, gpu_name="RTX 3060"),
        priced("best", 0.9, gpu_name="RTX 4070 SUPER"),
        priced("dear", 1.9, gpu_name="RTX 4070S"),
        priced("other", 0.05, gpu_name="H100 SXM"),
        priced("dearest", 2, gpu_name="RTX 4070S"),
    ]
    wanted = Condition("gpu_name", "in", ("RTX_4070S", "RTX_3060"), "gpu")

    assert names(choose([wanted], offers, ("RTX_4070S", "RTX_3060"))) == [
        *("best", "dear", "dearest", "cheap")
    ]


def test_a_model_of_a_size_is_told_from_its_sisters_by_what_it_reports() -> None:
    offers = [
        priced("40", 1, gpu_name="A100 SXM4", gpu_ram=40_960),
        priced("80", 2, gpu_name="A100 SXM4", gpu_ram=81_920),
        priced("unknown", 1, gpu_name="A100 SXM4"),
    ]

    assert names(chosen({"offer_filters": {"gpu_name": {"eq": "A100-80GB"}}}, offers)) == ["80"]


def test_models_that_were_not_named_come_last() -> None:
    offers = [priced("x", 0.1, gpu_name="L4"), priced("y", 0.2, gpu_name="H100 SXM")]

    assert names(choose((), offers, ("H100",))) == ["y", "x"]


def test_every_reason_is_told_why_one_will_not_do() -> None:
    offer = priced("o", 2, gpu_ram=8192)
    options = {"max_cost_per_hour_usd": 1, "offer_filters": {"gpu_ram": {"gte": 10240}}}
    choice = chosen({**options, "geolocation": "US"}, [offer])

    assert names(choice) == []
    assert choice.why_not(offer) == [
        "dph_total is 2 $/h, and max_cost_per_hour_usd=1 wants at most 1 $/h",
        "geolocation is not known, and geolocation='US' wants US",
        "gpu_ram is 8192 MB, and offer_filters['gpu_ram']['gte'] wants at least 10240 MB",
    ]


def test_it_is_counted_what_each_condition_rejects_by_itself() -> None:
    offers = [priced(str(it), it, gpu_ram=it) for it in range(4)]
    filters = {"gpu_ram": {"gte": 3}, "dph_total": {"lte": 2, "gte": 0}}

    counts = chosen({"offer_filters": filters}, offers).rejected()

    assert [(it.field, it.operator, count) for it, count in counts] == [
        ("gpu_ram", "gte", 3),
        ("dph_total", "lte", 1),
    ]


def test_an_offer_is_told_with_what_follows_from_it() -> None:
    told = {
        "gpu_name": "RTX 4090",
        "geolocation": "Quebec, CA",
        "verification": "verified",
        "hosting_type": 1,
        "cpu_cores": 64,
        "cpu_cores_effective": 16.0,
        "cpu_ram": 256_000,
        "has_avx": 1,
        "dph_base": 0.36,
        "dph_total": 0.37,
        "storage_cost": 0.18,
        "total_flops": 92.0,
        "reliability2": 0.99,
        "disk_bw": None,
        "score": float("nan"),
        "made_by_nobody": 1,
    }

    values = offer_of("one", told, disk_gb=400).values

    assert values["geolocation"] == "CA"
    assert (values["verified"], values["datacenter"], values["has_avx"]) == (True, True, True)
    assert values["cpu_ram_effective"] == 64_000
    assert values["dph_total"] == pytest.approx(0.46)
    assert values["flops_per_dphtotal"] == pytest.approx(200)
    assert values["reliability"] == 0.99
    assert not values.keys() & {"disk_bw", "score", "made_by_nobody", "reliability2"}


def test_of_what_tells_little_little_follows() -> None:
    assert offer_of("one", {"gpu_frac": 0.5, "cpu_ram": 1000, "dph_base": 1}).values == {
        "gpu_frac": 0.5,
        "cpu_ram": 1000,
        "cpu_ram_effective": 500,
        "dph_base": 1,
    }
    assert offer_of("one", {"cpu_ram": 1000}).usd_per_hour is None


# --- beside the simple rule ----------------------------------------------------------------------

NAMES = ("RTX 3060", "RTX 3060 Ti", "RTX 4070 SUPER", "A100 SXM4", "H100 SXM")
COUNTRIES = ("US", "CA", "DE")
NUMBERS = ("gpu_ram", "dph_total", "cpu_ghz")


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


OFFERS = st.lists(
    st.fixed_dictionaries(
        {
            "gpu_name": maybe(st.sampled_from(NAMES)),
            "geolocation": maybe(st.sampled_from(COUNTRIES)),
            "static_ip": maybe(st.booleans()),
            **{name: maybe(st.integers(0, 5) | st.floats(0, 5)) for name in NUMBERS},
        }
    ),
    max_size=12,
)


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    """One of any kind."""
    field = draw(st.sampled_from(("gpu_name", "geolocation", "static_ip", *NUMBERS)))
    some = {
        "gpu_name": st.sampled_from((*NAMES, "A100", "RTX_4070S")),
        "geolocation": st.sampled_from(COUNTRIES),
        "static_ip": st.booleans(),
    }.get(field, st.integers(0, 5))
    known = OPERATORS if field in NUMBERS else ("eq", "neq", "in", "notin")
    operator = draw(st.sampled_from(known))
    many = operator in ("in", "notin")
    value = draw(st.lists(some, min_size=1, max_size=3).map(tuple) if many else some)
    return Condition(field, operator, value, f"{field} {operator} {value}")


def simply(condition: Condition, values: dict[str, Any]) -> bool:
    """Whether it is met, written out."""
    has, value = values.get(condition.field), condition.value
    if has is None:
        return False
    if condition.field == "gpu_name":
        wanted = value if isinstance(value, tuple) else (value,)
        return any(is_model(has, str(it)) for it in wanted) is (condition.operator in ("eq", "in"))
    found = {
        "eq": lambda: has == value,
        "neq": lambda: has != value,
        "gt": lambda: has > value,
        "gte": lambda: has >= value,
        "lt": lambda: has < value,
        "lte": lambda: has <= value,
        "in": lambda: has in value,
        "notin": lambda: has not in value,
    }
    return found[condition.operator]()


def made(drawn: list[dict[str, Any]]) -> list[Offer]:
    return [
        Offer(str(place), {key: it for key, it in values.items() if it is not None})
        for place, values in enumerate(drawn)
    ]


@given(st.lists(conditions(), max_size=4), OFFERS)
def test_it_chooses_what_the_simple_rule_chooses(
    wanted: list[Condition], drawn: list[dict[str, Any]]
) -> None:
    offers = made(drawn)

    choice = choose(wanted, offers)

    meeting = [it for it in offers if all(simply(one, it.values) for one in wanted)]
    assert {it.name for it in choice.candidates} == {it.name for it in meeting}
    assert all(bool(choice.why_not(it)) is (it not in meeting) for it in offers)
    by_price = sorted(meeting, key=lambda it: (it.values.get("dph_total") is None,
                                               it.values.get("dph_total", 0)))  # fmt: skip
    assert names(choice) == [it.name for it in by_price]  # and in their order where that is equal


@given(st.lists(conditions(), max_size=3), conditions(), OFFERS)
def test_a_further_condition_never_lets_more_through(
    wanted: list[Condition], other: Condition, drawn: list[dict[str, Any]]
) -> None:
    offers = made(drawn)

    fewer = names(choose([*wanted, other], offers))

    assert fewer == [it for it in names(choose(wanted, offers)) if it in fewer]


# --- the catalogue -------------------------------------------------------------------------------


def test_the_catalogue_says_of_when_it_is_and_only_what_the_table_knows() -> None:
    offers = catalogue.offers(10)

    assert catalogue.as_of()[:2] == "20"
    assert len({offer.name for offer in offers}) > 50
    assert {key for offer in offers for key in offer.values} <= FIELDS.keys()
    assert all((offer.usd_per_hour or 0) > 0 for offer in offers)


def test_disk_makes_what_is_in_the_catalogue_dearer() -> None:
    without, much = catalogue.offers(), catalogue.offers(1000)

    assert all(
        (one.usd_per_hour or 0) < (other.usd_per_hour or 0)
        for one, other in zip(without, much, strict=True)
    )


def test_a_function_without_gpu_finds_the_smallest_machine_that_will_do() -> None:
    spec = FunctionSpec("app", "f", memory_mb=3000, cpu=2)

    (best, *_) = choose(conditions_of(spec), catalogue.offers()).candidates

    assert best.name == "fly shared-cpu-2x, 4096 MB"


def test_what_the_spec_asks_for_is_in_the_catalogue() -> None:
    spec = FunctionSpec("app", "f", gpu=("H100",), gpu_count=8, min_vram_gb=80)

    assert names(choose(conditions_of(spec), catalogue.offers(), spec.gpu)) == [
        "vast 8 x H100 SXM, US"
    ]
    assert all(meets(it, {}) is None for it in conditions_of(spec))
