"""Apothic's queue, from the user's process and from a worker."""

from __future__ import annotations

import time
from typing import Any


def pairs_in_worker(queue: Any, count: int) -> float:
    """Seconds for so many puts and gets, one after the other; runs in a worker."""
    import time  # noqa: PLC0415 - it travels by value

    queue.put(0)
    queue.get()
    before = time.perf_counter()
    for n in range(count):
        queue.put(n)
        queue.get()
    return time.perf_counter() - before


class Handover:
    """One queue in memory."""

    def __init__(self) -> None:
        from apothic import App, Queue  # noqa: PLC0415 - only where it is compared

        self._queue: Any = Queue.from_name("handover", create_if_missing=True)
        self._worker: Any = App("handover").function(pairs_in_worker)

    def pairs(self, count: int) -> float:
        """Seconds for so many puts and gets, one after the other."""
        put, get = self._queue.put, self._queue.get
        before = time.perf_counter()
        for n in range(count):
            put(n)
            get()
        return time.perf_counter() - before

    def pairs_there(self, count: int) -> float:
        """The same in another process."""
        taken: float = self._worker.remote(self._queue, count)
        return taken

    def many(self, count: int, at_once: int) -> float:
        """Seconds to put so many items and to get them, many at once."""
        before = time.perf_counter()
        for first in range(0, count, at_once):
            self._queue.put_many(range(first, first + at_once))
        for _ in range(0, count, at_once):
            self._queue.get_many(at_once)
        return time.perf_counter() - before

    def close(self) -> None:
        """Stop."""
        self._queue.delete()


def open_subject(workers: int) -> Handover:
    """Make the queue."""
    del workers
    return Handover()
