"""Apothic, local backend, through its public API; only the watcher asks the backend itself."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from apothic import App, Period, WorkerLost
from apothic._connect import connect
from apothic_backends.base import EventStream
from apothic_emulator.testing.apps import RunningApp
from apothic_emulator.testing.runtime import RuntimeFactory

import work

EVENTS = ("job.queued", "job.running", "job.result", "job.end")
"""What a job that succeeds is sure to tell."""


class Apothic:
    """The functions of `work`, each with the options that its row needs."""

    def __init__(self, workers: int) -> None:
        app = App("benchmarks")
        self._noop = app.function(max_containers=workers)(work.noop)
        self._count = app.function()(work.count)
        self._send = app.function()(work.send)
        self._fetch = app.function()(work.fetch)
        self._hang_once = app.function(max_containers=workers, retries=1)(work.hang_once)
        self._nap_or_die = app.function(max_containers=workers)(work.nap_or_die)
        self._factory = RuntimeFactory()
        self._hold = app.function(max_pending_tasks=200_000)(work.hold)

    def call(self) -> None:
        """Run the no-op there and wait for it."""
        self._noop.remote()

    async def call_async(self) -> None:
        """Run the no-op there and await it on asyncio."""
        await self._noop.remote.aio()

    def map(self, count: int) -> None:
        """One job an item."""
        self._noop.map(range(count))

    def watch(self, count: int) -> Callable[[], tuple[int, int]]:
        """Count every event of the next `count` jobs in a thread of its own."""
        seen: Counter[str] = Counter()
        stream = connect().watch("jobs")

        def follow() -> None:
            for event in stream:
                seen[event.event] += 1
                if seen["job.end"] >= count:
                    return

        watcher = threading.Thread(target=follow, daemon=True)
        watcher.start()

        def tell() -> tuple[int, int]:
            watcher.join(10)
            return sum(max(0, count - seen[name]) for name in EVENTS), seen.total()

        return tell

    def items(self, count: int) -> Iterator[int]:
        """A generator's items."""
        return self._count.remote_gen(count)

    def crowd(self, watchers: int, events: int) -> tuple[float, int, int]:
        """Watchers are tasks of one asyncio loop; the jobs are a map in another thread."""
        streams = [connect().watch("jobs") for _ in range(watchers)]
        holes: list[int] = []
        resets: list[int] = []

        async def follow(stream: EventStream) -> None:
            last, seen = 0, 0
            async for event in stream:
                seen += 1
                if event.event == "stream.reset":
                    resets.append(event.cursor.seq)
                elif last and event.cursor.seq != last + 1:
                    holes.append(event.cursor.seq)
                last = event.cursor.seq
                if seen == events:
                    return

        async def main() -> None:
            await asyncio.gather(*map(follow, streams))

        jobs = threading.Thread(target=self.map, args=(events // len(EVENTS) + 1,))
        before = time.perf_counter()
        jobs.start()
        asyncio.run(main())
        taken = time.perf_counter() - before
        jobs.join()
        return taken, len(holes), len(resets)

    def send(self, array: Any) -> float:
        """Send an array there."""
        return self._send.remote(array)

    def fetch(self, nbytes: int, value: float) -> Any:
        """Get an array back from there."""
        return self._fetch.remote(nbytes, value)

    def hang_once(self, pid_file: str) -> Callable[[], int]:
        """Apothic retries by itself."""
        return self._hang_once.spawn(pid_file).wait

    def naps(self, deaths: list[bool]) -> int:
        """How many of those that should not die gave no result."""
        jobs = [self._nap_or_die.spawn(i, die=die) for i, die in enumerate(deaths)]
        return sum(_is_lost(job) for job, die in zip(jobs, deaths, strict=True) if not die)

    def queue(self, payloads: Iterable[bytes]) -> list[Any]:
        """Hold the worker, queue the rest."""
        blocker = self._hold.spawn(b"")
        return [blocker, *(self._hold.spawn(payload) for payload in payloads)]

    def trial(self) -> tuple[float, float, float]:
        """Seconds to open a fresh runtime, to call the no-op there, and to close it."""
        started = time.perf_counter()
        runtime = self._factory.open()
        opened = time.perf_counter()
        self._noop.remote()
        called = time.perf_counter()
        runtime.close()
        return opened - started, called - opened, time.perf_counter() - called

    def day(self, timers: int) -> float:
        """Seconds for a day of virtual time in which the no-op runs so many times by itself."""
        with self._factory.open() as runtime:
            self._noop.remote()  # its worker has started
            app = App("benchmarks")
            app.functions["noop"] = self._noop.with_options(
                schedule=Period(seconds=86_400 / timers)
            )
            running = RunningApp(runtime, app)
            before = time.perf_counter()
            runtime.clock.advance("24h")
            taken = time.perf_counter() - before
            if running.schedules["noop"].fired != timers:
                raise ValueError(f"not all timers: {running.schedules}")
            running.stop()
        return taken

    def close(self) -> None:
        """Stop what was started."""
        self._factory.close()
        connect().close()


def _is_lost(job: Any) -> bool:
    try:
        job.wait()
    except WorkerLost:
        return True
    return False


def open_subject(workers: int) -> Apothic:
    """Declare the functions; workers start with the first call."""
    return Apothic(workers)
