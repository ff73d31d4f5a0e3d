"""What models of GPUs are called."""

from __future__ import annotations

import re
from functools import lru_cache

VARIANTS = frozenset({"TI", "SUPER", "ADA", "LAPTOP", "PRO", "MOBILE", "MAX", "D", "MIG"})
"""Words that make another model of one: who wants an RTX 4070 does not mean an RTX 4070 Ti, and who
wants an A100 does not mean a slice of one (MIG)."""

GB, MB = 10**9, 1 << 20
"""Makers count gigabytes so: a card that is sold with 80 GB reports 81,559 MB, and has them."""

_WORD = re.compile(r"[A-Z0-9]+")
_SLICES = re.compile(r"\dG")
_GLUED = re.compile(r"(?<=\d{4})(SUPER|TI|ADA|S|D)(?![A-Z0-9])|(?<=[RG]TX)(?=\d)")
_SIZE = re.compile(r"(\d+)GB")
_SLACK = 1.03
"""How much more than its name says a device may report."""


def is_model(name: str, wanted: str, memory_mb: int = 0) -> bool:
    """Whether a device of that name is of a model that was named, in whatever spelling.

    "NVIDIA GeForce RTX 4090" is an "RTX_4090", "NVIDIA H100 80GB HBM3" an "H100", "RTX 4070S" the
    same as "NVIDIA GeForce RTX 4070 SUPER". An "A100 SXM4" is an "A100-80GB" by what it reports. A
    slice is known by its profile, too: "NVIDIA A100-SXM4-40GB MIG 1g.5gb" is an "A100:1g.5gb".
    """
    has, wants = _words(name), _words(wanted)
    if any(map(_SLICES.fullmatch, wants)):
        wants |= {"MIG"}
    missing = wants - has
    is_named = not missing or (memory_mb > 0 and all(_is_size(it, memory_mb) for it in missing))
    return is_named and (not wants or not (has - wants) & VARIANTS)


def has_size(wanted: str) -> bool:
    """Whether a name says how much memory is wanted, so that it is not known by the name alone."""
    return any(map(_SIZE.fullmatch, _words(wanted)))


def mb_of(gb: float) -> int:
    """Gigabytes, as makers count, as the least that a device with so many reports."""
    return int(gb * GB / MB)


def _is_size(word: str, memory_mb: int) -> bool:
    size = _SIZE.fullmatch(word)
    return size is not None and mb_of(int(size[1])) <= memory_mb <= int(size[1]) * 1024 * _SLACK


@lru_cache(512)
def _words(name: str) -> frozenset[str]:
    upper = _GLUED.sub(_apart, name.upper().replace("_", " "))
    return frozenset(_WORD.findall(upper))


def _apart(match: re.Match[str]) -> str:
    return f" {'SUPER' if match[0] == 'S' else match[0]}"
