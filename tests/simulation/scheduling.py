"""Schedules in a run: who starts them, and that every time is accounted for once."""

from __future__ import annotations

from math import floor
from typing import Any

from apothic_backends.commands import StartSchedule, StopSchedule
from apothic_backends.model.errors import BackendClosed
from apothic_backends.model.schedules import CronSchedule, PeriodSchedule, ScheduleSnapshot
from tests.simulation.chance import SPEC, draw, pick
from tests.simulation.history import History, sure
from tests.simulation.plan import Plan

NEVER = float("inf")
_TINY = 1e-6
_PERIODS = (1.0, 2.0, 5.0, 7.0)


class Multiples:
    """A calendar that knows periods of seconds, and needs no other."""

    def after(self, schedule: CronSchedule | PeriodSchedule, anchor: float, moment: float) -> float:
        assert isinstance(schedule, PeriodSchedule)
        return anchor + (_steps(schedule, anchor, moment) + 1) * schedule.seconds

    def until(self, schedule: CronSchedule | PeriodSchedule, anchor: float, moment: float) -> float:
        assert isinstance(schedule, PeriodSchedule)
        steps = _steps(schedule, anchor, moment)
        return anchor + steps * schedule.seconds if steps > 0 else -NEVER


class Scheduling:
    """What is started at the beginning of a run, and what has become of each time since."""

    def __init__(self, plan: Plan, history: History) -> None:
        self.history = history
        self.commands: list[StartSchedule] = []
        self._schedules: dict[str, PeriodSchedule] = {}
        self._next: dict[str, float] = {}
        """The time that has to be accounted for next, by function."""
        self._job: dict[str, int] = {}
        self._is_over = False
        self._kept: tuple[dict[str, float], dict[str, int]] = {}, {}
        if "schedules" in plan.features:
            for i, spec in enumerate(plan.specs[:2]):
                self._schedules[spec.name] = schedule = _schedule(plan.seed, i)
                self.commands.append(StartSchedule(f"functions:{i + 1}", schedule))

    def started(self, snapshot: object, error: BaseException | None) -> None:
        """A schedule counts from here, or goes on as it was."""
        if isinstance(error, BackendClosed):
            return  # it is asked again
        assert isinstance(snapshot, ScheduleSnapshot)
        assert snapshot.next_at is not None
        name, at = snapshot.function_name, snapshot.next_at
        known = self._next.setdefault(name, at)
        sure(at <= known + _TINY, "C10", "%s begins anew, at %g", name, at)

    def committed(self) -> None:
        """What has been told up to here stands."""
        if self._next != self._kept[0]:
            self._kept = {**self._next}, {**self._job}

    def restarted(self) -> None:
        """What was not committed has not been."""
        self._next, self._job = {**self._kept[0]}, {**self._kept[1]}

    @property
    def stops(self) -> list[StopSchedule]:
        """What ends them."""
        return [StopSchedule(command.function_id) for command in self.commands]

    def event(self, name: str, now: float, told: dict[str, Any] | None) -> None:
        """Something is told of a schedule."""
        if not name.startswith("schedule."):
            return
        assert told is not None
        function, at = told["function"], told["scheduled_at"]
        schedule = self._schedules[function]
        sure(at <= now, "C10", "%s at %g runs at %g", function, at, now)
        sure(
            abs(at - self._next[function]) < _TINY,
            "C10",
            "%s: %g comes after what is due",
            function,
            at,
        )
        self._next[function] = told.get("until", at + schedule.seconds)
        self.history.reached[f"schedule_{told.get('reason', 'fired')}"] += 1
        before = self._job.get(function)
        is_busy = before is not None and before not in self.history.final
        if name == "schedule.fired":
            may_overlap = schedule.overlap == "allow" or schedule.missed == "all"
            sure(may_overlap or not is_busy, "C10", "%s runs beside jobs:%s", function, before)
            self._job[function] = int(told["job_id"][5:])
        elif told["reason"] == "overlap":
            sure(is_busy, "C10", "%s at %g was skipped for nothing", function, at)

    def stopped(self, *_: object) -> None:
        """They end; what is due and has not been seen to goes with them."""
        self._is_over = True

    def ticked(self, now: float) -> None:
        """The core has seen to everything that is due."""
        for function, at in self._next.items():
            sure(self._is_over or at > now, "C10", "%s at %g is forgotten", function, at)


def _steps(schedule: PeriodSchedule, anchor: float, moment: float) -> int:
    return floor((moment - anchor) / schedule.seconds + _TINY)


def _schedule(seed: int, i: int) -> PeriodSchedule:
    return PeriodSchedule(
        overlap=("skip", "allow")[draw(seed, SPEC, 900 + i) & 1],
        missed=("last", "skip", "all")[draw(seed, SPEC, 910 + i) % 3],
        seconds=pick(seed, SPEC, 920 + i, _PERIODS),
    )
