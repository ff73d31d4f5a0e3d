"""The standard library's `ProcessPoolExecutor`, as it comes."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

from subjects.with_pools import Pools


def open_subject(workers: int) -> Pools:
    """Start the pool."""
    return Pools(lambda: ProcessPoolExecutor(max_workers=workers))
