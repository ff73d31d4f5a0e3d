"""The options that say where a function may run, as conditions that all have to be met.

Options and the fields that they are about:

* `gpu`: gpu_name, any of them, the first is liked best; `gpu_count`: num_gpus, exactly
* `min_vram_gb`: gpu_ram; `min_cpu_ram_gb`: cpu_ram_effective; both in GB of 10**9 bytes
* `min_total_flops`: total_flops (TFLOPS); `min_gpu_ram_bandwidth_gbps`: gpu_mem_bw (GB/s)
* `cpu`, `min_cpu_cores`: cpu_cores_effective; `memory_mb`: cpu_ram_effective (MB)
* `min_cpu_ghz`: cpu_ghz; `disk_gb`: disk_space (GB); `min_disk_bandwidth_mb_s`: disk_bw (MB/s)
* `min_internet_upload_mbps`, `min_internet_download_mbps`: inet_up, inet_down (Mbit/s)
* `max_cost_per_hour_usd`: dph_total, with the disk that is asked for
* `max_cost_per_tflop_hour_usd`: flops_per_dphtotal, which is its inverse
* `geolocation`: geolocation; `secure_cloud_only`: datacenter
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.functions import Condition, FunctionSpec
from apothic_backends.model.gpus import mb_of
from apothic_backends.model.record import Record
from apothic_backends.placement.conditions import check, gpus_of
from apothic_backends.placement.fields import FIELDS, coerced, field_of
from apothic_backends.placement.models import known_as

_MOST_TFLOPS: Final = 1e6
"""More than any machine has: who writes such a number counts single operations."""

_SAME: Final = {
    "max_cost_per_hour_usd": ("dph_total", "lte"),
    "min_total_flops": ("total_flops", "gte"),
    "min_gpu_ram_bandwidth_gbps": ("gpu_mem_bw", "gte"),
    "min_cpu_cores": ("cpu_cores_effective", "gte"),
    "min_cpu_ghz": ("cpu_ghz", "gte"),
    "min_disk_bandwidth_mb_s": ("disk_bw", "gte"),
    "min_internet_upload_mbps": ("inet_up", "gte"),
    "min_internet_download_mbps": ("inet_down", "gte"),
}
"""Options that are a field's own unit."""


class Wish(Record):
    """What the options of a function say of GPUs, and the conditions that all others give."""

    gpu: tuple[str, ...] = ()
    gpu_count: int = 0
    min_vram_gb: int = 0
    placement: tuple[Condition, ...] = ()


def wish_of(options: Mapping[str, Any], where: str = "") -> Wish:
    """What options that have been checked one by one ask for together.

    Raises:
        InvalidOption: a field, an operator, a value or the name of a GPU cannot be meant, or two of
            them exclude each other; `where` begins the message.
    """
    said = {name: value for name, value in options.items() if value is not None}
    placement = tuple(_limits(said, where) + _filters(said.get("offer_filters") or {}, where))
    gpu = _listed(said.get("gpu") or ())
    for name in gpu:
        _known(name, where)
    wish = Wish(gpu, said.get("gpu_count", 0), said.get("min_vram_gb", 0), placement)
    if not wish.gpu_count:
        wish = wish.replace(gpu_count=gpus_of([*_of_gpus(wish), *placement]))
    others = _of_machine(said.get("cpu"), said.get("memory_mb", 0), said.get("disk_gb", 0))
    check([*_of_gpus(wish), *others, *placement], where)
    return wish


def check_placement(spec: FunctionSpec) -> None:
    """See to it that conditions which came from elsewhere can be judged, and could be met.

    Raises:
        InvalidOption: one of them cannot be meant, or they exclude each other.
    """
    for it in spec.placement:
        value = [*it.value] if isinstance(it.value, tuple) else it.value
        coerced(field_of(it.field, it.said), it.operator, value, it.said)
        if it.field not in FIELDS:
            raise InvalidOption(
                f"{it.said}: {it.field!r} is another name of a field", option=it.said
            )
    check(conditions_of(spec), f"{spec.name!r}: ")


