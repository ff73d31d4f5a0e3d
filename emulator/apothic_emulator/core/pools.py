"""The executors of one function, and the jobs that wait for them.

A parked job lends its place to the jobs that wait below it, and to no others: so there is always
one that can go on, and never more than `max_containers` processes at each level of callers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from apothic_backends.commands import RunJob, SubmitJob
from apothic_emulator.core.census import Census
from apothic_emulator.core.executors import PREFETCH_BELOW_S, Executor, ExecutorStatus
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.functions import Function
from apothic_emulator.core.jobs import NEVER, Job, Wait

PREFETCH_MOST = 32
"""The longest line of an executor, so that little is taken back when it dies."""

_STARTING, _READY = ExecutorStatus.STARTING, ExecutorStatus.READY
_RETIRING, _ADRIFT = ExecutorStatus.RETIRING, ExecutorStatus.ADRIFT


class RoomWait(Wait):
    """A submission that waits until the queue has room."""

    __slots__ = ("asked", "pool")

    def __init__(self, asked: Asked, pool: Pool) -> None:
        super().__init__(asked.token, pool.room)
        self.pool = pool
        self.asked = asked

    def passes_to(self, asked: Asked) -> None:
        """Who has asked again has this place from now on."""
        super().passes_to(asked)
        self.asked = asked

    @property
    def command(self) -> SubmitJob | RunJob:
        """What was asked."""
        command: Any = self.asked.command
        return command


class Pool:
    """One function's queue and executors."""

    __slots__ = (
        "behind",
        "census",
        "delayed",
        "derived",
        "executors",
        "failed_starts",
        "function",
        "is_lone",
        "looked",
        "mean_s",
        "queue",
        "rest_until",
        "room",
    )

    def __init__(self, function: Function) -> None:
        self.function = function
        self.queue: deque[Job] = deque()
        """Jobs that could run now: the deepest level first, then the oldest."""
        self.delayed: list[Job] = []
        """Jobs that wait for the time of their next attempt."""
        self.room: deque[RoomWait] = deque()
        self.executors: dict[int, Executor] = {}
        self.census = Census(self.executors)
        self.mean_s: float | None = None
        """How long a call takes, smoothed; None until one has ended."""
        self.failed_starts = 0
        """Executors in a row that ended before they had loaded."""
        self.rest_until = 0.0
        """No further executor is started before, since the last ones failed."""
        cls = function.spec.cls
        self.is_lone = cls is not None and cls.name is not None
        """Whether it has one process at the most, whatever that one does."""
        self.looked: tuple[int, set[int]] = 0, set()
        """When room was sought last on machines whose executors have no work, as the number of a
        change there; and on which of them it could be made."""
        self.behind: list[Pool] = []
        """Those whose processes have to end before it may have one."""
        self.derived: list[Pool] = []
        """Of a class, those of its instances."""

    def add(self, executor: Executor) -> None:
        """An executor is there."""
        self.executors[executor.number] = executor
        executor.census = self.census
        self.census.moved(executor)

    def drop(self, executor: Executor) -> None:
        """It is gone."""
        del self.executors[executor.number]
        self.census.ended(executor)

    @property
    def has_room(self) -> bool:
        """Whether another job may be queued."""
        most = self.function.spec.max_pending_tasks
        return len(self.queue) + len(self.delayed) < most

    def put(self, job: Job) -> None:
        """Queue a job in its place: one that comes back gets its old one."""
        queue = self.queue
        if not queue or not goes_before(job, queue[-1]):
            queue.append(job)
            return
        place = next(i for i, other in enumerate(queue) if goes_before(job, other))
        queue.insert(place, job)

    def remove(self, job: Job) -> None:
        """Take out a job that is queued."""
        (self.queue if job in self.queue else self.delayed).remove(job)

    def wake(self, now: float) -> float:
        """Queue the jobs whose time has come, and end a pause; when to look again."""
        due = [job for job in self.delayed if job.not_before <= now]
        if due:
            self.delayed = [job for job in self.delayed if job.not_before > now]
            for job in due:
                self.put(job)
        if self.rest_until <= now:
            self.rest_until = 0.0
        moments = [job.not_before for job in self.delayed]
        return min([*moments, self.rest_until or NEVER])

    def measure(self, seconds: float) -> None:
        """Learn from a call that has ended."""
        mean = self.mean_s
        self.mean_s = seconds if mean is None else mean + 0.2 * (seconds - mean)

    @property
    def depth(self) -> int:
        """How many jobs may stand in an executor's line beyond its slots.

        None where they have to run in their order: of a line that is taken back while its executor
        goes on, any may be missing.
        """
        mean = self.mean_s
        if mean is None or mean >= PREFETCH_BELOW_S or self.is_lone:
            return 0
        return PREFETCH_MOST if mean <= 0 else min(PREFETCH_MOST, int(PREFETCH_BELOW_S / mean))

    def taken(self, level: int, *, idle: bool) -> int:
        """How many of `max_containers` are taken for a job of that level."""
        if idle and not level:  # by all but those that go
            going = self.census.going
            return len(self.executors) - len(going) + _taken(going, level, idle=idle)
        return _taken(self.executors.values(), level, idle=idle)

    def pick(self, level: int, now: float) -> Executor | None:
        """The executor for the next job, if one should have it now.

        Idle slots come first, and those above an executor's target only when each is at its target
        and no further one may start. Apart from that, a starting executor counts only while there
        is no ready one: a job behind somebody else's imports would wait longer than behind a call.
        """
        most = self.function.spec.max_containers
        over = self.taken(level, idle=False) - most if len(self.executors) > most else -1
        if over > 0:
            return None
        free = self._free_at_work() if over == 0 else self.census.first_free()
        if free is not None:
            return free
        if self.function.spec.target_requests:
            return self._pick_above(self._busy(now), over, level, now)
        starting = next((it for it in self.census.starting if it.room > 0), None)
        if starting is None and not self.depth:
            return None
        busy = self._busy(now)
        return starting if busy is None else self._queue_behind(busy, level, now)

    def _free_at_work(self) -> Executor | None:
        """One below its target that has work: no further one may get any."""
        return next((it for it in self.executors.values() if it.line and it.is_free), None)

    def _busy(self, now: float) -> Executor | None:
        """One behind whose calls another may stand: that with the shortest line."""
        busy: Executor | None = None
        for executor in self.executors.values():
            room = executor.room
            is_full = executor.status is _READY and room <= 0
            if is_full and (busy is None or room > busy.room) and executor.may_be_queued_at(now):
                busy = executor
        return busy

    def _queue_behind(self, busy: Executor, level: int, now: float) -> Executor | None:
        may_queue = busy.slots == 1 and -busy.room < self.depth
        return busy if may_queue and not self.may_start(level, now) else None

    def _pick_above(
        self, busy: Executor | None, over: int, level: int, now: float
    ) -> Executor | None:
        """The same where executors have a target, and every ready one is at it."""
        free = [executor for executor in self.executors.values() if executor.room > 0]
        ready = [e for e in free if e.status is _READY and (over < 0 or e.line)]
        starting = [executor for executor in free if executor.status is _STARTING]
        below = next((executor for executor in starting if executor.capacity), None)
        if below is not None:
            return None if ready or busy is not None else below
        if self.may_start(level, now):
            return None
        above = ready if ready or busy is not None else starting
        return max(above, key=lambda executor: executor.room, default=None)

    def may_start(self, level: int, now: float) -> bool:
        """Whether the load asks for another executor and the limit allows one.

        Asked for when there are more than `tasks_per_container` jobs, waiting and running, for
        each executor, and more are waiting than those that are starting will take.
        """
        if self.is_lone:
            return not (self.executors or self.behind) and now >= self.rest_until
        count = self.taken(level, idle=True)
        if count == 0:
            return True
        spec = self.function.spec
        if count >= spec.max_containers or now < self.rest_until:
            return False
        jobs = len(self.queue) + self.census.in_lines
        if jobs <= spec.tasks_per_container * count:
            count -= sum(1 for e in self.census.going if e.status is _ADRIFT and not e.line)
            if jobs <= spec.tasks_per_container * count:
                return False  # also without those that take nothing for now
        if spec.concurrent_requests == 1 and spec.batch is None:
            return True
        coming = sum(executor.capacity for executor in self.census.starting)
        return len(self.queue) > coming

    @property
    def has_hope(self) -> bool:
        """Whether some executor works, or may yet, so that a failed start is not the end."""
        return any(
            e.status is _STARTING or (e.status is _READY and not e.is_parked)
            for e in self.executors.values()
        )


def _taken(executors: Iterable[Executor], level: int, *, idle: bool) -> int:
    count = 0
    for executor in executors:
        if executor.line or executor.status is _STARTING:
            count += executor.status is not _RETIRING and not executor.is_lent(level)
        elif executor.status is _READY or executor.status is _ADRIFT:
            count += idle
    return count


def goes_before(one: Job, other: Job) -> bool:
    """Whether a job is to run before another: whoever is waited for deeper, then the older."""
    return one.level > other.level or (one.level == other.level and one.number < other.number)
