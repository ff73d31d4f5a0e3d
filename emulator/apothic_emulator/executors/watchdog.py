"""Looks at how much memory executors use, where no kernel does that for us.

    off ──WATCH──► looking, 20 times a second ──lease over, WATCHED──► off

The host says WATCH when it gives work to an executor, and says it again if something still runs
when the lease is over. So nothing wakes up while nothing runs, and calls cost nothing more.

A look is cheap: the pages of each process that are in memory, by a count that includes files and
counts what is shared more than once. Only when that is above the limit is it counted exactly.
"""

from __future__ import annotations

import os

from apothic_emulator.executors import descent, linux
from apothic_emulator.executors.limits import Limits

LEASE_S = 1.0
LOOK_S = 0.05
_LEAST_S = 0.005
_FASTEST = 4 << 30
"""Bytes a second at which memory is touched at the most: how soon a limit may be reached."""
_SLOW_S = 0.002
_SHARE = 20
"""A count that took a whole second, of very much memory, is done again after so many."""

_PAGE = os.sysconf("SC_PAGE_SIZE")
NEVER = float("inf")


class Watched:
    """The memory of one executor and what it started."""

    __slots__ = ("count_at", "is_enforced", "is_told", "limit", "peak", "pid")

    def __init__(self, pid: int, limits: Limits) -> None:
        self.pid = pid
        self.limit = limits.memory_bytes
        self.is_enforced = limits.is_enforced
        self.peak = 0
        """What was seen when it was above its limit."""
        self.is_told = False
        self.count_at = 0.0

    def look(self, clock: linux.Clock) -> int:
        """How many bytes below its limit it seems to be; below 0 it certainly uses too much."""
        pids, used = descent.tree(self.pid), 0
        began = clock()
        if began < self.count_at:
            return self.limit
        for count in _COUNTS:
            used = sum(map(count, pids))
            if used <= self.limit:
                break
        else:
            self.peak = used
        took = clock() - began
        self.count_at = began + took * _SHARE if took > _SLOW_S else 0.0
        return self.limit - used


class Watchdog:
    """When to look next."""

    def __init__(self, clock: linux.Clock) -> None:
        self._clock = clock
        self.due = NEVER
        self._until = 0.0

    def watch(self) -> None:
        """Look for a while."""
        now = self._clock()
        self._until = now + LEASE_S
        self.due = min(self.due, now + LOOK_S)

    def look(self, all_of_them: list[Watched]) -> list[Watched]:
        """Look now; those that have just been found above their limit."""
        above: list[Watched] = []
        wait_s = LOOK_S
        for watched in all_of_them:
            if not watched.limit or watched.is_told:
                continue
            room = watched.look(self._clock)
            if room < 0:
                watched.is_told = True
                above.append(watched)
            wait_s = min(wait_s, max(_LEAST_S, room / _FASTEST))
        now = self._clock()
        self.due = now + wait_s if now < self._until else NEVER
        return above


def _resident(pid: int) -> int:
    """All pages of a process that are in memory; 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _unbacked(pid: int) -> int:
    """Those that are no pages of a file, which the kernel may drop as it likes."""
    return _sum_of(f"/proc/{pid}/status", (b"RssAnon:", b"RssShmem:"))


def _proportional(pid: int) -> int:
    """The same, where a page that several processes share counts for its share."""
    return _sum_of(f"/proc/{pid}/smaps_rollup", (b"Pss_Anon:", b"Pss_Shmem:"))


def _sum_of(path: str, fields: tuple[bytes, bytes]) -> int:
    """Fields of a table in kB."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return sum(int(line.split()[1]) for line in file if line.startswith(fields)) * 1024
    except OSError:
        return 0


_COUNTS = (_resident, _unbacked, _proportional)
"""The cheaper ones count too much, never too little."""
