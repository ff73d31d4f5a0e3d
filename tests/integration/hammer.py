"""A program that hammers one control plane from everywhere at once; run by test_hammer.py.

16 threads, 4 event loops, interrupts of the main thread, forks, and a collector that runs
finalisers in the middle of everything. `-X dev` has the core's invariants checked at every step.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import trio

from apothic import App
from apothic._connect import connect
from apothic_backends.model.errors import ApothicError, BackendClosed, JobCancelled, QueueFull

app = App("hammer")
seen: Counter[str] = Counter()
failures: list[str] = []


@app.function(max_containers=3, max_pending_tasks=500)
def double(x: int) -> int:
    return 2 * x


@app.function(max_containers=2, concurrent_requests=4, max_pending_tasks=500)
async def add_one(x: int) -> int:
    await asyncio.sleep(0)
    return x + 1


@app.function(max_containers=2, max_pending_tasks=500)
def fail(x: int) -> int:
    raise ValueError(x)


def check(fact: bool, what: str) -> None:
    seen[what] += 1
    if not fact:
        failures.append(what)


def call(rng: random.Random) -> None:
    x = rng.randrange(1000)
    check(double.remote(x) == 2 * x, "remote")


def fan(rng: random.Random) -> None:
    xs = [rng.randrange(1000) for _ in range(rng.randrange(1, 8))]
    check(double.map(xs) == [2 * x for x in xs], "map")


def spawn(rng: random.Random) -> None:
    try:
        job = add_one.spawn(41)
    except QueueFull:
        return
    if rng.random() < 0.5:
        check(job.wait() == 42, "spawn")


def cancel(rng: random.Random) -> None:
    job = double.spawn(1)
    job.cancel()
    try:
        check(job.wait() == 2, "late cancel")
    except JobCancelled:
        check(True, "cancel")


def error(rng: random.Random) -> None:
    try:
        fail.remote(7)
    except ValueError as raised:
        check(raised.args == (7,), "error")


def in_a_cycle(rng: random.Random) -> None:
    """Leave a handle to the collector, which then releases the job from wherever it runs."""
    holder: list[Any] = [double.spawn(2)]
    holder.append(holder)


def collect(rng: random.Random) -> None:
    gc.collect()


def fork(rng: random.Random) -> None:
    """A copy of this process finds the old backend inert."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the copy must not report it
    pid = os.fork()
    if not pid:
        os._exit(0 if is_inert() else 1)
    _, status = os.waitpid(pid, 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    check(status == 0, "fork")


def is_inert() -> bool:
    from apothic_backends.commands import GetJob

    try:
        backend.start(GetJob("jobs:1")).wait(1)
    except BackendClosed:
        return True
    return False


WAYS: list[Callable[[random.Random], None]] = [call, fan, spawn, cancel, error, in_a_cycle, collect]


def thread(seed: int, count: int) -> None:
    rng = random.Random(seed)
    for _ in range(count):
        attempt(rng.choice(WAYS), rng)


def attempt(way: Callable[[random.Random], None], rng: random.Random) -> None:
    try:
        way(rng)
    except KeyboardInterrupt:
        seen["interrupted"] += 1
    except (ApothicError, AssertionError) as unexpected:
        failures.append(f"{way.__name__}: {unexpected!r}")


async def loop(seed: int, count: int) -> None:
    rng = random.Random(seed)
    for _ in range(count):
        x = rng.randrange(1000)
        if rng.random() < 0.7:
            check(await double.remote.aio(x) == 2 * x, "remote.aio")
        else:
            check(await add_one.aio.map([x, x]) == [x + 1, x + 1], "aio.map")


def run_loop(run: Callable[..., Any], seed: int, count: int) -> None:
    def main() -> Coroutine[Any, Any, None]:
        return loop(seed, count)

    try:
        run(main() if run is asyncio.run else main)
    except BaseException as unexpected:
        failures.append(f"loop: {unexpected!r}")


def main() -> None:
    count = int(sys.argv[1])
    workers = [threading.Thread(target=thread, args=(seed, count)) for seed in range(16)]
    workers += [
        threading.Thread(target=run_loop, args=(run, seed, count))
        for seed, run in enumerate((asyncio.run, trio.run) * 2)
    ]
    for worker in workers:
        worker.start()
    begun, done = threading.Event(), threading.Event()

    def interrupt() -> None:
        begun.wait()
        while not done.wait(0.02):
            os.kill(os.getpid(), signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    rng = random.Random("main")
    while True:
        try:
            begun.set()
            while any(worker.is_alive() for worker in workers):
                attempt(rng.choice([*WAYS, fork]), rng)
            done.set()
            interrupter.join()
            break
        except KeyboardInterrupt:
            seen["interrupted"] += 1
    print(json.dumps({"seen": seen, "failures": failures[:20]}))


backend = connect()

if __name__ == "__main__":
    main()
