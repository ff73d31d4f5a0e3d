from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import pytest

from apothic_backends.calendars import Calendar
from apothic_backends.commands import (
    ListSchedules,
    ReadEvents,
    RegisterFunction,
    StartSchedule,
    StopSchedule,
    TriggerSchedule,
)
from apothic_backends.model.errors import InvalidOption, NotFound, QueueFull, UsageError
from apothic_backends.model.events import Cursor, Event
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload
from apothic_backends.model.schedules import CronSchedule, PeriodSchedule, ScheduleSnapshot
from apothic_emulator.core import schedules
from apothic_emulator.core.effects import Dispatch
from apothic_emulator.core.facts import Asked, Loaded, Reported, Tick
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.plane import Plane
from tests.unit.emulator.core.driving import Driver, jobs_sent, only

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
MINUTE = PeriodSchedule(seconds=60.0)


class Planned(Driver):
    """A driver whose plane has a calendar; it is noon."""

    calendar = Calendar()

    def __init__(self, **limits: Any) -> None:
        super().__init__(wall_offset=NOON - 100.0, **limits)

    def begin(self, schedule: Any = MINUTE, function: str = "") -> ScheduleSnapshot:
        return self.ask(StartSchedule(function or self.function, schedule))

    @property
    def it(self) -> ScheduleSnapshot:
        (snapshot,) = self.ask(ListSchedules())
        return snapshot

    def told(self, topic: str = "apps:app") -> list[Event]:
        batch = self.answers[self.start(ReadEvents(topic, Cursor("here", 0), limit=100_000))]
        return [event for event in batch.events if event.event.startswith("schedule.")]

    def skipped(self) -> list[tuple[str, float]]:
        """Why, and how many seconds after noon."""
        events = [event for event in self.told() if event.event == "schedule.skipped"]
        return [(e.data["reason"], e.data["scheduled_at"] - NOON) for e in events]

    def fired(self) -> list[float]:
        """How many seconds after noon each run was due."""
        events = [event for event in self.told() if event.event == "schedule.fired"]
        return [event.data["scheduled_at"] - NOON for event in events]

    def pass_working(self, seconds: float) -> None:
        """Let time pass in which every job ends as soon as it has begun."""
        end = self.now + seconds
        while self.plane.alarm <= end:
            for job in jobs_sent(self.wait_until(self.plane.alarm)):
                executor = self.plane.ledger.executors[self.job(job).executor]
                if not executor.loaded:
                    self.loaded(executor.number)
                self.report(job)
        self.wait_until(end)

    def oversleep(self, seconds: float) -> None:
        """Be away: nothing is asked meanwhile, and the tick comes late."""
        self.now += seconds
        self.step(Tick())


def test_a_schedule_is_due_one_period_after_its_start() -> None:
    driver = Planned()

    assert driver.begin().next_at == NOON + 60


def test_a_run_starts_when_it_is_due_and_not_before() -> None:
    driver = Planned()
    driver.begin()
    driver.pass_s(59.0)
    before = driver.fired()
    driver.pass_s(1.0)

    assert (before, driver.fired()) == ([], [60.0])
    assert driver.it.next_at == NOON + 120


def test_a_run_is_a_job_that_tells_for_which_time_it_is() -> None:
    driver = Planned()
    driver.begin()
    driver.pass_s(60.0)
    batch = driver.answers[driver.start(ReadEvents("jobs", Cursor("here", 0)))]

    assert batch.events[0].event == "job.queued"
    assert batch.events[0].data["scheduled_at"] == NOON + 60
    assert driver.it.last_job_id == "jobs:1"
    assert driver.it.last_at == NOON + 60
    assert driver.told()[0].data["job_id"] == "jobs:1"


def test_nobody_holds_the_result_of_a_run() -> None:
    driver = Planned()
    driver.begin()
    driver.pass_s(60.0)
    driver.loaded()
    driver.report(1)

    assert driver.job(1).result is None
    assert driver.status(1) == "succeeded"


def test_runs_follow_one_another() -> None:
    driver = Planned()
    driver.begin()
    driver.pass_working(600.0)

    assert driver.fired() == [60.0 * k for k in range(1, 11)]
    assert driver.skipped() == []


def test_a_run_gets_the_arguments_of_its_schedule() -> None:
    driver = Planned()
    driver.ask(StartSchedule(driver.function, MINUTE, Payload(b"mine")))
    driver.pass_s(60.0)

    assert driver.job(1).arguments.data == b"mine"


