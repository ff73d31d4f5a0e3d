"""loky: joblib's executor, which starts fresh interpreters and survives more than the library's."""

from __future__ import annotations

from loky import ProcessPoolExecutor

from subjects.with_pools import Pools


def open_subject(workers: int) -> Pools:
    """Start the pool."""
    return Pools(lambda: ProcessPoolExecutor(max_workers=workers))
