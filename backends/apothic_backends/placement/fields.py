"""What can be said of a machine that is offered: each field's name, type and unit, in one table.

The names, units and meanings are those of Vast's market, so that a filter can be sent there as it
is; some are ours. "MB" are mebibytes, as drivers and systems count. On a machine of one's own
(`here`) a field is known from the GPU's driver, from the agent, or not at all. A value that is not
known never satisfies a comparison with an offer that costs money, and is waived on a machine of
one's own.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from math import isfinite
from typing import Any, Final

from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.functions import Scalar
from apothic_backends.model.record import Record

NUMBER, TEXT, FLAG, VERSION, COUNTRY, MODEL = (
    "number",
    "text",
    "flag",
    "version",
    "country",
    "model",
)

DRIVER, AGENT, NOWHERE = "driver", "agent", ""
"""Who tells a field of a machine of one's own."""

ORDERED: Final = frozenset({"gt", "gte", "lt", "lte"})
LISTED: Final = frozenset({"in", "notin"})
OPERATORS: Final = ("eq", "neq", "gt", "lt", "gte", "lte", "in", "notin")


class Field(Record):
    """One thing that is said of a machine.

    `of_gpu` if only a machine with GPUs has it; `here` says who tells it of one's own machine.
    """

    name: str
    kind: str
    unit: str = ""
    of_gpu: bool = False
    here: str = NOWHERE
    about: str = ""


def _gpu(name: str, kind: str, unit: str = "", here: str = NOWHERE, about: str = "") -> Field:
    return Field(name, kind, unit, True, here, about)


_TABLE: Final = (
    _gpu("gpu_name", MODEL, "", DRIVER, "its model, in any spelling"),
    _gpu("num_gpus", NUMBER, "", DRIVER, "GPUs of the offer; here: those that a worker gets"),
    _gpu("gpu_ram", NUMBER, "MB", DRIVER, "memory of each GPU"),
    _gpu("gpu_total_ram", NUMBER, "MB", DRIVER, "memory of all GPUs together"),
    _gpu("gpu_frac", NUMBER, "", NOWHERE, "share of the machine's GPUs, 0 to 1"),
    _gpu("gpu_arch", TEXT, "", NOWHERE, "nvidia or amd"),
    _gpu("gpu_mem_bw", NUMBER, "GB/s", NOWHERE, "bandwidth of a GPU's memory"),
    _gpu("gpu_lanes", NUMBER, "", NOWHERE, "PCIe lanes"),
    _gpu("gpu_max_power", NUMBER, "W"),
    _gpu("gpu_max_temp", NUMBER, "°C"),
    _gpu("gpu_display_active", FLAG),
    _gpu("compute_cap", NUMBER, "", NOWHERE, "CUDA's compute capability x 100: 890"),
    _gpu("cuda_max_good", NUMBER, "", NOWHERE, "highest CUDA that the driver supports: 12.8"),
    _gpu("driver_version", VERSION, "", NOWHERE, "such as 570.133.07"),
    _gpu("bw_nvlink", NUMBER, "GB/s"),
    _gpu("total_flops", NUMBER, "TFLOPS", NOWHERE, "of all GPUs together"),
    _gpu("flops_per_dphtotal", NUMBER, "TFLOPS per $/h"),
    _gpu("dlperf", NUMBER, "", NOWHERE, "Vast's score"),
    _gpu("dlperf_per_dphtotal", NUMBER),
    Field("cpu_arch", TEXT, here=AGENT, about="amd64 or arm64"),
    Field("cpu_name", TEXT),
    Field("cpu_cores", NUMBER, here=AGENT, about="cores of the whole machine"),
    Field("cpu_cores_effective", NUMBER, here=AGENT, about="cores of the offer"),
    Field("cpu_ghz", NUMBER, "GHz"),
    Field("cpu_ram", NUMBER, "MB", here=AGENT, about="memory of the whole machine"),
    Field("cpu_ram_effective", NUMBER, "MB", here=AGENT, about="memory of the offer (ours)"),
    Field("has_avx", FLAG),
    Field("disk_space", NUMBER, "GB", here=AGENT),
    Field("avail_vol_size", NUMBER, "GB", about="the largest volume that can be had beside"),
    Field("disk_bw", NUMBER, "MB/s"),
    Field("disk_name", TEXT),
    Field("inet_up", NUMBER, "Mbit/s"),
    Field("inet_down", NUMBER, "Mbit/s"),
    Field("inet_up_cost", NUMBER, "$/GB"),
    Field("inet_down_cost", NUMBER, "$/GB"),
    Field("storage_cost", NUMBER, "$/GB/month"),
    Field("storage_total_cost", NUMBER, "$/h"),
    Field("dph_base", NUMBER, "$/h", about="without storage"),
    Field("dph_total", NUMBER, "$/h", about="with the storage that is asked for"),
    Field("min_bid", NUMBER, "$/h"),
    Field("score", NUMBER),
    Field("pci_gen", NUMBER),
    Field("pcie_bw", NUMBER, "GB/s"),
    Field("direct_port_count", NUMBER),
    Field("static_ip", FLAG),
    Field("public_ipaddr", TEXT),
    Field("reliability", NUMBER, "", about="0 to 1"),
    Field("expected_reliability", NUMBER),
    Field("verification", TEXT, about="verified, unverified or deverified"),
    Field("verified", FLAG, about="whether verification is verified"),
    Field("hosting_type", NUMBER, about="0 community, 1 and more a data centre"),
    Field("datacenter", FLAG, about="whether hosting_type is at least 1"),
    Field("external", FLAG),
    Field("rentable", FLAG),
    Field("rented", FLAG),
    Field("geolocation", COUNTRY, about="a country's two letters"),
    Field("region", TEXT, about="of Fly's, such as ams (ours)"),
    Field("duration", NUMBER, "s", about="how long it can be rented from now on"),
    Field("start_date", NUMBER, "Unix s"),
    Field("end_date", NUMBER, "Unix s"),
    Field("host_id", NUMBER),
    Field("machine_id", NUMBER),
    Field("bundle_id", NUMBER),
    Field("ask_contract_id", NUMBER, about="the offer's number"),
    Field("cluster_id", NUMBER),
    Field("mobo_name", TEXT),
    Field("os_version", TEXT),
    Field("vms_enabled", FLAG),
    Field("resource_type", TEXT),
    Field("provider", TEXT, here=AGENT, about="vast or fly (ours)"),
)

