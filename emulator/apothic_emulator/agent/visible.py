"""`CUDA_VISIBLE_DEVICES`, as CUDA reads it: which devices a program may use.

    unset                all
    ""  "-1"             none
    "0,2"                by their places on the bus, as with CUDA_DEVICE_ORDER=PCI_BUS_ID
    "GPU-8f,GPU-3c1"     by their UUIDs, or how those begin if only one does
    "MIG-3f2"            slices, likewise; "MIG-GPU-8f.../1/0", as they were called before, is
                         known to `gpus`, and has to be whole

The first name decides of which kind all are; the list ends before the first that is of another
kind, or fits no device or several. A list in which one comes twice is none. In one thing we differ:
CUDA shows a process one slice only, while we may give each to another process. So a device that is
cut stands for all of its slices.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from apothic_emulator.core.hellos import Gpu

VISIBLE = "CUDA_VISIBLE_DEVICES"

_KIND = re.compile(r"\d|GPU-|MIG-|")
_NUMBER = re.compile(r"\d+")


def visible(wholes: Sequence[str], gpus: Sequence[Gpu], wanted: str | None) -> tuple[Gpu, ...]:
    """Those of the devices that a program may use.

    `wholes` are the UUIDs of the devices on the bus in their order, empty where one is not known;
    `gpus` are devices that are whole, and slices.
    """
    if wanted is None:
        return tuple(gpus)
    names = [name.strip() for name in wanted.split(",")]
    found: list[str] = []
    for name in names:
        uuid = _named(wholes, gpus, name) if _kind(name) == _kind(names[0]) else ""
        if not uuid:
            break
        if uuid in found:
            return ()
        found.append(uuid)
    return tuple(gpu for uuid in found for gpu in gpus if uuid in (gpu.uuid, gpu.parent))


def _kind(name: str) -> str:
    match = _KIND.match(name)
    kind = match[0] if match else ""
    return "number" if kind.isdecimal() else kind


def _named(wholes: Sequence[str], gpus: Sequence[Gpu], name: str) -> str:
    """The UUID of the one that is meant; empty if none is."""
    number = _NUMBER.match(name)  # and "1st" is 1
    if number is not None:
        place = int(number[0])
        return wholes[place] if place < len(wholes) else ""
    if not _kind(name):
        return ""
    known = wholes if name.startswith("GPU-") else [gpu.uuid for gpu in gpus if gpu.parent]
    those = [uuid for uuid in known if uuid.startswith(name)]
    return name if name in those else those[0] if len(those) == 1 else ""
