from __future__ import annotations

import pytest

from apothic.cli.live import View
from apothic.cli.look import Look
from apothic_backends.model.events import Cursor, Event
from tests.unit.apothic.cli.events import ended, printed, queued, running, told

RESET = {"reason": "compacted", "epoch": "e", "seq": 9, "dropped": 7}


def lines_of(*events: Event, look: Look | None = None, watched: str | None = None) -> list[str]:
    """Everything that is said of the events."""
    view = View(look or Look(), is_watching=watched is not None)
    view.watched = watched or ""
    for event in events:
        view.take(event)
    return view.take_lines()


def test_a_line_has_the_function_and_the_job_before_it() -> None:
    assert lines_of(queued(), printed("a\nb\n")) == ["infer j:1 | a", "infer j:1 | b"]


def test_each_function_has_a_colour_of_its_own() -> None:
    told_lines = lines_of(
        queued(1), printed("a\n", 1), queued(2, name="train"), printed("b\n", 2),
        look=Look(is_colored=True),
    )  # fmt: skip

    assert told_lines == [
        "\x1b[36minfer j:1 |\x1b[0m a",
        "\x1b[33mtrain j:2 |\x1b[0m b",
    ]


def test_a_line_that_is_not_finished_waits_for_its_rest() -> None:
    assert lines_of(queued(), printed("load")) == []
    assert lines_of(queued(), printed("load"), printed("ed\n")) == ["infer j:1 | loaded"]


def test_a_line_of_one_stream_does_not_break_one_of_the_other() -> None:
    told_lines = lines_of(
        queued(), printed("out "), printed("err\n", stream="stderr"), printed("put\n")
    )

    assert told_lines == ["infer j:1 | err", "infer j:1 | out put"]


@pytest.mark.parametrize("end", [ended(), told("job.retry", delay_s=1.0, error="ValueError: x")])
def test_what_is_left_unfinished_is_said_at_the_end_of_an_attempt(end: Event) -> None:
    assert lines_of(queued(), running(), printed("no newline"), end) == ["infer j:1 | no newline"]


@pytest.mark.parametrize(
    ("pieces", "line"),
    [
        (["\r 10%", "\r 20%", "\r100%\n"], "100%"),
        (["10%\r", "20%\r", "\n"], "20%"),
        (["10%\r20%\r30%\n"], "30%"),
        (["as on Windows\r\n"], "as on Windows"),
        (["\n"], ""),
    ],
)
def test_of_a_progress_bar_its_last_state_is_a_line(pieces: list[str], line: str) -> None:
    assert lines_of(queued(), *map(printed, pieces)) == [f"infer j:1 | {line}"]


def test_dropped_text_is_said_to_be_missing() -> None:
    gap = told("log.gap", stream="stdout", dropped=12)

    assert lines_of(queued(), gap) == ["infer j:1 | [... 12 characters dropped ...]"]


def test_events_that_were_missed_are_said_to_be_missing_and_counts_go_on_from_what_is_now() -> None:
    view = View(Look())
    for job in range(1, 6):
        view.take(queued(job))
    view.take(Event("stream.reset", RESET, Cursor("e", 9)))
    view.take(
        told(
            "job.snapshot", 5, app_name="demo", function_name="infer", status="running",
            progress=None, submitted_at=0.0, started_at=1.0,
        )
    )  # fmt: skip
    tally = view.tallies["demo", "infer"]

    assert view.take_lines() == ["[... 7 events dropped ...]"]
    assert (tally.done, tally.known, tally.running) == (4, 5, 1)


def test_what_moves_the_cursor_is_left_out_on_a_terminal_only() -> None:
    text = printed("\x1b[2J\x1b[31mred\x1b[A\n")

    assert lines_of(queued(), text) == ["infer j:1 | \x1b[2J\x1b[31mred\x1b[A"]
    live = lines_of(queued(), text, look=Look(is_live=True))
    assert live == ["infer j:1 | \x1b[31mred\x1b[0m"]


