"""Ray on this machine alone: tasks, without the dashboard."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import ray

import work


def start(workers: int) -> None:
    """Start a cluster of one node."""
    ray.init(
        num_cpus=workers,
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
        object_store_memory=2 * 2**30,
    )


class Ray:
    """Ray tasks."""

    def __init__(self) -> None:
        self._noop = ray.remote(work.noop)
        self._count = ray.remote(num_returns="streaming")(work.count)
        self._send = ray.remote(work.send)
        self._fetch = ray.remote(work.fetch)
        self._hang_once = ray.remote(max_retries=1)(work.hang_once)
        self._nap_or_die = ray.remote(max_retries=0)(work.nap_or_die)
        self._hold = ray.remote(work.hold)

    def call(self) -> None:
        """Run the no-op there and wait for it."""
        ray.get(self._noop.remote())

    async def call_async(self) -> None:
        """Run the no-op there and await it on asyncio."""
        await self._noop.remote()

    def map(self, count: int) -> None:
        """One task an item."""
        ray.get([self._noop.remote(item) for item in range(count)])

    def watch(self, count: int) -> Callable[[], tuple[int, int]]:
        """There are no events to follow from Python."""
        del count
        return lambda: (0, 0)

    def items(self, count: int) -> Iterator[int]:
        """A streaming generator: its references, each of them fetched."""
        return map(ray.get, self._count.remote(count))

    def send(self, array: Any) -> float:
        """Send an array there."""
        return ray.get(self._send.remote(array))

    def fetch(self, nbytes: int, value: float) -> Any:
        """Get an array back from there."""
        return ray.get(self._fetch.remote(nbytes, value))

    def hang_once(self, pid_file: str) -> Callable[[], int]:
        """Ray retries by itself."""
        task = self._hang_once.remote(pid_file)
        return lambda: ray.get(task)

    def naps(self, deaths: list[bool]) -> int:
        """How many of those that should not die gave no result."""
        tasks = [self._nap_or_die.remote(i, die=die) for i, die in enumerate(deaths)]
        return sum(_is_lost(task) for task, die in zip(tasks, deaths, strict=True) if not die)

    def queue(self, payloads: Iterable[bytes]) -> list[Any]:
        """Hold the worker, queue the rest."""
        blocker = self._hold.remote(b"")
        return [blocker, *(self._hold.remote(payload) for payload in payloads)]

    def close(self) -> None:
        """Stop what was started."""
        ray.shutdown()


def _is_lost(task: Any) -> bool:
    try:
        ray.get(task)
    except ray.exceptions.RayError:
        return True
    return False


def open_subject(workers: int) -> Ray:
    """Start the cluster."""
    start(workers)
    return Ray()
