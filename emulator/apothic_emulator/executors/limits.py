"""What an executor may use, as its zygote gets to know it, and proof that it used more."""

from __future__ import annotations

import marshal
from typing import NamedTuple

_VERSION = 2
"""The newest way to marshal plain values that every Python reads."""


class Limits(NamedTuple):
    """Of one executor together with everything that it starts."""

    memory_bytes: int = 0
    """0 where somebody else watches over it."""
    is_enforced: bool = True
    """Whether it is killed when it uses more; otherwise that is only told."""
    cores: tuple[int, ...] = ()
    """Where it may run; empty for everywhere."""
    file_bytes: int = 0
    """How large each file may grow that it writes; 0 for as large as there is room."""


def pack(limits: Limits) -> bytes:
    """What goes with a FORK order; the other end may be another version of Python."""
    return marshal.dumps(tuple(limits), _VERSION)


def parse(data: bytes) -> Limits:
    """What `pack` made."""
    return Limits(*marshal.loads(data)) if data else Limits()  # noqa: S302 - from the host
