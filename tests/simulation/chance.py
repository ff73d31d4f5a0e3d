"""Randomness by key: a draw depends on the seed, a stream and a counter, and on nothing else.

So taking one fault out of a schedule leaves every other delay and duration as it was, which is
what lets a shrinker work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1

SPEC, FEATURE, OP, FAULT, SCRIPT, LINK, CLIENT, WATCH, START, STREAM = range(10)


def draw(seed: int, stream: int, counter: int) -> int:
    """64 random bits for a key (splitmix64)."""
    x = seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03 + counter * 0x8CB92BA72F3D8DD7
    x &= _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def pick(seed: int, stream: int, counter: int, options: Sequence[T]) -> T:
    return options[draw(seed, stream, counter) % len(options)]
