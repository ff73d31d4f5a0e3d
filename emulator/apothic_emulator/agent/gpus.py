"""The GPUs of this machine that executors may get: devices, and slices of those that are cut.

They are asked for in this order: `APOTHIC_FAKE_GPUS`, which stands in for all drivers; NVIDIA's.
(AMD's and Apple's would come next.) A device is named by its UUID everywhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

from apothic_backends.model.errors import InvalidOption
from apothic_emulator.agent import nvml
from apothic_emulator.agent.nvml import Device, Inventory
from apothic_emulator.agent.visible import VISIBLE, visible
from apothic_emulator.core.hellos import Gpu

FAKE = "APOTHIC_FAKE_GPUS"

_FAKE = re.compile(r"(\d+)x([A-Za-z0-9_ ]+)-(\d+)GB(?::(\d+g\.(\d+)gb))?")


def find() -> tuple[tuple[Gpu, ...], str]:
    """The GPUs that this process may use; if there are none, why.

    Raises:
        InvalidOption: what is to be made up cannot be read.
    """
    return usable(look())


def look() -> Inventory:
    """All that there is, with how it is.

    Raises:
        InvalidOption: what is to be made up cannot be read.
    """
    fake = os.environ.get(FAKE)
    return Inventory(faked(fake)) if fake else nvml.look()


def usable(inventory: Inventory) -> tuple[tuple[Gpu, ...], str]:
    """Those of them that this process may use; if there are none, why."""
    devices = inventory.devices
    wholes = [it.gpu.uuid for it in devices if not it.gpu.parent]
    gpus = tuple(it.gpu for it in devices if it.gpu.uuid and not it.is_cut)
    wanted = None if os.environ.get(FAKE) else os.environ.get(VISIBLE)
    seen = visible(wholes, gpus, wanted and _todays(devices, wanted))
    if seen or not devices:
        return seen, inventory.reason
    if gpus:
        return (), f"{VISIBLE}={wanted!r} leaves none of {len(gpus)}"
    return (), "; ".join(map(_why_not, devices))


def _todays(devices: Iterable[Device], wanted: str) -> str:
    """The same list, with slices by the names that they have now."""
    former = {it.former: it.gpu.uuid for it in devices if it.former}
    return ",".join(former.get(name.strip(), name) for name in wanted.split(","))


def _why_not(device: Device) -> str:
    return f"{device.gpu.name} {device.number}: {device.gpu.trouble or 'is cut into no slices'}"


def merged(before: Iterable[Gpu], now: Iterable[Gpu], inventory: Inventory) -> tuple[Gpu, ...]:
    """The devices that there are now; of those that were there before, one that is gone stays.

    It is in trouble, as who has it has to know: that of a device that does not even tell who it is.
    """
    there = tuple(now)
    known = {gpu.uuid for gpu in there}
    gone = (gpu for gpu in before if gpu.uuid not in known)
    nameless = [it.gpu.trouble for it in inventory.devices if not it.gpu.uuid]
    why = next(iter(nameless), inventory.reason or "it is not there any more")
    return (*there, *(gpu.replace(trouble=gpu.trouble or why) for gpu in gone))


def chosen(gpus: Sequence[Gpu], names: Sequence[str]) -> tuple[Gpu, ...]:
    """Those with these numbers or UUIDs, or the only ones that begin so.

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


def _named(gpus: Sequence[Gpu], name: str) -> Gpu | None:
    if name.isdecimal():
        return gpus[int(name)] if int(name) < len(gpus) else None
    those = [gpu for gpu in gpus if name and gpu.uuid.startswith(name)]
    return those[0] if len(those) == 1 else None


def faked(text: str) -> tuple[Device, ...]:
    """The devices that a text describes: "2xH100-80GB,1xA100-40GB:1g.5gb".

    With a profile they are so many slices of one device.

    Raises:
        InvalidOption: it cannot be read.
    """
    devices: list[Device] = []
    for part in text.split(","):
        match = _FAKE.fullmatch(part.strip())
        if match is None:
            raise InvalidOption(
                f"{FAKE}={text!r}: it must be like 2xH100-80GB,1xA100-40GB:1g.5gb", option=FAKE
            )
        place = sum(not it.gpu.parent for it in devices)
        wholes = 1 if match[4] else int(match[1])
        devices += [_whole(match, place + i) for i in range(wholes)]
        if match[4]:
            parent = devices[-1].gpu.uuid
            devices += [_slice(match, parent, place, i) for i in range(int(match[1]))]
    return tuple(devices)


def _whole(match: re.Match[str], place: int) -> Device:
    gpu = Gpu(f"GPU-fake-{match[2]}-{place}", match[2], int(match[3]) * 1024)
    return Device(str(place), gpu, is_cut=bool(match[4]))


def _slice(match: re.Match[str], parent: str, place: int, i: int) -> Device:
    uuid = f"MIG-fake-{match[2]}-{place}-{i}"
    return Device(
        f"{place}.{i}", Gpu(uuid, f"{match[2]} MIG {match[4]}", int(match[5]) * 1024, parent)
    )
