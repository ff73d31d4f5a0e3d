"""Functions that run by themselves: what is due, and what becomes of runs that cannot be had.

    stopped ──start──► waiting ──due──► fired ──► waiting for the next time, or at rest for ever
                          ▲               │
                          └─── skipped ◄──┘   the run before goes on, the queue is full, too late

When a time comes is a question of calendars, which are not this module's: it asks the one that it
was given. The jobs that it starts are jobs like any others. Nobody holds them, so their results
are dropped as they end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from apothic_backends import codec
from apothic_backends.commands import (
    ListSchedules,
    StartSchedule,
    StopSchedule,
    TriggerSchedule,
)
from apothic_backends.model.errors import BalanceExhausted, InvalidOption, QueueFull
from apothic_backends.model.payloads import EMPTY_CALL, Payload
from apothic_backends.model.schedules import (
    MISSES,
    OVERLAPS,
    CronSchedule,
    PeriodSchedule,
    ScheduleSnapshot,
)
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.items import check_kind
from apothic_emulator.core.jobs import NEVER, Job
from apothic_emulator.core.journal import Journal
from apothic_emulator.core.ledger import Ledger
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.records import pack, payload_of, payload_parts, unpack

LATE_S = 60.0
"""A run that is noticed within this time is on time, though another one may be due already."""

MOST_MADE_UP = 1000
"""Missed runs of one schedule that are made up for at one time."""

SHORTEST_S = 1.0
"""The shortest period."""

MOST = 1e12
"""Months, days and seconds of a period are fewer."""

AnySchedule = CronSchedule | PeriodSchedule


class Calendar(Protocol):
    """Knows when schedules are due: Unix seconds, `NEVER` and `-NEVER` where there is no time."""

    def after(self, schedule: AnySchedule, anchor: float, moment: float) -> float:
        """The first time after a moment; periods count from `anchor`."""
        ...

    def until(self, schedule: AnySchedule, anchor: float, moment: float) -> float:
        """The last time up to a moment."""
        ...


class NoCalendar:
    """For a control plane in which nothing runs by itself."""

    def after(self, schedule: AnySchedule, anchor: float, moment: float) -> float:
        """Never."""
        return NEVER

    def until(self, schedule: AnySchedule, anchor: float, moment: float) -> float:
        """Never."""
        return -NEVER


Admit = Callable[[Pool, Payload, dict[str, Any], float], Job]
"""Queues a job with what is to be told of it; raises `QueueFull` or `BalanceExhausted`."""


class Timetable:
    """One function's schedule. Times are Unix seconds."""

    __slots__ = (
        "anchor",
        "arguments",
        "due",
        "fired",
        "job",
        "last",
        "pool",
        "schedule",
        "skipped",
    )

    def __init__(self, pool: Pool, command: StartSchedule, anchor: float, due: float) -> None:
        self.pool = pool
        self.schedule = command.schedule
        self.arguments = command.arguments
        self.anchor = anchor
        self.due = due
        self.last: float | None = None
        """The time of the last run that was started."""
        self.job: Job | None = None
        """That run."""
        self.fired = 0
        self.skipped = 0

    def pack(self) -> bytes:
        """All of it, as a record."""
        tag, arguments = payload_parts(self.arguments)
        rule = codec.to_json(self.schedule, [])
        job = 0 if self.job is None else self.job.number
        head = (rule, tag, self.anchor, self.due, self.last, job, self.fired, self.skipped)
        return pack(head, *arguments)

    def snapshot(self) -> ScheduleSnapshot:
        """What its users see."""
        function = self.pool.function
        return ScheduleSnapshot(
            function_id=function.function_id,
            app_name=function.spec.app_name,
            function_name=function.spec.name,
            schedule=self.schedule,
            next_at=None if self.due == NEVER else self.due,
            last_at=self.last,
            last_job_id=self.job.job_id if self.job is not None else None,
            fired=self.fired,
            skipped=self.skipped,
        )


