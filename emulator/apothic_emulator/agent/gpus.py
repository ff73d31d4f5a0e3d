"""The GPUs of this machine, as its driver tells of them.

`APOTHIC_FAKE_GPUS` ("2xH100-80GB,1xA100-40GB") stands in for the driver: placement can be tried
where there is none. A device is named by its UUID everywhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from apothic_backends.model.errors import InvalidOption
from apothic_emulator.core.hellos import Gpu

FAKE = "APOTHIC_FAKE_GPUS"
VISIBLE = "CUDA_VISIBLE_DEVICES"

_FAKE = re.compile(r"(\d+)x([A-Za-z0-9_ ]+)-(\d+)GB")


def find() -> tuple[tuple[Gpu, ...], str]:
    """The GPUs that this process may use; if there are none, why."""
    fake = os.environ.get(FAKE)
    if fake:
        return faked(fake), ""
    gpus, reason = _driver()
    seen = visible(gpus, os.environ.get(VISIBLE))
    if gpus and not seen:
        reason = f"{VISIBLE}={os.environ[VISIBLE]!r} leaves none of {len(gpus)}"
    return seen, reason


def _driver() -> tuple[tuple[Gpu, ...], str]:
    """What NVIDIA's driver tells; that there is none is a normal state."""
    try:
        nvml = import_module("pynvml")  # 20 ms, and few programs need it
    except ImportError:
        return (), "nvidia-ml-py is not installed"
    return ask(nvml)


def ask(nvml: Any) -> tuple[tuple[Gpu, ...], str]:
    """What the driver tells through its library."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return (), f"no NVIDIA driver: {error}"
    try:
        handles = map(nvml.nvmlDeviceGetHandleByIndex, range(nvml.nvmlDeviceGetCount()))
        gpus = tuple(_device(nvml, handle) for handle in handles)
    except nvml.NVMLError as error:
        return (), f"the NVIDIA driver does not tell: {error}"
    else:
        return gpus, "" if gpus else "the NVIDIA driver knows of none"
    finally:
        nvml.nvmlShutdown()


def _device(nvml: Any, handle: Any) -> Gpu:
    memory_mb = nvml.nvmlDeviceGetMemoryInfo(handle).total >> 20
    return Gpu(nvml.nvmlDeviceGetUUID(handle), nvml.nvmlDeviceGetName(handle), memory_mb)


def visible(gpus: Sequence[Gpu], wanted: str | None) -> tuple[Gpu, ...]:
    """Those that `CUDA_VISIBLE_DEVICES` leaves, as CUDA reads it: up to the first that is none.

    Numbers are in the order of the bus, as the driver has them.
    """
    if wanted is None:
        return tuple(gpus)
    found: list[Gpu] = []
    for name in wanted.split(","):
        gpu = _named(gpus, name.strip())
        if gpu is None or gpu in found:
            break
        found.append(gpu)
    return tuple(found)


def _named(gpus: Sequence[Gpu], name: str) -> Gpu | None:
    if name.isdecimal():
        return gpus[int(name)] if int(name) < len(gpus) else None
    those = [gpu for gpu in gpus if name and gpu.uuid.startswith(name)]
    return those[0] if len(those) == 1 else None


def chosen(gpus: Sequence[Gpu], names: Sequence[str]) -> tuple[Gpu, ...]:
    """Those with these UUIDs, or the only ones that begin so.

    Raises:
        InvalidOption: one of them is not here.
    """
    found: dict[str, Gpu] = {}
    for name in names:
        gpu = _named(gpus, name)
        if gpu is None:
            there = ", ".join(gpu.uuid for gpu in gpus) or "none"
            raise InvalidOption(f"--gpu {name}: there is no such GPU here; there are: {there}")
        found[gpu.uuid] = gpu
    return tuple(found.values())


def faked(text: str) -> tuple[Gpu, ...]:
    """The devices that a text describes: "2xH100-80GB,1xA100-40GB".

    Raises:
        InvalidOption: it cannot be read.
    """
    gpus: list[Gpu] = []
    for part in text.split(","):
        match = _FAKE.fullmatch(part.strip())
        if match is None:
            raise InvalidOption(
                f"{FAKE}={text!r}: it must be like 2xH100-80GB,1xA100-40GB", option=FAKE
            )
        count, name, gb = int(match[1]), match[2], int(match[3])
        gpus += [Gpu(f"GPU-fake-{name}-{len(gpus) + i}", name, gb * 1024) for i in range(count)]
    return tuple(gpus)
