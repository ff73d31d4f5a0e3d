"""The queue of `multiprocessing.Manager`."""

from __future__ import annotations

import multiprocessing
import time


class Manager:
    """One queue in the manager's process; it has no way to put many at once."""

    def __init__(self) -> None:
        self._manager = multiprocessing.Manager()
        self._queue = self._manager.Queue()

    def pairs(self, count: int) -> float:
        """Seconds for so many puts and gets, one after the other."""
        before = time.perf_counter()
        for n in range(count):
            self._queue.put(n)
            self._queue.get()
        return time.perf_counter() - before

    pairs_there = pairs
    """It is the same from everywhere."""

    def many(self, count: int, at_once: int) -> float:
        """The same number of items, one after the other."""
        del at_once
        return self.pairs(count // 20) * 20

    def close(self) -> None:
        """Stop."""
        self._manager.shutdown()


def open_subject(workers: int) -> Manager:
    """Start the manager."""
    del workers
    return Manager()
