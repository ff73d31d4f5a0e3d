"""Executors with the interface of `concurrent.futures`: the standard library's and loky's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, Executor
from typing import Any

import work


class Pools:
    """An executor; it gets a successor whenever a dead worker has broken it."""

    def __init__(self, make: Callable[[], Executor]) -> None:
        self._make = make
        self._pool = make()

    def call(self) -> None:
        """Run the no-op there and wait for it."""
        self._pool.submit(work.noop).result()

    async def call_async(self) -> None:
        """Run the no-op there and await it on asyncio."""
        await asyncio.wrap_future(self._pool.submit(work.noop))

    def map(self, count: int) -> None:
        """One job an item, so no chunks."""
        for _ in self._pool.map(work.noop, range(count)):
            pass

    def watch(self, count: int) -> Callable[[], tuple[int, int]]:
        """There are no events."""
        del count
        return lambda: (0, 0)

    def send(self, array: Any) -> float:
        """Send an array there."""
        return self._pool.submit(work.send, array).result()

    def fetch(self, nbytes: int, value: float) -> Any:
        """Get an array back from there."""
        return self._pool.submit(work.fetch, nbytes, value).result()

    def hang_once(self, pid_file: str) -> Callable[[], tuple[int, int]]:
        """There are no retries: a new executor and a second submission, as users write it."""
        first = self._pool.submit(work.hang_once, pid_file)

        def wait() -> int:
            try:
                return first.result()
            except BrokenExecutor:
                self._renew()
                return self._pool.submit(work.hang_once, pid_file).result()

        return wait

    def naps(self, deaths: list[bool]) -> int:
        """How many of those that should not die gave no result."""
        futures = [self._pool.submit(work.nap_or_die, i, die=die) for i, die in enumerate(deaths)]
        lost = sum(
            isinstance(future.exception(), BrokenExecutor)
            for future, die in zip(futures, deaths, strict=True)
            if not die
        )
        self._renew()
        return lost

    def queue(self, payloads: Iterable[bytes]) -> list[Any]:
        """Hold the worker, queue the rest."""
        blocker = self._pool.submit(work.hold, b"")
        return [blocker, *(self._pool.submit(work.hold, payload) for payload in payloads)]

    def _renew(self) -> None:
        self._pool.shutdown(wait=False)
        self._pool = self._make()

    def close(self) -> None:
        """Stop what was started."""
        self._pool.shutdown()
