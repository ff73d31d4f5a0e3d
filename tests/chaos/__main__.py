"""Kill real workers at random while jobs run: `python -m tests.chaos --kills 1000 --seed 7`.

A mean of some milliseconds kills most workers before they have loaded. It fails if a job is lost
without a reason, a result is seen twice, a call begins more often than it may, a job's history is
none that a job can have, or a process is left over.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from apothic._connect import connect
from tests.chaos import work
from tests.chaos.clients import Clients
from tests.chaos.history import History
from tests.chaos.killer import Killer
from tests.integration.support import is_alive, nothing_leaks

MOST_BEGINNINGS = 1 + 2 + 3
"""The first, two retries, and three that are lost with their process."""
DRAIN_S = 60.0


def run(kills: int, seed: int, threads: int, mean_s: float) -> dict[str, object]:
    """Do it; what was seen."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger"
        ledger.touch()
        os.environ[work.LEDGER] = str(ledger)
        with nothing_leaks():
            history = History(connect())
            clients = Clients(seed, threads)
            killer = Killer(seed, mean_s)
            began = time.perf_counter()
            killer.kill(kills, clients.failures)
            took_s = time.perf_counter() - began
            clients.stop()
            _drain(history)
        failures = [*clients.failures, *history.failures]
        failures += [f"process {pid} lives on" for pid in killer.seen if is_alive(pid)]
        failures += _check(Counter(map(int, ledger.read_text().split())), clients)
    return {
        "seed": seed,
        "kills": dict(killer.killed),
        "seconds": round(took_s, 1),
        "jobs": len(history.last),
        "ends": dict(history.ends),
        "retries": history.retries,
        "events": history.events,
        "seen": dict(clients.seen),
        "failures": failures,
    }


def _drain(history: History) -> None:
    """Wait until every job has ended, those that nobody waits for too."""
    deadline = time.monotonic() + DRAIN_S
    while (left := history.open_jobs()) and time.monotonic() < deadline:
        time.sleep(0.01)
    history.close(lambda: work.helper.remote(0))
    history.failures.extend(f"{job} has not ended" for job in left)


def _check(began: Counter[int], clients: Clients) -> Iterable[str]:
    """See to it that calls have begun as often as they may."""
    for token, times in began.items():
        most = 1 if token in clients.once else MOST_BEGINNINGS
        if times > most:
            yield f"call {token} began {times} times, {most} allowed"
    for token in clients.done:
        if not began[token]:
            yield f"call {token} has a result and never began"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--mean", type=float, default=0.1, help="seconds between two kills")
    options = parser.parse_args()
    told = run(options.kills, options.seed, options.threads, options.mean)
    sys.stdout.write(json.dumps(told, indent=2) + "\n")
    sys.exit(1 if told["failures"] else 0)


if __name__ == "__main__":
    main()