class Schedules:
    """The rules for schedules, over the ledger."""

    def __init__(
        self,
        ledger: Ledger,
        calendar: Calendar,
        find: Callable[[str], Pool],
        admit: Admit,
        wake_at: Callable[[float], None],
    ) -> None:
        self.ledger = ledger
        self.calendar = calendar
        self.journal: Journal | None = None
        self.timetables: dict[int, Timetable] = {}
        """By the number of the function."""
        self._find = find
        self._admit = admit
        self._wake_at = wake_at
        self.commands: Mapping[type, Callable[[Any, Asked, float], Any]] = {
            StartSchedule: self._start,
            StopSchedule: self._stop,
            ListSchedules: self._list,
            TriggerSchedule: self._trigger,
        }

    @property
    def _offset(self) -> float:
        return self.ledger.events.wall_offset

    # --- commands -------------------------------------------------------------------------------

    def _start(self, command: StartSchedule, asked: Asked, now: float) -> ScheduleSnapshot:
        pool = self._find(command.function_id)
        check_kind(pool.function, is_generator=False)
        self.check(command.schedule, now)
        return self.begin(pool, command, now).snapshot()

    def check(self, schedule: AnySchedule, now: float) -> float:
        """See to it that a schedule means something; gives its first time.

        Raises:
            InvalidOption: it does not.
        """
        _check(schedule)
        wall = now + self._offset
        return self.calendar.after(schedule, wall, wall)

    def begin(self, pool: Pool, command: StartSchedule, now: float) -> Timetable:
        """Have a function run by itself; of an earlier version's schedule the last run is known."""
        number = pool.function.number
        known = self.timetables.get(number)
        if known is None or known.schedule != command.schedule:
            due = self.check(command.schedule, now)
            known = Timetable(pool, command, now + self._offset, due)
            before = self._replace(pool)
            if before is not None:
                known.job, known.last = before.job, before.last
            self.timetables[number] = known
            self._keep(known)
            self._wake_at(due - self._offset)
        return known

    def _stop(self, command: StopSchedule, asked: Asked, now: float) -> None:
        self.drop(self._find(command.function_id).function.number)

    def _replace(self, pool: Pool) -> Timetable | None:
        """An app's function has one schedule: that of an earlier version ends."""
        spec = pool.function.spec
        for number, it in list(self.timetables.items()):
            other = it.pool.function.spec
            if (other.app_name, other.name) == (spec.app_name, spec.name):
                self.drop(number)
                return it
        return None

    def drop(self, number: int) -> None:
        """Have a function run by itself no more."""
        if self.timetables.pop(number, None) is not None and self.journal is not None:
            self.journal.drop(f"schedule/{number}")

    def _keep(self, it: Timetable) -> None:
        if self.journal is not None:
            self.journal.keep(f"schedule/{it.pool.function.number}", it)

    def load(self, number: int, record: bytes, now: float) -> None:
        """Take a schedule back; what it has missed is made up for as it says."""
        (schedule, tag, anchor, due, last, job, fired, skipped), blobs = unpack(record)
        pool = self._find(f"functions:{number}")
        arguments = payload_of(tag, blobs) or EMPTY_CALL
        rule = codec.from_json(schedule, ())
        command = StartSchedule(pool.function.function_id, rule, arguments)
        it = self.timetables[number] = Timetable(pool, command, anchor, due)
        it.last, it.fired, it.skipped = last, fired, skipped
        it.job = self.ledger.jobs.get(job)
        self._wake_at(due - self._offset)

    def _list(
        self, command: ListSchedules, asked: Asked, now: float
    ) -> tuple[ScheduleSnapshot, ...]:
        ordered = sorted(self.timetables.values(), key=lambda it: (it.due, it.pool.function.number))
        return tuple(it.snapshot() for it in ordered)

    def _trigger(self, command: TriggerSchedule, asked: Asked, now: float) -> str:
        pool = self._find(command.function_id)
        check_kind(pool.function, is_generator=False)
        at = now + self._offset if command.at is None else command.at
        known = self.timetables.get(pool.function.number)
        arguments = known.arguments if known is not None else command.arguments
        told = {"scheduled_at": at, "triggered": True}
        job = self._admit(pool, arguments, told, now)
        self._tell(pool, "schedule.fired", now, {"job_id": job.job_id, **told})
        return job.job_id

    # --- time -----------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Start what is due, and see to it that the next time is not missed."""
        offset = self._offset
        for it in self.timetables.values():
            if it.due - offset <= now:
                self._run(it, now)
            self._wake_at(it.due - offset)

    def _run(self, it: Timetable, now: float) -> None:
        """Start the run that is due; of several that are, those that the schedule asks for."""
        wall, before = now + self._offset, it.fired
        at, it.due = it.due, self._after(it, it.due)
        if it.due <= wall:
            at = self._catch_up(it, at, now)
        is_made_up = it.fired > before
        self._fire_or_skip(it, at, "" if is_made_up else self._obstacle(it, at, wall), now)
        self._keep(it)

    def _catch_up(self, it: Timetable, at: float, now: float) -> float:
        """Several are due: the one that is left to start."""
        wall, made_up = now + self._offset, 0
        while it.schedule.missed == "all" and it.due <= wall and made_up < MOST_MADE_UP:
            self._fire_or_skip(it, at, "", now)  # that they overlap is what was asked for
            made_up += 1
            at, it.due = it.due, self._after(it, it.due)
        if it.due <= wall:
            last = self.calendar.until(it.schedule, it.anchor, wall)
            self._skip(it, at, "missed", now, until=last)
            at, it.due = last, self._after(it, wall)
        return at

    def _after(self, it: Timetable, moment: float) -> float:
        return self.calendar.after(it.schedule, it.anchor, moment)

    def _obstacle(self, it: Timetable, at: float, wall: float) -> str:
        """Why a run is not to be started, if there is a reason."""
        if it.schedule.missed == "skip" and wall - at > LATE_S:
            return "missed"
        is_alone = it.job is None or it.job.is_final
        return "overlap" if it.schedule.overlap == "skip" and not is_alone else ""

    def _fire_or_skip(self, it: Timetable, at: float, reason: str, now: float) -> None:
        reason = reason or self._fire(it, at, now)
        if reason:
            self._skip(it, at, reason, now)

    def _fire(self, it: Timetable, at: float, now: float) -> str:
        """Start a run; why not, if it cannot be."""
        try:
            job = self._admit(it.pool, it.arguments, {"scheduled_at": at}, now)
        except (QueueFull, BalanceExhausted) as error:
            return error.code
        self.ledger.release(job)
        it.job, it.last = job, at
        it.fired += 1
        self._tell(it.pool, "schedule.fired", now, {"job_id": job.job_id, "scheduled_at": at})
        return ""

    def _skip(
        self, it: Timetable, at: float, reason: str, now: float, until: float | None = None
    ) -> None:
        it.skipped += 1
        told: dict[str, Any] = {"scheduled_at": at, "reason": reason}
        if until is not None:
            told["until"] = until
        self._tell(it.pool, "schedule.skipped", now, told)

    def _tell(self, pool: Pool, name: str, now: float, told: dict[str, Any]) -> None:
        spec = pool.function.spec
        about = {"app": spec.app_name, "function": spec.name}
        self.ledger.events.append(name, f"apps:{spec.app_name}", now, 0, about | told)


def _check(schedule: AnySchedule) -> None:
    """See to it that a schedule means something; calendars check the rest of it.

    Raises:
        InvalidOption: it does not.
    """
    for option, known in (("overlap", OVERLAPS), ("missed", MISSES)):
        if getattr(schedule, option) not in known:
            raise InvalidOption(f"{option} must be one of {', '.join(known)}", option=option)
    if isinstance(schedule, PeriodSchedule):
        parts = schedule.months, schedule.days, schedule.seconds
        is_long = schedule.months > 0 or schedule.days > 0 or schedule.seconds >= SHORTEST_S
        if not is_long or not all(0 <= part < MOST for part in parts):
            raise InvalidOption(
                f"a period is at least {SHORTEST_S:g} s long, and no part is below 0 or {MOST:g} "
                "and more",
                option="period",
            )
