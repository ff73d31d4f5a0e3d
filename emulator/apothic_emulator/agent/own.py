"""What this machine has to give, its GPUs apart."""

from __future__ import annotations

import os
import shutil
from typing import Any, Final

from apothic_backends.home import home

_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
"""What markets call what the kernel calls so."""


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def memory_mb() -> int:
    """All of its memory."""
    return (os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) >> 20


def told() -> dict[str, Any]:
    """What else it tells of itself, for the conditions of functions."""
    machine = os.uname().machine
    free = shutil.disk_usage(home()).free
    return {
        "cpu_arch": _ARCHITECTURES.get(machine, machine),
        "disk_space": round(free / 1e9, 1),
    }