def conditions_of(spec: FunctionSpec) -> tuple[Condition, ...]:
    """All that an offer has to meet for a function."""
    wish = Wish(spec.gpu, spec.gpu_count, spec.min_vram_gb)
    others = _of_machine(spec.cpu or 1, spec.memory_mb, spec.disk_gb)
    return (*_of_gpus(wish), *others, *spec.placement)


def _of_gpus(wish: Wish) -> list[Condition]:
    found: list[Condition] = []
    if wish.gpu:
        shown = wish.gpu[0] if len(wish.gpu) == 1 else [*wish.gpu]
        found.append(Condition("gpu_name", "in", wish.gpu, f"gpu={shown!r}"))
    if wish.gpu_count:
        said = f"gpu_count={wish.gpu_count}"
        found.append(Condition("num_gpus", "eq", wish.gpu_count, said))
    if wish.min_vram_gb:
        said = f"min_vram_gb={wish.min_vram_gb}"
        found.append(Condition("gpu_ram", "gte", mb_of(wish.min_vram_gb), said))
    return found


def _of_machine(cpu: int | None, memory_mb: int, disk_gb: float) -> list[Condition]:
    given = {
        f"cpu={cpu}": ("cpu_cores_effective", cpu),
        f"memory_mb={memory_mb}": ("cpu_ram_effective", memory_mb),
        f"disk_gb={disk_gb:g}": ("disk_space", disk_gb),
    }
    return [Condition(field, "gte", value, said) for said, (field, value) in given.items() if value]


def _limits(said: Mapping[str, Any], where: str) -> list[Condition]:
    """The conditions of named options that are not about which GPU."""
    given: dict[str, tuple[str, str, Any]] = {
        name: (*_SAME[name], value) for name, value in said.items() if name in _SAME
    }
    if "min_cpu_ram_gb" in said:
        given["min_cpu_ram_gb"] = "cpu_ram_effective", "gte", mb_of(said["min_cpu_ram_gb"])
    if "max_cost_per_tflop_hour_usd" in said:
        least = 1 / said["max_cost_per_tflop_hour_usd"]
        given["max_cost_per_tflop_hour_usd"] = "flops_per_dphtotal", "gte", least
    if "geolocation" in said:
        given["geolocation"] = "geolocation", "in", [*_listed(said["geolocation"])]
    if said.get("secure_cloud_only"):
        given["secure_cloud_only"] = "datacenter", "eq", True
    _check_flops(said.get("min_total_flops", 0), where)
    return [
        Condition(
            field,
            operator,
            coerced(FIELDS[field], operator, value, f"{where}{name}"),
            f"{name}={said[name]!r}",
        )
        for name, (field, operator, value) in given.items()
    ]


def _check_flops(tflops: float, where: str) -> None:
    if tflops > _MOST_TFLOPS:
        raise InvalidOption(
            f"{where}min_total_flops={tflops!r} counts TFLOPS, 10**12 operations a second: no "
            f"machine has so many; did you mean {tflops / 1e12:g}?",
            option="min_total_flops",
        )


def _filters(filters: Mapping[str, Mapping[str, Any]], where: str) -> list[Condition]:
    found: list[Condition] = []
    for name, comparisons in filters.items():
        field = field_of(name, f"{where}offer_filters")
        for operator, value in comparisons.items():
            said = f"offer_filters[{name!r}][{operator!r}]"
            given = coerced(field, operator, value, f"{where}{said}")
            found.append(Condition(field.name, operator, given, said))
    return found


def _known(name: str, where: str) -> None:
    try:
        known_as(name)
    except InvalidOption as error:
        raise InvalidOption(f"{where}{error.message}", **error.data) from None


def _listed(names: Any) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
