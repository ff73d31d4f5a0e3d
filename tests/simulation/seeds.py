"""Runs of many seeds, one after the other: what is wrong in each."""

from __future__ import annotations

import sys
from collections.abc import Callable


def trouble(run: Callable[[int], object], seed: int) -> str:
    """What is wrong in the run of a seed; nothing if nothing is."""
    try:
        run(seed)
    except Exception as error:
        return f"seed {seed}: {error!r}"
    return ""


def main(failure_of: Callable[[int], str]) -> None:
    """Print what is wrong in the seeds from the first argument up to the second."""
    for one in range(*map(int, sys.argv[1:])):
        print(failure_of(one) or f"seed {one} passed", flush=True)
