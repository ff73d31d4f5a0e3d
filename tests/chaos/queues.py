"""Consumers of a queue, killed at random: nothing is lost, and nothing is done twice unseen.

    python -m tests.chaos.queues --messages 100000 --consumers 20 --kills 300 --seed 7

Each consumer claims items, writes down what it has done with each, and acknowledges it. In the end
every item was done (lost: 0), none that was not put (unexpected: 0), and those that were done twice
had a lease that lapsed in between, as a watcher saw it.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from apothic import App, Empty, Job, Queue, StaleClaim, WorkerLost
from tests.chaos.killer import Killer

LEASE_S = 2.0
AT_ONCE = 10

app = App("queue-chaos")


@app.function(max_containers=64, max_pending_tasks=1000)
def consume(q: Queue[int], path: str) -> None:
    """Work until nothing is left."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        while True:
            for claim in q.claim_many(AT_ONCE, lease_s=LEASE_S, timeout_s=2 * LEASE_S):
                time.sleep(0.002)  # the work
                os.write(fd, b"%d %d\n" % (claim.value, claim.receipt.message))
                try:
                    claim.ack()
                except StaleClaim:
                    pass  # it was too slow, and somebody else has it
    except Empty:
        os.close(fd)


@dataclass
class Tally:
    """What a run came to."""

    lost: int
    unexpected: int
    doubled: int
    unexplained: int
    """Done twice, although no lease had lapsed."""
    lapsed: int
    kills: int


STALL_S = 120.0
"""So long at most nobody is killed and nothing is consumed; else something hangs."""


def run(messages: int, consumers: int, kills: int, seed: int) -> Tally:
    """Put messages, have them consumed under fire, and compare."""
    killer = Killer(seed, mean_s=0.2)
    failures: list[str] = []
    with TemporaryDirectory() as folder, Queue.ephemeral(max_deliveries=1000) as q:
        log = Path(folder, "done")
        lapsed: Counter[int] = Counter()
        events = q.watch()
        watcher = threading.Thread(target=_watch, args=(events, lapsed), daemon=True)
        watcher.start()
        jobs = [consume.spawn(q, str(log)) for _ in range(consumers)]
        fire = threading.Thread(target=killer.kill, args=(kills, failures), daemon=True)
        fire.start()
        for first in range(0, messages, 500):
            q.put_many(range(first, min(first + 500, messages)))
        seen, until = (0, 0), time.monotonic() + STALL_S
        while fire.is_alive() or q.stats().partitions:
            jobs = [_again(job, q, log) for job in jobs]
            time.sleep(0.05)  # whoever is killed tells nobody: it is looked for
            now = killer.killed.total(), log.stat().st_size if log.exists() else 0
            if now != seen:
                seen, until = now, time.monotonic() + STALL_S
            assert time.monotonic() < until, f"nothing has come of anything for {STALL_S:g} s"
        failures.append("over")
        fire.join()
        for job in jobs:
            _ended(job)
        q.delete()
        watcher.join()
        return _tally(log, messages, lapsed, killer.killed.total())


def _watch(events: object, lapsed: Counter[int]) -> None:
    for event in events:  # type: ignore[attr-defined]
        if event.event == "queue.deleted":
            return
        if event.data.get("what") == "lapsed":
            lapsed[event.data["message"]] += 1


def _again(job: Job[None], q: Queue[int], log: Path) -> Job[None]:
    """The job, or another one if it has ended."""
    if job.status().is_final:
        _ended(job)
        return consume.spawn(q, str(log))
    return job


def _ended(job: Job[None]) -> None:
    try:
        job.wait()
    except WorkerLost:
        pass  # as it was to be


def _tally(log: Path, messages: int, lapsed: Counter[int], kills: int) -> Tally:
    done: Counter[tuple[int, int]] = Counter()
    for line in log.read_text().splitlines():
        value, number = map(int, line.split())
        done[value, number] += 1
    values = {value for value, _ in done}
    doubled = {number: times for (_, number), times in done.items() if times > 1}
    return Tally(
        lost=len(set(range(messages)) - values),
        unexpected=len(values - set(range(messages))) + len(done) - len(values),
        doubled=len(doubled),
        unexplained=sum(times - 1 > lapsed[number] for number, times in doubled.items()),
        lapsed=lapsed.total(),
        kills=kills,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.queues")
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--consumers", type=int, default=20)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tally = run(**vars(options))
    sys.stdout.write(f"{tally}\n")


if __name__ == "__main__":
    main()
