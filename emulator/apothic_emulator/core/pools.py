"""The executors of one function, and the jobs that wait for them."""

from __future__ import annotations

from collections import deque

from apothic_emulator.core.executors import Executor, ExecutorStatus
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.functions import Function
from apothic_emulator.core.jobs import Job

PREFETCH_BELOW_S = 0.005
"""Only calls that take less than this are sent ahead of time; longer ones would wait in line."""

PREFETCH_MOST = 32
"""The longest line of an executor, so that little is taken back when it dies."""


class Pool:
    """One function's queue and executors."""

    __slots__ = ("delayed", "executors", "function", "mean_s", "queue", "room")

    def __init__(self, function: Function) -> None:
        self.function = function
        self.queue: deque[Job] = deque()
        """Jobs that could run now, oldest first."""
        self.delayed: list[Job] = []
        """Jobs that wait for the time of their next attempt."""
        self.room: deque[Asked] = deque()
        """Submissions that wait until the queue has room."""
        self.executors: dict[int, Executor] = {}
        self.mean_s: float | None = None
        """How long a call takes, smoothed; None until one has ended."""

    @property
    def has_room(self) -> bool:
        """Whether another job may be queued."""
        most = self.function.spec.max_pending_tasks
        return len(self.queue) + len(self.delayed) < most

    def measure(self, seconds: float) -> None:
        """Learn from a call that has ended."""
        mean = self.mean_s
        self.mean_s = seconds if mean is None else mean + 0.2 * (seconds - mean)

    @property
    def depth(self) -> int:
        """How many jobs may stand in an executor's line beyond its slots."""
        mean = self.mean_s
        if mean is None or mean >= PREFETCH_BELOW_S:
            return 0
        return PREFETCH_MOST if mean <= 0 else min(PREFETCH_MOST, int(PREFETCH_BELOW_S / mean))

    def pick(self) -> Executor | None:
        """The executor for the next job, if one should have it now.

        Idle slots come first. A starting executor counts only while there is no ready one, since
        a job behind somebody else's imports would wait longer than behind a call.
        """
        best: Executor | None = None
        starting: Executor | None = None
        for executor in self.executors.values():
            if executor.status is ExecutorStatus.READY:
                if len(executor.line) < executor.slots:
                    return executor
                if not executor.recalling and (best is None or len(executor.line) < len(best.line)):
                    best = executor
            elif executor.status is ExecutorStatus.STARTING and (
                starting is None and len(executor.line) < executor.slots
            ):
                starting = executor
        if best is None:
            return starting
        if self.may_start or best.is_parked or len(best.line) >= best.slots + self.depth:
            return None
        return best

    @property
    def may_start(self) -> bool:
        """Whether the queue asks for another executor and the limit allows one.

        Asked for when more than `tasks_per_container` jobs wait per executor. Executors whose
        every slot waits for other jobs take nobody's place.
        """
        spec = self.function.spec
        count = sum(1 for e in self.executors.values() if e.counts)
        if count >= spec.max_containers:
            return False
        return count == 0 or len(self.queue) > spec.tasks_per_container * count
