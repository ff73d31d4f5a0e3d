"""What watchers are told, and from where they read on."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.commands import (
    ReadEvents,
    RegisterFunction,
    ReleaseJob,
    TellProgress,
    WaitJob,
)
from apothic_backends.model.errors import JobGone, NotFound, UsageError
from apothic_backends.model.events import Cursor, EventBatch
from apothic_backends.model.payloads import Payload
from apothic_emulator.core import eventlog, ledger
from apothic_emulator.core.facts import GivenUp, Printed
from tests.unit.emulator.core.driving import RAISED, Driver

START = Cursor("here", 1)
"""The registered function has told of itself before."""


def ended(driver: Driver) -> int:
    job = driver.ran()
    driver.report(job)
    return job


def names(batch: EventBatch) -> list[str]:
    return [event.event for event in batch.events]


# --- reading --------------------------------------------------------------------------------------


def test_events_are_read_in_order_and_without_a_hole() -> None:
    driver = Driver()
    ended(driver)
    batch = driver.ask(ReadEvents(after=START))

    assert names(batch) == ["job.queued", "job.running", "job.result", "job.end"]
    assert [event.cursor.seq for event in batch.events] == [2, 3, 4, 5]
    assert batch.events[3].data == {
        "job_id": "jobs:1",
        "at": 100.0,
        "attempt": 1,
        "status": "succeeded",
    }


def test_a_job_is_told_by_the_name_of_its_function() -> None:
    driver = Driver()
    job = driver.ran()
    driver.recalled(1, job)
    events = driver.ask(ReadEvents(f"jobs:{job}")).events

    told = [event.data for event in events if event.event == "job.queued"]
    assert [(data["app_name"], data["function_name"]) for data in told] == [("app", "f")] * 2


def test_a_job_runs_before_it_has_printed_anything() -> None:
    driver = Driver()
    job = driver.submit()
    second = driver.submit()
    driver.loaded()
    driver.report(job)
    driver.step(Printed(1, second, "stdout", "early\n"))
    events = driver.ask(ReadEvents(f"jobs:{second}")).events

    assert [event.event for event in events] == ["job.queued", "job.running", "job.log"]


def test_what_a_job_prints_waits_for_the_news_that_it_has_begun() -> None:
    driver = Driver()
    job = driver.submit()
    driver.step(Printed(1, job, "stdout", "early\n"))
    driver.loaded()
    driver.step(Printed(1, job, "stdout", "late\n"))
    events = driver.ask(ReadEvents(f"jobs:{job}")).events

    assert [event.event for event in events[:2]] == ["job.queued", "job.running"]
    assert [event.data["text"] for event in events[2:]] == ["early\n", "late\n"]


def test_times_are_told_in_unix_time() -> None:
    driver = Driver(wall_offset=1_000_000.0)
    job = driver.submit()

    assert driver.ask(ReadEvents(f"jobs:{job}")).events[0].data["at"] == 1_000_100.0
    assert driver.look(job).submitted_at == 1_000_100.0


def test_reading_goes_on_from_the_position_that_a_batch_gives() -> None:
    driver = Driver()
    ended(driver)
    first = driver.ask(ReadEvents(after=START, limit=3))
    second = driver.ask(ReadEvents(after=first.cursor))

    assert names(second) == ["job.end"]


def test_a_reader_of_all_jobs_waits_for_the_next_event() -> None:
    driver = Driver()
    ended(driver)
    token = driver.start(ReadEvents())
    assert token not in driver.answers
    driver.submit()

    assert names(driver.answers[token])[0] == "job.queued"


def test_a_reader_of_all_jobs_hears_of_nothing_else() -> None:
    driver = Driver()
    token = driver.start(ReadEvents())
    driver.register("another")
    assert token not in driver.answers
    driver.submit()

    assert {event.event[:4] for event in driver.answers[token].events} == {"job."}


def test_a_reader_that_waits_gets_no_more_than_it_asked_for() -> None:
    driver = Driver()
    job = driver.ran()
    token = driver.start(ReadEvents(f"jobs:{job}", Cursor("here", 3), limit=1))
    driver.report(job)
    batch = driver.answers[token]

    assert names(batch) == ["job.result"]
    assert names(driver.ask(ReadEvents(f"jobs:{job}", batch.cursor))) == ["job.end"]


def test_readers_that_wait_get_the_same_events() -> None:
    driver = Driver()
    tokens = [driver.start(ReadEvents()) for _ in range(2)]
    driver.submit()

    assert driver.answers[tokens[0]] is driver.answers[tokens[1]]


def test_readers_that_give_up_leave_nothing_behind() -> None:
    driver = Driver()
    tokens = [driver.start(ReadEvents()) for _ in range(2)]
    driver.step(GivenUp(tokens[0]), GivenUp(tokens[1]))

    assert driver.plane.ledger.feed.readers == {}


def test_a_waiting_reader_and_a_waiting_caller_are_told_apart() -> None:
    driver = Driver()
    job = driver.ran()
    reader = driver.start(ReadEvents(f"jobs:{job}", Cursor("here", 3)))
    caller = driver.start(WaitJob(f"jobs:{job}"))
    driver.step(GivenUp(reader))
    driver.report(job)

    assert [token in driver.answers for token in (reader, caller)] == [False, True]


# --- one job --------------------------------------------------------------------------------------


def test_a_job_is_told_from_its_beginning() -> None:
    driver = Driver()
    ended(driver)
    second = ended(driver)
    batch = driver.ask(ReadEvents(f"jobs:{second}"))

    assert names(batch) == ["job.queued", "job.running", "job.result", "job.end"]
    assert {event.data["job_id"] for event in batch.events} == {"jobs:2"}


def test_nothing_follows_the_end_of_a_job() -> None:
    driver = Driver()
    batch = driver.ask(ReadEvents(f"jobs:{ended(driver)}"))

    assert batch.ended
    assert driver.ask(ReadEvents("jobs:1", batch.cursor)) == EventBatch((), batch.cursor, True)


def test_a_reader_that_waited_hears_that_nothing_follows() -> None:
    driver = Driver()
    job = driver.ran()
    token = driver.start(ReadEvents(f"jobs:{job}", Cursor("here", 3)))
    driver.report(job)

    assert driver.answers[token].ended


def test_a_batch_that_stops_at_its_limit_is_not_the_end() -> None:
    driver = Driver()
    batch = driver.ask(ReadEvents(f"jobs:{ended(driver)}", START, limit=2))

    assert (names(batch), batch.ended) == (["job.queued", "job.running"], False)


def test_a_job_that_follows_another_is_parked() -> None:
    driver = Driver()
    outer = driver.ran()
    inner = driver.submit()
    driver.start(ReadEvents(f"jobs:{inner}", Cursor("here", 4)), driver.inside(outer))

    assert driver.status(inner) == "dispatched"


def test_a_job_that_is_forgotten_cannot_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "KEPT_JOBS", 0)
    driver = Driver()
    job = ended(driver)
    driver.ask(ReleaseJob(f"jobs:{job}"))

    with pytest.raises(JobGone):
        driver.ask(ReadEvents(f"jobs:{job}"))


@pytest.mark.parametrize("topic", ["queues", "apps:", "everything", ""])
def test_a_topic_that_there_is_not_is_not_found(topic: str) -> None:
    with pytest.raises(NotFound, match="jobs, jobs:N, apps:NAME"):
        Driver().ask(ReadEvents(topic))


# --- snapshots ------------------------------------------------------------------------------------


def test_a_snapshot_comes_first_and_then_what_happens_after_it() -> None:
    driver = Driver()
    job = driver.ran()
    batch = driver.ask(ReadEvents(f"jobs:{job}", snapshot=True))
    driver.report(job)

    assert (names(batch), batch.events[0].data["status"]) == (["job.snapshot"], "running")
    assert names(driver.ask(ReadEvents(f"jobs:{job}", batch.cursor))) == ["job.result", "job.end"]


def test_a_job_that_has_ended_gives_snapshot_result_and_end() -> None:
    driver = Driver()
    job = driver.ran()
    driver.report(job, error=RAISED)
    batch = driver.ask(ReadEvents(f"jobs:{job}", snapshot=True))

    assert (names(batch), batch.ended) == (["job.snapshot", "job.result", "job.end"], True)
    assert batch.events[0].data["error"]["message"] == "boom"
    assert batch.events[2].data["error"] == "user_error"


@pytest.mark.parametrize(
    ("read", "left"), [(0, ["job.result", "job.end"]), (1, ["job.end"]), (2, [])]
)
def test_a_job_that_has_ended_is_read_on_from_any_of_its_events(read: int, left: list[str]) -> None:
    driver = Driver()
    job = ended(driver)
    driver.pass_s(1.0)
    driver.submit_many(2)
    told = driver.ask(ReadEvents(f"jobs:{job}", snapshot=True)).events

    assert names(driver.ask(ReadEvents(f"jobs:{job}", told[read].cursor))) == left


@pytest.mark.parametrize("read", [0, 1])
def test_an_end_that_is_not_retained_is_told_again(
    read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventlog, "RETAINED", 2)
    driver = Driver()
    job = driver.ran()
    driver.report(job, error=RAISED)
    driver.submit()
    told = driver.ask(ReadEvents(f"jobs:{job}", snapshot=True)).events
    again = driver.ask(ReadEvents(f"jobs:{job}", told[read].cursor))

    assert names(again) == ["stream.reset", "job.snapshot", "job.result", "job.end"]
    assert names(driver.ask(ReadEvents(f"jobs:{job}", told[2].cursor))) == []


def test_after_a_reset_there_is_the_end_to_be_read() -> None:
    driver = Driver()
    job = ended(driver)
    told = driver.ask(ReadEvents(f"jobs:{job}", Cursor("other", 1))).events
    again = driver.ask(ReadEvents(f"jobs:{job}", told[0].cursor))

    assert (told[0].event, names(again)) == ("stream.reset", ["job.result", "job.end"])


def test_a_snapshot_of_all_jobs_has_those_that_have_not_ended() -> None:
    driver = Driver()
    ended(driver)
    driver.submit_many(2)
    batch = driver.ask(ReadEvents(snapshot=True))

    assert [event.data["job_id"] for event in batch.events] == ["jobs:2", "jobs:3"]


def test_a_snapshot_is_not_asked_for_again_when_reading_on() -> None:
    driver = Driver()
    job = driver.ran()
    batch = driver.ask(ReadEvents(f"jobs:{job}", START, snapshot=True))

    assert names(batch) == ["job.queued", "job.running"]


def test_an_app_tells_of_its_functions() -> None:
    driver = Driver()
    driver.submit_many(2)
    before = driver.ask(ReadEvents("apps:app", snapshot=True))
    driver.register("g")
    after = driver.ask(ReadEvents("apps:app", before.cursor))

    told = before.events[0].data["functions"]["f"]
    assert told == {"function_id": "functions:1", "queued": 1, "running": 0}
    assert (names(after), after.events[0].data["function"]) == (["app.changed"], "g")


def test_an_app_does_not_tell_of_another_one() -> None:
    driver = Driver()

    assert driver.ask(ReadEvents("apps:other", snapshot=True)).events[0].data["functions"] == {}


def test_an_app_that_is_changed_back_to_what_it_was_is_told_once() -> None:
    driver = Driver()
    same = RegisterFunction(driver.plane.pools[1].function.spec, Payload(b"f"))

    assert driver.ask(same) == driver.function
    assert names(driver.ask(ReadEvents("apps:app", Cursor("here", 0)))) == ["app.changed"]


# --- resets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "reason"),
    [(Cursor("other", 1), "epoch_changed"), (Cursor("here", 99), "future_position")],
)
def test_a_foreign_position_is_reset_to_the_newest(after: Cursor, reason: str) -> None:
    driver = Driver()
    ended(driver)
    batch = driver.ask(ReadEvents(after=after))

    reset = {"reason": reason, "epoch": "here", "seq": 5, "dropped": None}
    assert (batch.events[0].event, batch.events[0].data) == ("stream.reset", reset)
    assert batch.cursor == Cursor("here", 5)


def test_a_position_that_is_not_retained_is_reset_with_a_snapshot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(eventlog, "RETAINED", 2)
    driver = Driver()
    job = ended(driver)
    batch = driver.ask(ReadEvents(f"jobs:{job}"))

    assert names(batch) == ["stream.reset", "job.snapshot", "job.result", "job.end"]
    assert batch.events[0].data["dropped"] == 4
    assert batch.ended


def test_a_waiting_reader_is_told_when_a_step_writes_more_than_is_retained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(eventlog, "RETAINED", 1)
    driver = Driver()
    job = driver.ran()
    here = driver.ask(ReadEvents(f"jobs:{job}", snapshot=True)).cursor
    token = driver.start(ReadEvents(f"jobs:{job}", here))
    driver.report(job)
    again = driver.ask(ReadEvents(f"jobs:{job}", driver.answers[token].cursor))

    assert driver.answers[token].events == ()
    assert names(again) == ["stream.reset", "job.snapshot", "job.result", "job.end"]


def test_a_position_is_written_and_read_again() -> None:
    assert Cursor.parse(str(Cursor("a:b", 17))) == Cursor("a:b", 17)


@pytest.mark.parametrize("text", ["", "17", ":17", "a:", "a:b", "a:-1", "a:²"])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no position"):
        Cursor.parse(text)


# --- what jobs print ------------------------------------------------------------------------------


def told(driver: Driver, job: int) -> list[Any]:
    batch = driver.ask(ReadEvents(f"jobs:{job}"))
    return [
        event.data.get("text", event.data.get("dropped"))
        for event in batch.events
        if event.event in ("job.log", "log.gap")
    ]


def test_each_line_is_an_event() -> None:
    driver = Driver()
    job = driver.ran()
    driver.step(Printed(1, job, "stdout", "one\ntwo\n"), Printed(1, job, "stderr", "three\n"))
    logs = driver.ask(ReadEvents(f"jobs:{job}")).events[2:]

    assert [(e.data["stream"], e.data["text"], e.data["seq"]) for e in logs] == [
        ("stdout", "one\n", 1),
        ("stdout", "two\n", 2),
        ("stderr", "three\n", 3),
    ]


def test_a_line_that_comes_in_pieces_is_one_event() -> None:
    driver = Driver()
    job = driver.ran()
    for piece in ("on", "e", "\n"):
        driver.step(Printed(1, job, "stdout", piece))

    assert told(driver, job) == ["one\n"]


def test_a_carriage_return_ends_a_piece() -> None:
    driver = Driver()
    job = driver.ran()
    driver.step(Printed(1, job, "stderr", "10 %\r20 %\r30"))

    assert told(driver, job) == ["10 %\r20 %\r"]


def test_a_line_without_an_end_is_told_after_a_moment() -> None:
    driver = Driver()
    job = driver.ran()
    driver.step(Printed(1, job, "stdout", "name: "))
    driver.pass_s(0.05)
    driver.step(Printed(1, job, "stdout", "? "))
    assert told(driver, job) == []
    driver.pass_s(0.06)

    assert told(driver, job) == ["name: ? "]


def test_two_jobs_with_unfinished_lines_are_each_told_in_time() -> None:
    driver = Driver(max_containers=2)
    one, other = driver.submit_many(2)
    driver.loaded(1)
    driver.loaded(2)
    driver.step(Printed(1, one, "stdout", "one"))
    driver.pass_s(0.05)
    driver.step(Printed(2, other, "stdout", "other"))
    driver.pass_s(0.06)
    assert (told(driver, one), told(driver, other)) == (["one"], [])
    driver.pass_s(0.05)

    assert told(driver, other) == ["other"]


def test_an_unfinished_line_is_told_before_the_end() -> None:
    driver = Driver()
    job = driver.ran()
    driver.step(Printed(1, job, "stdout", "almost"))
    driver.report(job)
    driver.pass_s(1.0)
    batch = driver.ask(ReadEvents(f"jobs:{job}"))

    assert names(batch)[2:] == ["job.log", "job.result", "job.end"]


def test_an_unfinished_line_is_told_before_a_retry() -> None:
    driver = Driver(retries=1)
    job = driver.ran()
    driver.step(Printed(1, job, "stdout", "almost"))
    driver.report(job, error=RAISED)

    assert names(driver.ask(ReadEvents(f"jobs:{job}")))[2:4] == ["job.log", "job.retry"]


def test_each_attempt_counts_its_own_lines() -> None:
    driver = Driver(retries=1)
    job = driver.ran()
    driver.step(Printed(1, job, "stdout", "one\n"))
    driver.report(job, error=RAISED)
    driver.step(Printed(1, job, "stdout", "two\n"))
    logs = [e.data for e in driver.ask(ReadEvents(f"jobs:{job}")).events if e.event == "job.log"]

    assert [(data["attempt"], data["seq"]) for data in logs] == [(1, 1), (2, 1)]


def test_a_line_of_a_forgotten_job_is_told_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "KEPT_JOBS", 0)
    driver = Driver()
    job = driver.ran()
    driver.step(Printed(1, job, "stdout", "almost"))
    driver.report(job)
    driver.ask(ReleaseJob(f"jobs:{job}"))

    assert driver.pass_s(1.0) == []


def test_text_beyond_the_bound_leaves_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventlog, "RETAINED_CHARS", 10)
    driver = Driver()
    job = driver.ran()
    for text in ("aaaa\n", "bbbb\n", "cccc\n", "dddd\n", "eeee\n"):
        driver.step(Printed(1, job, "stdout", text))

    assert told(driver, job) == [10, "cccc\n", "dddd\n", "eeee\n"]


def test_gaps_of_two_streams_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventlog, "RETAINED_CHARS", 5)
    driver = Driver()
    job = driver.ran()
    driver.step(Printed(1, job, "stdout", "aaaa\n"), Printed(1, job, "stderr", "bbbbb\n"))

    assert told(driver, job) == [5, 6]


def test_forgotten_events_take_their_text_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventlog, "RETAINED", 3)
    driver = Driver()
    job = driver.ran()
    for text in "abcdef":
        driver.step(Printed(1, job, "stdout", f"{text}\n"))

    assert driver.plane.ledger.events.chars == len("d\ne\nf\n")


def test_a_flood_of_lines_is_told_in_one_piece() -> None:
    driver = Driver()
    job = driver.ran()
    driver.step(Printed(1, job, "stdout", "x\n" * 1000))

    assert told(driver, job) == ["x\n" * 1000]


def test_a_long_line_does_not_wait_for_its_end() -> None:
    driver = Driver()
    job = driver.ran()
    driver.step(Printed(1, job, "stdout", "x" * 5000))

    assert told(driver, job) == ["x" * 5000]


# --- progress -------------------------------------------------------------------------------------


def test_the_code_of_a_job_tells_how_far_it_is() -> None:
    driver = Driver()
    job = driver.ran()
    driver.ask(TellProgress(3, 10, "epoch"), driver.inside(job))
    event = driver.ask(ReadEvents(f"jobs:{job}")).events[2]

    wanted = {"done": 3, "total": 10, "message": "epoch"}
    assert event.event == "job.progress"
    assert wanted.items() <= event.data.items()
    assert driver.look(job).progress == wanted


def test_nobody_else_tells_progress() -> None:
    with pytest.raises(UsageError, match="code of a job"):
        Driver().ask(TellProgress(1))


def test_a_limit_of_none_tells_the_position_at_once() -> None:
    driver = Driver()
    driver.submit()

    batch = driver.ask(ReadEvents(limit=0))

    assert batch == EventBatch((), driver.plane.ledger.events.cursor)
