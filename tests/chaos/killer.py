"""Kills workers, and what they have started, at random instants."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter

from tests.integration.support import children, descendants, name_of

_ZYGOTE = "apothic-zygote"
_CHILDREN = 0.3
"""The share of kills that fall on what workers have started, where there is any."""


class Killer:
    """Sends SIGKILL to one process after the other."""

    def __init__(self, seed: int, mean_s: float) -> None:
        self.killed: Counter[str] = Counter()
        self.seen: set[int] = set()
        """Every process that was ever found below a zygote."""
        self._rng = random.Random(f"{seed}/killer")
        self._mean_s = mean_s

    def kill(self, times: int, failures: list[str]) -> None:
        """Kill so many processes, or until something fails; pauses are random, some are none."""
        while self.killed.total() < times and not failures:
            time.sleep(self._rng.expovariate(1 / self._mean_s) * self._rng.choice((0, 1, 1, 2)))
            self._kill_one()

    def _kill_one(self) -> None:
        workers = _workers()
        below = {pid: name_of(pid) for worker in workers for pid in descendants_of(worker)}
        self.seen |= {*workers, *below}
        victims = [*below] if below and self._rng.random() < _CHILDREN else workers
        if not victims:
            return
        pid = self._rng.choice(victims)
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            if pid in descendants():  # the number was not given to somebody else meanwhile
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                self.killed["child" if pid in below else "worker"] += 1
        except ProcessLookupError:
            pass
        finally:
            os.close(pidfd)


def _workers() -> list[int]:
    """The children of zygotes that are no zygotes."""
    zygotes = [pid for pid in descendants() if name_of(pid) == _ZYGOTE]
    return [
        pid
        for zygote in zygotes
        for pid in _children(zygote)
        if name_of(pid).startswith("apothic-") and name_of(pid) != _ZYGOTE
    ]


def descendants_of(pid: int) -> set[int]:
    """Everything below a process that may be gone."""
    try:
        return descendants(pid)
    except FileNotFoundError:
        return set()


def _children(pid: int) -> set[int]:
    try:
        return children(pid)
    except FileNotFoundError:
        return set()
