"""What is asked of Vast's market for a function, and what its answer is worth.

Its filters have our fields, units and operators, as `apothic_backends.placement.fields` is made
after it. They only make its answer shorter: what it has no filter for is not asked, and every
condition is judged again on what it answers, because it does not keep to all of them. All of this
is pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from apothic_backends.model.functions import Condition, FunctionSpec
from apothic_backends.placement.compiling import conditions_of
from apothic_backends.placement.conditions import meets, members
from apothic_backends.placement.fields import ALIASES, FIELDS, FLAG, NUMBER, VERSION
from apothic_backends.placement.offers import Offer, choose, offer_of
from apothic_backends.providers.vast.instances import is_number, is_object
from apothic_backends.providers.vast.names import names_of

PAGE: Final = 64
"""More offers than that never come at once, whatever is asked for."""

_LAYER_GB: Final = 8.0
"""The smallest disk that can be had."""

_TABLE: Final = """
    bw_nvlink compute_cap cpu_arch cpu_cores cpu_cores_effective cpu_ghz cpu_ram cuda_max_good
    datacenter direct_port_count disk_bw disk_space dlperf dlperf_per_dphtotal dph_total duration
    external flops_per_dphtotal geolocation gpu_arch gpu_display_active gpu_frac gpu_max_power
    gpu_max_temp gpu_mem_bw gpu_name gpu_ram gpu_total_ram has_avx host_id inet_down inet_down_cost
    inet_up inet_up_cost machine_id min_bid mobo_name num_gpus os_version pci_gen pcie_bw
    reliability rentable rented static_ip storage_cost total_flops verification verified
    vms_enabled
"""

_FILTERS: Final = frozenset(_TABLE.split())
"""The fields that it can be asked for; an unknown one might be an error."""

_UNLESS_SAID: Final = (
    Condition("verified", "eq", True, "machines that Vast has looked at"),
    Condition("external", "eq", False, "machines of Vast's own market"),
    Condition("rentable", "eq", True, "machines that are to be had"),
    Condition("rented", "eq", False, "machines that nobody has"),
    Condition("cpu_arch", "eq", "amd64", "what images are built for"),
    Condition("gpu_arch", "eq", "nvidia", "what images are built for"),
    Condition("reliability", "gte", 0.95, "machines that are seldom gone"),
    Condition("duration", "gte", 6 * 3600, "machines that stay for some hours"),
)
"""What is asked for beside, where a function says nothing of it. What is not told is let pass."""

_TRUST: Final = frozenset(("verified", "external", "reliability", "duration"))
"""What of that is about which machine to choose: who names one has chosen."""

_SAY_THE_SAME: Final = {"verification": "verified", "hosting_type": "datacenter"}
_STRICTER: Final = {"gt": max, "gte": max, "lt": min, "lte": min}


def is_meant(spec: FunctionSpec) -> bool:
    """Whether the market has anything for a function: its machines are let for their GPUs."""
    return bool(spec.gpu_count) or any(it.field == "provider" for it in spec.placement)


def body_of(spec: FunctionSpec, disk_gb: float, least_usd: float = 0) -> dict[str, Any]:
    """A search for what would do, the cheapest first, beginning at a price."""
    filters: dict[str, dict[str, Any]] = {}
    for condition in (*conditions_of(spec), *_beside(spec)):
        _add(filters, condition)
    if least_usd:
        _add(filters, Condition("dph_total", "gte", least_usd, ""))
    return {
        **filters,
        "type": "on-demand",
        "order": [["dph_total", "asc"]],
        "limit": PAGE,
        "allocated_storage": max(disk_gb, _LAYER_GB),
    }


def _beside(spec: FunctionSpec) -> list[Condition]:
    said = {_SAY_THE_SAME.get(it.field, it.field) for it in spec.placement}
    if "machine_id" in said:
        said |= _TRUST
    return [it for it in _UNLESS_SAID if it.field not in said]


def _add(filters: dict[str, dict[str, Any]], condition: Condition) -> None:
    field, operator, value = condition.field, condition.operator, condition.value
    if field == "gpu_name":
        operator = "in" if operator in ("eq", "in") else "notin"
        value = tuple(dict.fromkeys(it for one in members(value) for it in names_of(str(one))))
    if field == "cpu_ram_effective" and operator in ("gt", "gte"):
        field = "cpu_ram"  # of the whole machine, which one's share is never more than
    if field not in _FILTERS:
        return
    its = filters.setdefault(field, {})
    told = list(value) if isinstance(value, tuple) else value
    stricter = _STRICTER.get(operator)
    if operator not in its:
        its[operator] = told
    elif stricter is not None:
        its[operator] = stricter(its[operator], told)


def offers_of(rows: Iterable[Any], disk_gb: float) -> list[Offer]:
    """The offers of an answer, without what cannot be read or rented."""
    found: dict[str, Offer] = {}
    for row in rows:
        if not is_object(row):
            continue
        number = row.get("ask_contract_id") or row.get("id")
        if not isinstance(number, int) or isinstance(number, bool):
            continue
        told = {key: value for key, value in row.items() if _is_readable(key, value)}
        told["provider"] = "vast"
        disk = disk_gb if "storage_cost" in told else 0  # else as the market reckons
        offer = offer_of(str(number), told, disk)
        if (offer.usd_per_hour or 0) > 0:
            found.setdefault(offer.name, offer)
    return list(found.values())


def _is_readable(key: str, value: Any) -> bool:
    """Whether a value is of its field's type, so that it can be compared."""
    field = FIELDS.get(ALIASES.get(key, key))
    if field is None or value is None:
        return False
    if field.kind == NUMBER:
        return is_number(value)
    if field.kind == FLAG:
        return value in (0, 1)
    if field.kind == VERSION:
        return isinstance(value, str) and all(it.isdecimal() for it in value.split("."))
    return isinstance(value, str) and bool(value.strip())


def fitting(spec: FunctionSpec, offers: Sequence[Offer]) -> Sequence[Offer]:
    """Those that meet everything that a function asks for, whatever the market has made of it."""
    beside = _beside(spec)
    likely = [it for it in offers if all(meets(one, it.values) is not False for one in beside)]
    return choose(conditions_of(spec), likely).candidates


def next_floor(rows: Sequence[Any], floor: float) -> float | None:
    """The price at which further offers begin; None if there are none, or none that can be got."""
    if len(rows) < PAGE:
        return None
    prices = [row.get("dph_total") for row in rows if is_object(row)]
    last = max(filter(is_number, prices), default=0.0)
    return last if last > floor else None
