"""Which GPUs an executor gets, of those that are free: a rule without state.

A function names models in the order in which it would like them, how many devices it needs and
how much memory each must have. All are of one model and on one machine. Of what will do, the first
named comes first, then the device with the least memory: larger ones are left for those who need
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.gpus import GB, MB, is_model, mb_of
from apothic_backends.model.record import Record
from apothic_emulator.core.hellos import MADE_UP, Capacity, Gpu

_SIZES_GB = (8, 16, 24, 48, 80, 141, 192, 288)
"""What devices that are made up may have."""


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
        able = [it for it in enough if is_model(it[0].name, wanted, it[0].memory_mb)]
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
    return gpu.memory_mb >= mb_of(taken_gb)


def suits(spec: FunctionSpec, gpu: Gpu) -> bool:
    """Whether a device is one of those that a function could do with."""
    models = spec.gpu or ("",)
    is_wanted = any(is_model(gpu.name, name, gpu.memory_mb) for name in models)
    return is_wanted and _is_enough(spec, gpu)


def _is_enough(spec: FunctionSpec, gpu: Gpu) -> bool:
    if gpu.trouble or (gpu.parent and spec.gpu_count > 1):  # CUDA shows a process one slice
        return False
    if gpu.memory_mb < mb_of(spec.min_vram_gb):
        return False
    return not unmet(spec, gpu)


def unmet(spec: FunctionSpec, gpu: Gpu) -> list[str]:
    """Which filters of a function a device does not meet, for people."""
    if not spec.placement:
        return []
    from apothic_backends.placement.own import failing_devices  # few  # noqa: PLC0415

    return failing_devices(spec, gpu.name, gpu.memory_mb)


def lacks(spec: FunctionSpec, capacity: Capacity) -> list[str]:
    """Why a machine does not meet the conditions of a function, its GPUs apart, for people.

    What it does not tell is waived.
    """
    missing = _no_engine(spec, capacity)
    return [*missing, *_failing(spec, capacity)] if spec.placement or spec.disk_gb else missing


def exceeds(spec: FunctionSpec, capacity: Capacity) -> list[str]:
    """Why all of a machine is not enough for a function, its GPUs apart, for people."""
    is_enough = (spec.cpu or 1) <= capacity.cpu and spec.memory_mb <= capacity.memory_mb
    is_plain = not (spec.placement or spec.disk_gb)
    return [] if is_enough and is_plain else _failing(spec, capacity)


def _failing(spec: FunctionSpec, capacity: Capacity) -> list[str]:
    """The conditions that it does not meet."""
    from apothic_backends.placement.own import failing  # few have conditions  # noqa: PLC0415

    cpu, memory_mb = capacity.cpu, capacity.memory_mb
    own = {"cpu_cores": cpu, "cpu_cores_effective": cpu}
    own |= {"cpu_ram": memory_mb, "cpu_ram_effective": memory_mb}
    return failing(spec, {**own, **capacity.offer})


def _no_engine(spec: FunctionSpec, capacity: Capacity) -> list[str]:
    """Why the image of a function cannot be there, if it cannot."""
    if capacity.image:
        is_its = spec.image is not None and spec.image.digest == capacity.image
        return [] if is_its else [f"it was made of the image {capacity.image[:12]}, for that alone"]
    if spec.image is None or capacity.docker:
        return []
    from apothic_backends.images.lanes import DOCKER, lane  # few have images  # noqa: PLC0415

    kind, reasons = lane(spec.image)
    needed = "; ".join(reasons)
    return [f"it has no Docker, which the image needs ({needed})"] if kind == DOCKER else []


def made_up(spec: FunctionSpec, known: int = 0) -> tuple[Gpu, ...]:
    """Devices that would do for a function, as small as can be, beside those that are known.

    None if no device would.
    """
    numbers = range(known, known + spec.gpu_count)
    for name in spec.gpu or ("GPU",):
        for gb in (spec.min_vram_gb, *_SIZES_GB):
            label = name.replace(" ", "_")
            gpus = tuple(Gpu(f"{MADE_UP}{label}-{it}", name, gb * 1024) for it in numbers)
            if pick(spec, gpus) is not None:
                return gpus
    return ()


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
            name = f"{gpu.name} {round(gpu.memory_mb * MB / GB)} GB"
            counts[name] = counts.get(name, 0) + 1
    there = ", ".join(f"{count} x {name}" for name, count in counts.items()) or "no GPU"
    troubles = "; ".join(f"{gpu.uuid}: {gpu.trouble}" for gpu in gpus if gpu.trouble)
    return f"{there} ({troubles})" if troubles else there
