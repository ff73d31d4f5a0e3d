"""What is measured inside a subject's process. Each function gives its figures by name."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import placing
import procs
import scale
import serving
import virtual
from stats import percentile
from subjects import Subject
from watching import Crowd

NBYTES = 100_000_000
ME = os.getpid()


def remote(subject: Subject, calls: int = 2000, at_most_s: float = 1.0) -> dict[str, float]:
    """Blocking no-ops, one after the other."""
    for _ in range(50):
        subject.call()
    taken: list[int] = []
    cpu = procs.cpu_us(ME)
    end = time.monotonic() + at_most_s
    while len(taken) < calls and time.monotonic() < end:
        before = time.perf_counter_ns()
        subject.call()
        taken.append(time.perf_counter_ns() - before)
    return _latency(taken, procs.cpu_us(ME) - cpu)


def create(subject: Any, times: int = 10) -> dict[str, float]:
    """How long it takes to make a sandbox, once one was made."""
    time.sleep(0.5)  # what it is made by is made meanwhile
    taken = sorted(subject.create_s() for _ in range(times))
    return {"create_ms": taken[times // 2] * 1e3}


def container(subject: Any, times: int = 5) -> dict[str, float]:
    """How long a container takes to its first result, and its image to be found."""
    started = sorted(subject.start_s() for _ in range(times))
    found = sorted(subject.ready_s() for _ in range(times))
    return {"start_ms": started[times // 2] * 1e3, "ready_ms": found[times // 2] * 1e3}


def image(subject: Any, count: int = 5) -> dict[str, float]:
    """What the first call of a function costs, and how much more in an image."""
    plain = median(subject.plain_ms() for _ in range(count))
    return {
        "plain_ms": plain,
        "warm_more_ms": median(subject.warm_ms() for _ in range(count)) - plain,
        "cold_more_ms": median(subject.cold_ms() for _ in range(count)) - plain,
    }


def aio(subject: Subject, calls: int = 2000, at_most_s: float = 1.0) -> dict[str, float]:
    """Awaited no-ops, one after the other, on one asyncio loop."""

    async def main() -> dict[str, float]:
        for _ in range(50):
            await subject.call_async()
        taken: list[int] = []
        cpu = procs.cpu_us(ME)
        end = time.monotonic() + at_most_s
        while len(taken) < calls and time.monotonic() < end:
            before = time.perf_counter_ns()
            await subject.call_async()
            taken.append(time.perf_counter_ns() - before)
        return _latency(taken, procs.cpu_us(ME) - cpu)

    return asyncio.run(main())


def _latency(taken_ns: list[int], cpu_us: float) -> dict[str, float]:
    return {
        "p50_us": median(taken_ns) / 1e3,
        "p99_us": percentile(taken_ns, 0.99) / 1e3,
        "cpu_us": cpu_us / len(taken_ns),
    }


def map_noops(subject: Subject, count: int = 10_000) -> dict[str, float]:
    """Many no-ops over two workers, while somebody watches where there is something to see."""
    subject.map(200)
    tell = subject.watch(count)
    cpu = procs.cpu_us(ME)
    before = time.perf_counter()
    subject.map(count)
    taken = time.perf_counter() - before
    missing, seen = tell()
    return {
        "jobs_s": count / taken,
        "cpu_us": (procs.cpu_us(ME) - cpu) / count,
        "watched_s": time.perf_counter() - before,
        "events_missing": missing,
        "events": seen,
    }


def items(subject: Subject, count: int = 20_000, repeats: int = 21) -> dict[str, float]:
    """Small items of a generator, read as fast as they come; and the first one of a warm call."""
    first: list[int] = []
    for _ in range(repeats):
        before = time.perf_counter_ns()
        found = subject.items(1)
        next(found)
        first.append(time.perf_counter_ns() - before)
        list(found)
    cpu = procs.cpu_us(ME)
    before = time.perf_counter()
    total = sum(subject.items(count))
    taken = time.perf_counter() - before
    if total != count * (count - 1) // 2:
        raise ValueError(f"items are missing: their sum is {total}")
    return {
        "items_s": count / taken,
        "cpu_us": (procs.cpu_us(ME) - cpu) / count,
        "first_us": median(first) / 1e3,
    }


def payload(subject: Subject, repeats: int = 5) -> dict[str, float]:
    """An array there, and one back; medians, and the most that this process grew."""
    import numpy as np  # here, so that the other rows do not pay for it  # noqa: PLC0415

    import work  # noqa: PLC0415 - as above

    times: dict[str, list[float]] = {"in": [], "out": []}
    peaks: dict[str, list[float]] = {"in": [], "out": []}
    for value in range(1, repeats + 1):
        array = np.full(NBYTES // 8, float(value))
        with _Grown(peaks["in"]):
            before = time.perf_counter()
            total = subject.send(array)
            times["in"].append(time.perf_counter() - before)
        _check(total, value)
        del array
        with _Grown(peaks["out"]):
            before = time.perf_counter()
            array = subject.fetch(NBYTES, float(value))
            total = work.read_and_write(array)
            times["out"].append(time.perf_counter() - before)
        _check(total, value)
        del array
    return {f"{way}_ms": median(times[way]) * 1e3 for way in times} | {
        f"{way}_peak": max(peaks[way]) for way in peaks
    }


def _check(total: float, value: float) -> None:
    if total != value * (NBYTES // 8):
        raise ValueError(f"the array came through as something else: {total} for {value}")


class _Grown:
    """How far this process grew at its peak, in arrays."""

    def __init__(self, into: list[float]) -> None:
        self._into = into

    def __enter__(self) -> None:
        procs.reset_peak()
        self._before = procs.rss_bytes(ME)

    def __exit__(self, *failure: object) -> None:
        self._into.append((procs.peak_rss_bytes(ME) - self._before) / NBYTES)


def kill(subject: Subject) -> dict[str, float]:
    """A worker killed while its job runs; then one that takes its process along among 20 others."""
    subject.call()
    with tempfile.TemporaryDirectory() as folder:
        pid_file = Path(folder) / "pid"
        wait = subject.hang_once(str(pid_file))
        while not pid_file.exists():
            time.sleep(0.005)
        victim = int(pid_file.read_text())
        time.sleep(0.05)
        before = time.perf_counter()
        os.kill(victim, 9)
        second = wait()
        taken = time.perf_counter() - before
    if second == victim:
        raise ValueError("the job was not run again")
    return {
        "retried_ms": taken * 1e3,
        "innocents_lost": subject.naps([False, False, True, *[False] * 18]),
    }


def queue(subject: Subject, count: int = 100_000) -> dict[str, float]:
    """Memory of the whole tree for each job that waits, its handle included."""
    handles = subject.queue([b"warm up"])
    before = procs.pss_bytes(ME)
    started = time.perf_counter()
    handles += subject.queue(os.urandom(64) for _ in range(count))
    taken = time.perf_counter() - started
    grown = procs.pss_bytes(ME) - before
    return {"kib_per_job": grown / 1024 / len(handles), "spawn_us": taken / count * 1e6}


def crowd(subject: Subject, watchers: int = 100, events: int = 10_000) -> dict[str, float]:
    """Many watchers of every event, while the jobs run that they see."""
    subject.map(200)
    taken, holes, resets = subject.crowd(watchers, events)
    return {"deliveries_s": watchers * events / taken, "holes": holes, "resets": resets}


def fresh(subject: Subject, count: int = 200) -> dict[str, float]:
    """What a test pays for a runtime of its own."""
    parts = [[part * 1e3 for part in subject.trial()] for _ in range(count)]
    opens, calls, closes = zip(*parts, strict=True)
    return {
        "whole_ms": median(map(sum, parts)),
        "open_ms": median(opens),
        "call_ms": median(calls),
        "close_ms": median(closes),
    }


def timers(subject: Subject, count: int = 1000) -> dict[str, float]:
    """A day of many timers, with real jobs, and with nobody to do them."""
    return {
        "runtime_s": subject.day(count),
        "core_s": virtual.core_day(count),
    }


def placement(subject: Subject, count: int = 50_000, repeats: int = 15) -> dict[str, float]:
    """Choosing among many offers; no subject takes part in it."""
    del subject
    offers = placing.Placing(count)
    return {
        "narrow_ms": median(offers.ms(offers.narrow) for _ in range(repeats)),
        "wide_ms": median(offers.ms(offers.wide) for _ in range(repeats)),
    }


def machines(subject: Subject, jobs: int = 100_000) -> dict[str, float]:
    """Steps of the core with few machines and with many; no subject takes part in it."""
    del subject
    few, some = scale.Fleet(8).run(5_000), scale.Fleet(80).run(20_000)
    many = scale.Fleet(1_000).run(jobs)
    return {
        "us_8": few["us"],
        "us_80": some["us"],
        "us_1000": many["us"],
        "growth": many["us"] / few["us"],
        "longest_s": many["longest_s"],
        "whole_s": many["whole_s"],
    }


def durable(subject: Any, at_most_s: float = 2.0) -> dict[str, float]:
    """One client, one write after the other; then 256 at once on one asyncio loop."""
    done = 0
    for n in range(100):
        subject.write(n)
    before = time.perf_counter()
    while (taken := time.perf_counter() - before) < at_most_s:
        subject.write(done)
        done += 1
    return {"single_s": done / taken, "many_s": asyncio.run(_many_writes(subject, at_most_s))}


async def _many_writes(subject: Any, at_most_s: float, clients: int = 256) -> float:
    done = 0
    before = time.perf_counter()

    async def client() -> None:
        nonlocal done
        while time.perf_counter() - before < at_most_s:
            await subject.write_async(done)
            done += 1

    await asyncio.gather(*[client() for _ in range(clients)])
    return done / (time.perf_counter() - before)


def handover(subject: Any, count: int = 2000, at_once: int = 1000) -> dict[str, float]:
    """Items put into a queue and got out again: one by one, here and in a worker; and many."""
    subject.pairs(count // 10)
    return {
        "pairs_s": count / subject.pairs(count),
        "there_s": count / subject.pairs_there(count),
        "items_s": 20 * at_once / subject.many(20 * at_once, at_once),
    }


def served(subject: Any, at_most_s: float = 2.0, count: int = 1000) -> dict[str, float]:
    """Blocking no-ops, one after the other; many by one client; and submissions, pipelined."""
    for _ in range(50):
        subject.call()
    taken: list[int] = []
    end = time.monotonic() + at_most_s
    while time.monotonic() < end:
        before = time.perf_counter_ns()
        subject.call()
        taken.append(time.perf_counter_ns() - before)
    began = time.perf_counter()
    subject.map(count)
    found = {
        "p50_ms": median(taken) / 1e6,
        "p99_ms": percentile(taken, 0.99) / 1e6,
        "jobs_s": count / (time.perf_counter() - began),
    }
    if hasattr(subject, "submit"):
        found["submits_s"] = count / subject.submit(count)
        found["post_ms"] = median(subject.posts(count // 4)) * 1e3
    return found


def storm(subject: Any, agents: int = 500) -> dict[str, float]:
    """Agents that come back at once to a server that was killed, and as patiently as they do."""
    at_once_s, patient_s, commits = subject.storm(agents)
    return {"joins_s": agents / at_once_s, "back_s": patient_s, "commits": float(commits)}


def watchers(subject: Any, count: int = 500, events: int = 300) -> dict[str, float]:
    """Many watchers over HTTP, a tenth of them slow, and what the server needs for them."""
    subject.put_keys("watched", 1, 1)
    place = subject.place("dicts:watched")

    async def main() -> Any:
        crowd = Crowd(subject.url, subject.token, "dicts:watched", place)
        return await crowd.watch(
            count, count // 10, events, lambda: subject.put_keys("watched", events, 4096)
        )

    seen = asyncio.run(main())
    return {
        "deliveries_s": (count - count // 10) * events / seen.seconds,
        "holes": seen.holes,
        "resets": seen.resets,
        "cuts": seen.cuts,
        "peak_mb": procs.peak_rss_bytes(subject.server) / 1e6,
    }


def loss(subject: Any) -> dict[str, float]:
    """How long it takes to be sure that an agent is gone: killed, and silent."""
    return {"killed_s": subject.loss(signal.SIGKILL), "silent_s": subject.loss(signal.SIGSTOP)}


def reload(subject: Any, jobs: int = 100_000, parts: int = 5_000) -> dict[str, float]:
    """What a program waits for when it takes up what another one has left."""
    return {
        "reload_s": subject.reload(jobs, parts, "queues"),
        "dicts_s": subject.reload(jobs, parts, "dicts"),
    }


MEASURES = {
    "remote": remote,
    "method": remote,
    "exec": remote,
    "create": create,
    "boxed": remote,
    "container": container,
    "image": image,
    "aio": aio,
    "map": map_noops,
    "items": items,
    "crowd": crowd,
    "payload": payload,
    "kill": kill,
    "queue": queue,
    "fresh": fresh,
    "timers": timers,
    "placement": placement,
    "machines": machines,
    "durable": durable,
    "handover": handover,
    "served": served,
    "storm": storm,
    "watchers": watchers,
    "loss": loss,
    "reload": reload,
    **serving.MEASURES,
}
"""Every measure, by the name of its row."""
