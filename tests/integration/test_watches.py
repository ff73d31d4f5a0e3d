"""Following jobs from the SDK: events, lines and progress."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from apothic import (
    App,
    BackendClosed,
    BlockingCall,
    Cursor,
    Event,
    InvalidOption,
    Job,
    NotFound,
    Retries,
    UsageError,
    current_job,
    progress,
)
from apothic._connect import connected, use
from apothic_backends.registry import open_backend
from tests.integration.support import read_when_there, wait_until

pytestmark = pytest.mark.usefixtures("clean")
app = App("watches")

FROM_START = ["job.queued", "job.running", "job.result", "job.end"]


@app.function()
def double(n: int) -> int:
    return 2 * n


@app.function()
def fail() -> None:
    raise ValueError("no luck")


@app.function(retries=Retries(max_retries=1, initial_delay=0))
def talk() -> str:
    attempt = current_job()
    assert attempt is not None
    print("line one")
    print("of attempt", attempt.attempt)
    if attempt.attempt == 1:
        raise ValueError("once more")
    return "said"


@app.function()
def steps(count: int) -> None:
    for i in range(count):
        progress(i, count, message=f"step {i}")


@app.function()
def follow(n: int) -> list[str]:
    return [event.event for event in double.remote_events(n)]


@app.function()
def takes(snapshot: str) -> str:
    return snapshot


def names(events: list[Event]) -> list[str]:
    return [event.event for event in events]


def test_a_watch_tells_a_job_from_its_beginning_to_its_end() -> None:
    events = list(double.spawn(4).watch())

    assert names(events) == FROM_START
    assert events[2].data["value"] == 8


def test_a_watch_of_a_job_that_has_ended_is_the_same() -> None:
    job = double.spawn(4)
    job.wait()

    assert names(list(job.watch())) == FROM_START


def test_a_snapshot_of_a_job_that_has_ended_is_followed_by_result_and_end() -> None:
    job = double.spawn(4)
    job.wait()
    events = list(job.watch(snapshot=True))

    assert names(events) == ["job.snapshot", "job.result", "job.end"]
    assert (events[0].data["function_name"], events[1].data["value"]) == ("double", 8)


def test_a_watch_resumes_after_an_event() -> None:
    job = double.spawn(4)
    first = next(job.watch())

    assert names(list(job.watch(after=first.cursor))) == FROM_START[1:]
    assert names(list(job.watch(after=Cursor.parse(str(first.cursor))))) == FROM_START[1:]


def test_a_failure_is_told_with_its_traceback() -> None:
    result = next(event for event in fail.remote_events() if event.event == "job.result")

    assert result.data["status"] == "failed"
    assert result.data["error"]["type_name"] == "ValueError"
    assert "no luck" in result.data["error"]["traceback"]


def test_the_result_is_told_after_the_last_handle_has_gone() -> None:
    watch = double.spawn(21).watch()

    assert [e.data["value"] for e in watch if e.event == "job.result"] == [42]


def test_event_types_choose_and_the_end_comes_in_any_case() -> None:
    assert names(list(double.remote_events(1, event_types=["job.running"]))) == [
        "job.running",
        "job.end",
    ]


@pytest.mark.parametrize("wrong", [["job.begin"], "job.end", [5], 5])
def test_event_types_that_there_are_not_are_refused(wrong: Any) -> None:
    with pytest.raises(InvalidOption, match="event"):
        double.remote_events(1, event_types=wrong)


@pytest.mark.parametrize("loop", [lambda main: asyncio.run(main()), trio.run])
def test_events_are_awaited_on_both_loops(loop: Callable[..., Any]) -> None:
    async def main() -> list[list[str]]:
        job = await double.aio.spawn(4)
        return [
            names([event async for event in job.watch()]),
            names([event async for event in job.aio.watch()]),
            names([event async for event in double.aio.remote_events(1)]),
            names([event async for event in double.remote_events.aio(1)]),
        ]

    assert loop(main) == [FROM_START] * 4


def test_a_plain_for_in_a_loop_is_refused() -> None:
    async def main() -> None:
        for _ in double.remote_events(1):
            pass

    with pytest.raises(BlockingCall, match="async for"):
        asyncio.run(main())


def test_a_function_follows_another_one() -> None:
    assert follow.remote(1) == FROM_START


def test_leaving_a_watch_does_not_stop_the_job() -> None:
    job = double.spawn(3)
    with job.watch() as watch:
        next(watch)

    assert list(watch) == []
    assert job.wait() == 6


@app.function()
def leave_early(there: str, go: str) -> None:
    double.with_options(max_containers=1).remote(1)
    job = hang.spawn(go)
    with job.watch() as watch:
        next(watch)
    Path(there).write_text("left\n")
    job.wait()


@app.function()
def hang(go: str) -> None:
    wait_until(Path(go).exists)


def test_a_watch_that_a_worker_has_left_blocks_it_no_more(tmp_path: Path) -> None:
    there, go = tmp_path / "there", tmp_path / "go"
    outer = leave_early.spawn(str(there), str(go))
    read_when_there(there)
    host: Any = connected()
    waiting = lambda: [type(w).__name__ for w in [*host._host.plane.ledger.waits.values()]]  # noqa: E731

    wait_until(lambda: "EventWait" not in waiting())
    go.touch()
    outer.wait()


def test_parameters_of_the_users_own_name_the_way_out() -> None:
    with pytest.raises(UsageError, match=r"takes.spawn\(...\).watch\(...\)"):
        takes.remote_events(snapshot=True)

    assert names(list(takes.spawn("mine").watch())) == FROM_START


@pytest.mark.parametrize(
    "wrong",
    [{"after": 5}, {"after": "a:1"}, {"snapshot": 1}, {"snapshot": True, "after": Cursor("a", 1)}],
)
def test_a_watch_that_cannot_begin_is_refused(wrong: Any) -> None:
    with pytest.raises(UsageError):
        double.spawn(1).watch(**wrong)


def test_a_job_that_there_is_not_cannot_be_watched() -> None:
    with pytest.raises(NotFound):
        next(Job.from_id("jobs:4711").watch())


def test_a_foreign_position_is_reset_to_what_is_now() -> None:
    job = double.spawn(1)
    job.wait()

    assert names(list(job.watch(after=Cursor("elsewhere", 3)))) == [
        "stream.reset",
        "job.snapshot",
        "job.result",
        "job.end",
    ]


def test_a_job_of_another_runtime_cannot_be_watched() -> None:
    job = double.spawn(1)
    other = open_backend("local")
    before = use(other)
    try:
        with pytest.raises(BackendClosed, match="belongs to a control plane"):
            job.watch()
    finally:
        use(before)
        other.close()


# --- lines ----------------------------------------------------------------------------------------


def test_lines_are_followed_as_they_come() -> None:
    assert list(talk.spawn().logs(follow=True)) == [
        "line one\n",
        "of attempt 1\n",
        "line one\n",
        "of attempt 2\n",
    ]


def test_lines_of_one_attempt_are_followed() -> None:
    assert list(talk.spawn().logs(follow=True, attempt=2)) == ["line one\n", "of attempt 2\n"]


def test_what_was_printed_is_read_by_attempt_and_stream() -> None:
    job = talk.spawn()
    job.wait()

    assert job.logs(attempt=1) == "line one\nof attempt 1\n"
    assert job.logs(stream="stderr") == ""
    assert list(job.logs(follow=True, stream="stderr")) == []


def test_lines_are_awaited() -> None:
    async def main() -> tuple[list[str], str]:
        job = await talk.aio.spawn()
        lines = [line async for line in job.logs.aio(follow=True, attempt=1)]
        return lines, await job.aio.logs(attempt=1)

    lines, text = asyncio.run(main())
    assert "".join(lines) == text == "line one\nof attempt 1\n"


@pytest.mark.parametrize("wrong", [{"attempt": 0}, {"attempt": "1"}, {"stream": "out"}])
@pytest.mark.parametrize("follow", [False, True])
def test_lines_that_there_are_not_are_refused(wrong: Any, follow: bool) -> None:
    with pytest.raises(InvalidOption):
        talk.spawn().logs(follow=follow, **wrong)


# --- progress -------------------------------------------------------------------------------------


def test_progress_is_told_by_the_code_of_the_job() -> None:
    told = [e.data for e in steps.remote_events(2) if e.event == "job.progress"]

    assert [(d["done"], d["total"], d["message"]) for d in told] == [
        (0, 2, "step 0"),
        (1, 2, "step 1"),
    ]


def test_progress_outside_of_a_worker_does_nothing() -> None:
    steps.local(2)


@pytest.mark.parametrize("wrong", [(-1,), (0, "all"), (0, 1, 5), ("x",)])
def test_progress_that_cannot_be_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidOption):
        progress(*wrong)


# --- apps -----------------------------------------------------------------------------------------


def test_an_app_is_watched_from_now_on() -> None:
    double.remote(1)
    with app.watch(snapshot=True) as watch:
        fail.spawn()
        events = [next(watch), next(watch)]

    assert names(events) == ["app.snapshot", "app.changed"]
    assert (*events[0].data["functions"], events[1].data["function"]) == ("double", "fail")
