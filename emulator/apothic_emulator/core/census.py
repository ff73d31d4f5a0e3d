"""Which executors of a function may be free, are starting, or may be about to go.

So whoever has a job for one, or wants to know whether another one may start, does not look at all
of them: of a function on many machines there may be thousands.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush

from apothic_emulator.core.executors import Executor, ExecutorStatus

_STARTING, _READY = ExecutorStatus.STARTING, ExecutorStatus.READY


class Census:
    """Of one pool. Who is known here may have moved on since: that is seen when it matters."""

    __slots__ = ("_executors", "_free", "_going", "_known_free", "_starting", "in_lines")

    def __init__(self, executors: Mapping[int, Executor]) -> None:
        self._executors = executors
        self._free: list[int] = []
        self._known_free: set[int] = set()
        """Numbers of those that may take a job: as a heap, and as a set."""
        self._starting: dict[int, Executor] = {}
        self._going: dict[int, Executor] = {}
        self.in_lines = 0
        """How many jobs stand in all lines together."""

    def moved(self, executor: Executor) -> None:
        """It is in another part of its life."""
        if executor.status is _READY:
            self.freed(executor)
        elif executor.status is _STARTING:
            self._starting[executor.number] = executor
        else:
            self._going[executor.number] = executor

    def freed(self, executor: Executor) -> None:
        """It may have more room than before."""
        if executor.number not in self._known_free:
            self._known_free.add(executor.number)
            heappush(self._free, executor.number)

    def ended(self, executor: Executor) -> None:
        """It is gone."""
        self._starting.pop(executor.number, None)
        self._going.pop(executor.number, None)

    def first_free(self) -> Executor | None:
        """The oldest of those that are ready and below their target."""
        while self._free:
            executor = self._executors.get(self._free[0])
            if executor is not None and executor.is_free:
                return executor
            self._known_free.remove(heappop(self._free))
        return None

    @property
    def starting(self) -> list[Executor]:
        """Those that are."""
        those = self._starting
        for executor in [*those.values()]:
            if executor.status is not _STARTING:
                del those[executor.number]
        return [*those.values()]

    @property
    def going(self) -> list[Executor]:
        """Those that are neither starting nor ready."""
        those = self._going
        for executor in [*those.values()]:
            if executor.status is _READY or executor.status is _STARTING:
                del those[executor.number]
        return [*those.values()]

    def check(self) -> None:
        """See to it that nobody is missing; for tests."""
        all_ = [*self._executors.values()]
        free = [it.number for it in all_ if it.is_free]
        first = self.first_free()
        assert (first.number if first else None) == min(free, default=None), free
        starting = {it.number for it in all_ if it.status is _STARTING}
        ready = {it.number for it in all_ if it.status is _READY}
        assert {it.number for it in self.starting} == starting, starting
        assert {it.number for it in self.going} == {*self._executors} - starting - ready
        assert self.in_lines == sum(len(it.line) for it in all_), self.in_lines