def test_the_same_schedule_again_changes_nothing() -> None:
    driver = Planned()
    driver.begin()
    driver.pass_s(30.0)

    assert driver.begin().next_at == NOON + 60


def test_another_schedule_takes_the_place_of_the_one_before() -> None:
    driver = Planned()
    driver.begin()
    driver.pass_s(30.0)

    assert driver.begin(PeriodSchedule(seconds=10.0)).next_at == NOON + 40
    assert driver.it.schedule == PeriodSchedule(seconds=10.0)


def test_a_schedule_that_was_stopped_starts_nothing() -> None:
    driver = Planned()
    driver.begin()
    driver.ask(StopSchedule(driver.function))
    driver.ask(StopSchedule(driver.function))
    driver.pass_s(3600.0)

    assert driver.ask(ListSchedules()) == ()
    assert driver.fired() == []
    assert driver.plane.alarm == NEVER


def test_schedules_are_listed_by_when_they_are_due() -> None:
    driver = Planned()
    driver.begin()
    sooner = driver.register("g")
    driver.begin(PeriodSchedule(seconds=5.0), sooner)

    assert [s.function_name for s in driver.ask(ListSchedules())] == ["g", "f"]


def test_a_schedule_without_a_next_time_rests_for_ever() -> None:
    driver = Driver()  # it knows no calendar

    assert driver.ask(StartSchedule(driver.function, MINUTE)).next_at is None
    assert driver.plane.alarm == NEVER


def test_without_a_calendar_no_time_ever_comes_or_came() -> None:
    calendar = schedules.NoCalendar()

    assert calendar.after(MINUTE, 0.0, 0.0) == NEVER
    assert calendar.until(MINUTE, 0.0, 0.0) == -NEVER


# --- overlap -------------------------------------------------------------------------------------


def test_a_run_is_skipped_while_the_one_before_goes_on() -> None:
    driver = Planned()
    driver.begin()
    driver.pass_s(180.0)

    assert driver.fired() == [60.0]
    assert driver.skipped() == [("overlap", 120.0), ("overlap", 180.0)]
    assert (driver.it.fired, driver.it.skipped) == (1, 2)


def test_runs_go_on_when_the_one_before_has_ended() -> None:
    driver = Planned()
    driver.begin()
    driver.pass_s(119.0)
    driver.loaded()
    driver.pass_s(1.0)
    driver.report(1)
    driver.pass_s(60.0)

    assert driver.fired() == [60.0, 180.0]


def test_runs_overlap_where_that_is_allowed() -> None:
    driver = Planned()
    driver.begin(PeriodSchedule(seconds=60.0, overlap="allow"))
    driver.pass_s(180.0)

    assert driver.fired() == [60.0, 120.0, 180.0]


def test_a_full_queue_takes_no_run() -> None:
    driver = Planned(max_pending_tasks=1)
    driver.begin(PeriodSchedule(seconds=60.0, overlap="allow"))
    driver.pass_s(180.0)

    assert driver.fired() == [60.0, 120.0]
    assert driver.skipped() == [("queue_full", 180.0)]


# --- missed runs ---------------------------------------------------------------------------------


def test_a_run_that_is_a_little_late_is_run() -> None:
    for missed in ("last", "skip", "all"):
        driver = Planned()
        driver.begin(PeriodSchedule(seconds=60.0, missed=missed))
        driver.oversleep(60.0 + 59.0)

        assert driver.fired() == [60.0]
        assert driver.skipped() == []


def test_the_last_of_the_missed_runs_is_made_up_for() -> None:
    driver = Planned()
    driver.begin()
    driver.oversleep(600.0)
    last = driver.told()[0]

    assert driver.fired() == [600.0]
    assert driver.skipped() == [("missed", 60.0)]
    assert last.data["until"] == NOON + 600
    assert driver.it.next_at == NOON + 660


def test_no_missed_run_is_made_up_for_where_they_are_to_be_skipped() -> None:
    driver = Planned()
    driver.begin(PeriodSchedule(seconds=3600.0, missed="skip"))
    driver.oversleep(2 * 3600.0 + 61.0)

    assert driver.fired() == []
    assert driver.skipped() == [("missed", 3600.0), ("missed", 7200.0)]
    assert driver.it.next_at == NOON + 3 * 3600