FIELDS: Final = {field.name: field for field in _TABLE}

ALIASES: Final = {
    "dph": "dph_total",
    "dphtotal": "dph_total",
    "reliability2": "reliability",
    "dlperf_usd": "dlperf_per_dphtotal",
    "flops_usd": "flops_per_dphtotal",
    "ubuntu_version": "os_version",
}
"""Other names that the market knows for the same."""

_CODE: Final = re.compile("[A-Z]{2}")
_WRONG_CODES: Final = {"UK": "GB", "EL": "GR"}


def field_of(name: object, said: str) -> Field:
    """The field of that name.

    Raises:
        InvalidOption: there is none; the message says what may be meant.
    """
    field = FIELDS.get(ALIASES.get(str(name), str(name)))
    if field is None or not isinstance(name, str):
        close = get_close_matches(str(name), [*FIELDS, *ALIASES], n=1)
        meant = f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(FIELDS)}"
        raise InvalidOption(
            f"{said}: nothing is known of machines as {name!r}{meant}", option="offer_filters"
        )
    return field


def coerced(field: Field, operator: str, value: Any, said: str) -> Scalar | tuple[Scalar, ...]:
    """A value as comparisons with that field take it.

    Raises:
        InvalidOption: it is of another type, or the operator has no meaning for the field.
    """
    if operator not in OPERATORS:
        close = get_close_matches(str(operator).lower().strip("$"), OPERATORS, n=1)
        meant = f"; did you mean {close[0]!r}?" if close else ""
        raise _wrong(f"{said}: there is no operator {operator!r}, only {_or(OPERATORS)}{meant}")
    if operator in ORDERED and field.kind not in (NUMBER, VERSION):
        raise _wrong(
            f"{said}: {field.name} is a {field.kind}, which is not more or less than another; use "
            "eq, neq, in or notin"
        )
    if operator not in LISTED:
        return _scalar(field, value, said)
    if not isinstance(value, list | tuple | set | frozenset) or not value:
        raise _wrong(f"{said}: {operator!r} takes a list of at least one value, not {value!r:.80}")
    members: list[Any] = [*value]
    return tuple(dict.fromkeys(_scalar(field, member, said) for member in members))


def _scalar(field: Field, value: Any, said: str) -> Scalar:
    if isinstance(value, list | tuple | set | frozenset | dict):
        raise _wrong(f"{said}: {field.name} is compared with one value; for several use 'in'")
    if field.kind == NUMBER:
        return _number(field, value, said)
    if field.kind == FLAG:
        if value not in (True, False) or isinstance(value, float):
            raise _wrong(f"{said}: {field.name} is True or False, not {_shown(value)}")
        return bool(value)
    if not isinstance(value, str) or not value.strip():
        raise _wrong(f"{said}: {field.name} is a {field.kind}, not {_shown(value)}")
    told = value.strip()
    if field.kind == VERSION:
        return _version(told, said)
    return _country(told, said) if field.kind == COUNTRY else told


def _number(field: Field, value: Any, said: str) -> Scalar:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not isfinite(value):
        unit = f" ({field.unit})" if field.unit else ""
        raise _wrong(f"{said}: {field.name} is a number{unit}, not {_shown(value)}")
    return value


def _version(value: str, said: str) -> str:
    if not all(part.isdecimal() for part in value.split(".")):
        raise _wrong(f"{said}: a version is numbers and points such as '570.133', not {value!r}")
    return value


def _country(value: str, said: str) -> str:
    code = value.upper()
    if not _CODE.fullmatch(code) or code == "EU":
        raise _wrong(f"{said}: a country is two letters such as 'US' or 'DE', not {value!r}")
    if code in _WRONG_CODES:
        raise _wrong(f"{said}: there is no country {code!r}; did you mean {_WRONG_CODES[code]!r}?")
    return code


def parts_of(version: str) -> tuple[int, ...]:
    """A version, to be compared: 535.86 is before 535.104."""
    return tuple(int(part) for part in version.split("."))


def _wrong(text: str) -> InvalidOption:
    return InvalidOption(text, option=text.partition(":")[0])


def _shown(value: object) -> str:
    return f"{value!r:.80} ({type(value).__name__})"


def _or(words: tuple[str, ...]) -> str:
    return ", ".join(words)
