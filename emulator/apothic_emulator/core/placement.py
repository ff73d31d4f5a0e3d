"""Which GPUs an executor gets, of those that are free: a rule without state.

A function names models in the order in which it would like them, how many devices it needs and
how much memory each must have. All are of one model and on one machine. Of what will do, the first
named comes first, then the device with the least memory: larger ones are left for those who need
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.gpus import is_model
from apothic_backends.model.record import Record
from apothic_emulator.core.hellos import Gpu

_GB, _MB = 10**9, 1 << 20
"""Makers count gigabytes so: a card that is sold with 80 GB reports 81,559 MiB, and has them."""


class Pick(Record):
    """Devices for one executor; `rank` is the place of their model among those that were named."""

    rank: int = 0
    gpus: tuple[Gpu, ...] = ()

    @property
    def memory_mb(self) -> int:
        """What they have together."""
        return sum(gpu.memory_mb for gpu in self.gpus)


NOTHING = Pick()
"""For a function that wants none."""


def pick(spec: FunctionSpec, free: Iterable[Gpu]) -> Pick | None:
    """The devices that an executor of a function gets of these; None if there are not enough."""
    models: dict[str, list[Gpu]] = {}
    for gpu in free:
        if _is_enough(spec, gpu):
            models.setdefault(gpu.name, []).append(gpu)
    groups = [sorted(group, key=_size) for group in models.values()]
    enough = [group[: spec.gpu_count] for group in groups if len(group) >= spec.gpu_count]
    for rank, wanted in enumerate(spec.gpu or ("",)):
        able = [group for group in enough if is_model(group[0].name, wanted)]
        if able:
            return Pick(rank, tuple(min(able, key=lambda group: _size(group[-1]))))
    return None


def may_join(spec: FunctionSpec, gpu: Gpu, holders: Iterable[FunctionSpec]) -> bool:
    """Whether an executor of a function may have a device beside those that have it.

    Only where all of them share, and what each needs of its memory is there for all.
    """
    taken_gb = spec.min_vram_gb
    for holder in holders:
        if not (spec.gpu_share and holder.gpu_share):
            return False
        taken_gb += holder.min_vram_gb
    return taken_gb * _GB <= gpu.memory_mb * _MB


def suits(spec: FunctionSpec, gpu: Gpu) -> bool:
    """Whether a device is one of those that a function could do with."""
    return _is_enough(spec, gpu) and any(is_model(gpu.name, name) for name in spec.gpu or ("",))


def _is_enough(spec: FunctionSpec, gpu: Gpu) -> bool:
    if gpu.trouble or (gpu.parent and spec.gpu_count > 1):  # CUDA shows a process one slice
        return False
    return gpu.memory_mb * _MB >= spec.min_vram_gb * _GB


def _size(gpu: Gpu) -> tuple[int, str]:
    return gpu.memory_mb, gpu.uuid


def wish(spec: FunctionSpec) -> str:
    """What a function needs of a machine, for people."""
    parts = [f"{spec.cpu or 1} {'core' if (spec.cpu or 1) == 1 else 'cores'}"]
    parts.append(f"{spec.memory_mb} MB")
    return f"{', '.join(parts)}{' and ' + devices(spec) if spec.gpu_count else ''}"


def devices(spec: FunctionSpec) -> str:
    """The GPUs that a function needs, for people."""
    names = " or ".join(spec.gpu) or "GPU"
    memory = f" with {spec.min_vram_gb} GB" if spec.min_vram_gb else ""
    return f"{spec.gpu_count} x {names}{memory}"


def listed(gpus: Sequence[Gpu]) -> str:
    """Devices, for people: how many there are of each model; which are in trouble, and why."""
    counts: dict[str, int] = {}
    for gpu in gpus:
        if not gpu.trouble:
            name = f"{gpu.name} {round(gpu.memory_mb * _MB / _GB)} GB"
            counts[name] = counts.get(name, 0) + 1
    there = ", ".join(f"{count} x {name}" for name, count in counts.items()) or "no GPU"
    troubles = "; ".join(f"{gpu.uuid}: {gpu.trouble}" for gpu in gpus if gpu.trouble)
    return f"{there} ({troubles})" if troubles else there