def test_a_job_is_told_of_when_asked_for() -> None:
    life = [
        queued(at=1.0),
        running(at=1.5),
        told("job.retry", at=2.0, delay_s=3.0, error="ValueError: x\nat"),
        running(at=5.0),
        ended(at=75.0, status="timed_out"),
    ]

    assert lines_of(*life) == []
    assert lines_of(*life, look=Look(is_verbose=True)) == [
        "infer j:1 queued",
        "infer j:1 running 0.5 s",
        "infer j:1 retry in 3.0 s: ValueError: x",
        "infer j:1 running 3.0 s",
        "infer j:1 timed out 70.0 s",
    ]


def test_the_life_of_the_job_that_is_watched_is_one_line() -> None:
    events = [queued(1), queued(2), running(1, 0.1), ended(2), ended(1, 2.0)]

    assert lines_of(*events, watched="jobs:1") == ["jobs:1 queued > running 0.1 s > done 1.9 s"]


def test_which_job_is_watched_may_be_said_after_it_has_ended() -> None:
    view = View(Look(), is_watching=True)
    for event in (queued(1), ended(1)):
        view.take(event)

    assert view.take_lines() == []
    view.watched = "jobs:1"
    assert view.take_lines() == ["jobs:1 queued > done"]


def test_calls_that_wait_for_each_other_are_hinted_at_once() -> None:
    jobs = range(1, 300)
    events = [queued(job) for job in jobs]
    for job in jobs:
        events += [running(job, job), ended(job, job + 1)]

    assert lines_of(*events) == [
        (
            "hint: 299 calls of infer run one at a time; "
            "@app.function(max_containers=4) runs more at once"
        )
    ]


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([running(1), running(2), ended(1, 9), ended(2, 9)], id="two at once"),
        pytest.param([running(1), ended(1, 0.1), running(2, 0.2), ended(2, 0.3)], id="soon over"),
    ],
)
def test_calls_that_do_well_are_not_hinted_at(events: list[Event]) -> None:
    assert lines_of(*[queued(job) for job in range(1, 300)], *events) == []


def test_calls_that_may_run_side_by_side_are_not_hinted_at() -> None:
    view = View(Look(), limits=lambda app, name: 4)
    for event in [queued(job) for job in range(1, 30)]:
        view.take(event)
    for job in range(1, 20):
        view.take(running(job, job))
        view.take(ended(job, job + 1))

    assert view.take_lines() == []


def test_rows_show_maps_and_what_one_job_has_not_finished() -> None:
    view = View(Look(is_live=True))
    for event in [*map(queued, range(1, 5)), running(1), printed(" 40%|##"), ended(2, 2, "failed")]:
        view.take(event)
    rows = view.rows(2.0, 80)

    assert [row.split()[0] for row in rows] == ["infer", "infer"]
    assert rows[0].split()[-4:] == ["1/4", "0.5/s", "1", "failed"]
    assert rows[1] == "infer j:1 |  40%|##"


def test_rows_fit_the_terminal_whatever_is_printed() -> None:
    view = View(Look(is_live=True, is_colored=True))
    for event in [queued(), running(), printed("\x1b[31m" + "宽" * 200)]:
        view.take(event)

    (row,) = view.rows(0.0, 40)
    assert row.count("宽") == (39 - len("infer j:1 | ") - 1) // 2


def test_progress_that_is_told_is_a_row() -> None:
    view = View(Look(is_live=True))
    step = told("job.progress", done=3.0, total=10.0, message="step 3\nof it")
    for event in [queued(), running(), step]:
        view.take(event)

    (row,) = view.rows(0.0, 80)
    assert row.split()[-3:] == ["3/10", "step", "3"]


def test_a_map_that_was_a_row_leaves_a_line() -> None:
    view = View(Look(is_live=True))
    for event in [queued(1), queued(2), running(1), running(2)]:
        view.take(event)
    view.rows(0.0, 80)
    view.take(ended(1, 2.0))
    view.take(ended(2, 3.0, "failed"))

    assert view.take_lines() == ["infer: 2 calls in 3.0 s, 1 failed"]
    assert not view.has_rows()


def test_a_second_map_is_counted_from_its_beginning() -> None:
    view = View(Look())
    for event in [queued(1), queued(2), ended(1), ended(2), queued(3), queued(4)]:
        view.take(event)
    tally = view.tallies["demo", "infer"]

    assert (tally.done, tally.known) == (0, 2)