def test_what_is_on_time_is_run_though_others_before_it_were_missed() -> None:
    driver = Planned()
    driver.begin(PeriodSchedule(seconds=3600.0, missed="skip"))
    driver.oversleep(2 * 3600.0 + 60.0)

    assert driver.fired() == [7200.0]


def test_every_missed_run_is_made_up_for_where_that_is_asked_for() -> None:
    driver = Planned()
    driver.begin(PeriodSchedule(seconds=60.0, missed="all"))
    driver.oversleep(300.0)

    assert driver.fired() == [60.0, 120.0, 180.0, 240.0, 300.0]


def test_not_more_than_so_many_are_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "MOST_MADE_UP", 2)
    driver = Planned()
    driver.begin(PeriodSchedule(seconds=60.0, missed="all"))
    driver.oversleep(600.0)

    assert driver.fired() == [60.0, 120.0, 600.0]
    assert driver.skipped() == [("missed", 180.0)]


# --- by hand -------------------------------------------------------------------------------------


def test_a_function_is_triggered_for_a_time() -> None:
    driver = Planned()
    driver.begin()

    job = driver.ask(TriggerSchedule(driver.function, at=NOON + 7.0))

    assert job == "jobs:1"
    assert driver.fired() == [7.0]
    assert driver.it.fired == 0


def test_a_function_without_a_schedule_is_triggered_too() -> None:
    driver = Planned()

    job = driver.ask(TriggerSchedule(driver.function, arguments=Payload(b"given")))

    assert driver.job(int(job[5:])).arguments.data == b"given"
    assert driver.fired() == [0.0]


def test_the_result_of_a_triggered_run_is_held() -> None:
    driver = Planned()
    driver.ask(TriggerSchedule(driver.function))
    driver.loaded()
    driver.report(1)

    assert driver.outcome(1).result is not None


def test_a_full_queue_refuses_a_triggered_run() -> None:
    driver = Planned(max_pending_tasks=1)
    driver.submit_many(2)

    with pytest.raises(QueueFull):
        driver.ask(TriggerSchedule(driver.function))


# --- what cannot be meant ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schedule",
    [
        PeriodSchedule(),
        PeriodSchedule(days=1, seconds=-1.0),
        PeriodSchedule(seconds=0.9),
        PeriodSchedule(seconds=float("nan")),
        PeriodSchedule(months=10**12),
        PeriodSchedule(seconds=60.0, overlap="maybe"),
        PeriodSchedule(seconds=60.0, missed="most"),
        CronSchedule(expression="* * * * *", overlap="no"),
    ],
)
def test_a_schedule_that_means_nothing_is_refused(schedule: Any) -> None:
    with pytest.raises(InvalidOption):
        Planned().begin(schedule)


def test_a_schedule_needs_a_function_that_is_there() -> None:
    driver = Planned()

    for command in (StartSchedule("functions:9", MINUTE), StopSchedule("functions:9")):
        with pytest.raises(NotFound):
            driver.ask(command)
    with pytest.raises(NotFound):
        driver.ask(TriggerSchedule("functions:9"))


def test_a_generator_cannot_run_by_itself() -> None:
    driver = Planned()
    items = driver.register("items", is_generator=True)

    with pytest.raises(UsageError):
        driver.begin(MINUTE, items)


# --- long stretches ------------------------------------------------------------------------------


def test_every_minute_of_a_long_time_is_run_once() -> None:
    days = 366 if "APOTHIC_SIMULATION_SEEDS" in os.environ else 7  # the nightly run takes a year
    plane = Plane("here", NOON, idle_s=NEVER, calendar=Calendar())
    ask(plane, RegisterFunction(FunctionSpec("app", "f"), Payload(b"code")))
    ask(plane, StartSchedule("functions:1", CronSchedule(expression="* * * * *")))
    jobs = 0
    while plane.alarm <= days * 86_400.0:
        now = plane.alarm
        for sent in only(plane.step([Tick()], now).effects, Dispatch):
            jobs += 1
            done = Reported(sent.executor, sent.job, sent.attempt, Payload(b""))
            plane.step([Loaded(sent.executor), done], now)

    (snapshot,) = ask(plane, ListSchedules())
    assert jobs == snapshot.fired == days * 24 * 60
    assert (snapshot.skipped, snapshot.last_at) == (0, NOON + days * 86_400.0)


def ask(plane: Plane, command: Any) -> Any:
    ((_, reply, error),) = plane.step([Asked(command, object())], 0.0).replies
    assert error is None
    return reply
