"""Machines of one's own, as offers: what they tell has to do, what they do not tell is waived."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from apothic_backends.model.errors import UsageError
from apothic_backends.model.functions import Condition, FunctionSpec
from apothic_backends.placement.compiling import conditions_of
from apothic_backends.placement.conditions import meets, reason
from apothic_backends.placement.fields import coerced, field_of

_OF_DEVICES: Final = ("gpu_name", "num_gpus", "gpu_ram", "gpu_total_ram")
"""What the driver tells: it has to do on every machine, since code cannot run without."""


def failing_devices(spec: FunctionSpec, name: str, memory_mb: int) -> list[str]:
    """Which filters devices of that name and memory do not meet, for people."""
    values = _devices(spec, name, memory_mb)
    return [reason(it, values) for it in spec.placement if meets(it, values) is False]


def _devices(spec: FunctionSpec, name: str, memory_mb: int) -> dict[str, Any]:
    said = name, spec.gpu_count, memory_mb, spec.gpu_count * memory_mb
    return dict(zip(_OF_DEVICES, said, strict=True))


def failing(spec: FunctionSpec, values: Mapping[str, Any]) -> list[str]:
    """Why a machine that tells these values will not do, for people; its devices apart."""
    conditions = (it for it in conditions_of(spec) if it.field not in _OF_DEVICES)
    return [reason(it, values) for it in conditions if meets(it, values) is False]


def waived(spec: FunctionSpec, known: Iterable[str] = ()) -> tuple[Condition, ...]:
    """The conditions that do not count on a machine which tells only these fields and its devices.

    `cpu` and `memory_mb` are none of them: they are kept there in another way.
    """
    tells = {*_OF_DEVICES, *known}
    own = tuple(it for it in conditions_of(spec) if it.field == "disk_space")
    return tuple(it for it in (*own, *spec.placement) if it.field not in tells)


def check_told(told: Mapping[str, Any]) -> None:
    """See to it that what a machine tells of itself can be compared.

    Raises:
        UsageError: it cannot.
    """
    for name, value in told.items():
        field = field_of(name, "what a machine tells")
        if field.name != name or coerced(field, "eq", value, f"{name} of a machine") != value:
            raise UsageError(f"what a machine tells cannot be: {name}={value!r:.80}")
