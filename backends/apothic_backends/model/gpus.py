"""What models of GPUs are called."""

from __future__ import annotations

import re

VARIANTS = frozenset({"TI", "SUPER", "ADA", "LAPTOP", "PRO", "MOBILE", "MAX", "D", "MIG"})
"""Words that make another model of one: who wants an RTX 4070 does not mean an RTX 4070 Ti, and who
wants an A100 does not mean a slice of one (MIG)."""

_WORD = re.compile(r"[A-Z0-9]+")
_SLICES = re.compile(r"\dG")


def is_model(name: str, wanted: str) -> bool:
    """Whether a device of that name is of a model that was named, in whatever spelling.

    "NVIDIA GeForce RTX 4090" is an "RTX_4090", "NVIDIA H100 80GB HBM3" an "H100". A slice is known
    by its profile, too: "NVIDIA A100-SXM4-40GB MIG 1g.5gb" is an "A100:1g.5gb".
    """
    has, wants = _words(name), _words(wanted)
    if any(map(_SLICES.fullmatch, wants)):
        wants.add("MIG")
    return wants <= has and (not wants or not (has - wants) & VARIANTS)


def _words(name: str) -> set[str]:
    return set(_WORD.findall(name.upper()))
