"""`apothic job`, over a control plane in this process; and without one, as it is typed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from apothic import App, Retries, UsageError, current_job, progress
from apothic._connect import connect
from apothic.cli import jobs
from apothic.cli.look import Look
from apothic.cli.watch import show_events
from apothic.cli.wishes import Wishes
from apothic_backends.base import Backend
from tests.integration.screens import COMMAND
from tests.integration.support import wait_until

app = App("jobs-cli")
TEXT, JSON = Wishes(), Wishes(json=True)
Captured = pytest.CaptureFixture[str]


@app.function(retries=Retries(max_retries=1, initial_delay=0))
def talk() -> dict[str, int]:
    job = current_job()
    assert job is not None
    print("out of", job.attempt)
    print("err of", job.attempt, file=sys.stderr)
    if job.attempt == 1:
        raise ValueError("once more")
    return {"n": 1}


@app.function()
def fail() -> None:
    raise ValueError("no luck")


@app.function(timeout_s=0.05)
def slow(gate: str) -> None:
    while not Path(gate).exists():
        pass


@app.function()
def gated(gate: str) -> str:
    progress(1, 4, "a quarter")
    while not Path(gate).exists():
        pass
    return "through"


@pytest.fixture
def backend(clean: None) -> Backend:
    """A control plane that this process shares with the command."""
    return connect()


def documents(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_watch_in_a_pipe_is_one_event_a_line(backend: Backend, capsys: Captured) -> None:
    job = talk.spawn()

    assert jobs.watch(backend, TEXT, job.job_id, jobs.Where()) == 0
    events = documents(capsys.readouterr().out)
    assert {event["schema"] for event in events} == {"apothic.event.v1"}
    names = [event["event"] for event in events if event["event"] != "job.log"]
    attempt = ["job.queued", "job.running"]
    assert names == [*attempt, "job.retry", "job.running", "job.result", "job.end"]
    assert events[-2]["data"]["value"] == {"n": 1}


def test_a_watch_resumes_after_a_cursor(backend: Backend, capsys: Captured) -> None:
    job = talk.spawn()
    jobs.watch(backend, TEXT, job.job_id, jobs.Where())
    events = documents(capsys.readouterr().out)
    where = jobs.where_of(snapshot=False, after=events[2]["cursor"], event_types=None)
    jobs.watch(backend, TEXT, job.job_id, where)

    assert documents(capsys.readouterr().out) == events[3:]


def test_a_watch_may_begin_with_a_snapshot_and_tell_some_events_only(
    backend: Backend, capsys: Captured
) -> None:
    job = talk.spawn()
    job.wait()
    where = jobs.where_of(snapshot=True, after=None, event_types="job.snapshot, job.result")

    assert jobs.watch(backend, TEXT, job.job_id, where) == 0
    names = [event["event"] for event in documents(capsys.readouterr().out)]
    assert names == ["job.snapshot", "job.result", "job.end"]


def test_the_exit_code_of_a_watch_is_that_of_the_job(backend: Backend, tmp_path: Path) -> None:
    late = slow.spawn(str(tmp_path / "gate"))

    assert jobs.watch(backend, TEXT, fail.spawn().job_id, jobs.Where()) == 1
    assert jobs.watch(backend, TEXT, late.job_id, jobs.Where()) == 7


def test_people_see_the_life_of_a_job_its_lines_and_its_result(
    backend: Backend, capsys: Captured
) -> None:
    job = talk.spawn()
    code = show_events(job.watch(), job.job_id, Look())

    *lines, life, result = capsys.readouterr().out.splitlines()
    said = [f"talk j:1 | {stream} of {n}" for n in (1, 2) for stream in ("err", "out")]
    assert (code, sorted(lines), result) == (0, sorted(said), '{"n": 1}')
    number = r"\d+\.\d s"
    parts = ["queued", f"running {number}", f"retry in {number}: .*", f"running {number}"]
    assert re.fullmatch(" > ".join([f"jobs:1 {parts[0]}", *parts[1:], f"done {number}"]), life)


def test_people_see_why_a_job_failed(backend: Backend, capsys: Captured) -> None:
    job = fail.spawn()

    assert show_events(job.watch(snapshot=True), job.job_id, Look()) == 1
    assert capsys.readouterr().out.endswith("ValueError: no luck\n")


def test_jobs_that_have_not_ended_are_listed(
    backend: Backend, capsys: Captured, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    first, second = gated.spawn(str(gate)), gated.spawn(str(gate))
    wait_until(lambda: first.status() == "running")

    jobs.list_open(backend, TEXT)
    assert capsys.readouterr().out.splitlines() == [
        "JOB     FUNCTION        STATUS   ATTEMPT",
        "jobs:1  jobs-cli/gated  running  1",
        "jobs:2  jobs-cli/gated  queued   0",
    ]
    jobs.list_open(backend, JSON)
    (listed,) = documents(capsys.readouterr().out)
    assert (listed["schema"], [told["job_id"] for told in listed["jobs"]]) == (
        "apothic.jobs.v1",
        [first.job_id, second.job_id],
    )
    gate.touch()
    second.wait()


def test_the_state_of_a_job_is_shown(backend: Backend, capsys: Captured) -> None:
    job = fail.spawn()
    with pytest.raises(ValueError, match="no luck"):
        job.wait()

    jobs.get(backend, TEXT, job.job_id)
    told = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (told["status"], told["error"]) == ("failed", "user_error: no luck")
    jobs.get(backend, JSON, job.job_id)
    (document,) = documents(capsys.readouterr().out)
    assert (document["schema"], document["job_id"], document["status"]) == (
        "apothic.job.v1",
        "jobs:1",
        "failed",
    )
    assert document["error"]["type_name"] == "ValueError"


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize(
    ("choice", "lines"),
    [
        ({}, ["err of 1", "err of 2", "out of 1", "out of 2"]),
        ({"attempt": 2}, ["err of 2", "out of 2"]),
        ({"stream": "stderr"}, ["err of 1", "err of 2"]),
    ],
)
def test_what_a_job_has_printed_is_shown(
    backend: Backend, capsys: Captured, choice: dict[str, Any], lines: list[str], *, follow: bool
) -> None:
    job = talk.spawn()
    job.wait()
    jobs.logs(backend, TEXT, job.job_id, follow=follow, **choice)

    assert sorted(capsys.readouterr().out.splitlines()) == lines


def test_logs_are_json_where_that_is_asked_for(backend: Backend, capsys: Captured) -> None:
    job = talk.spawn()
    job.wait()
    jobs.logs(backend, JSON, job.job_id)
    (document,) = documents(capsys.readouterr().out)
    jobs.logs(backend, JSON, job.job_id, follow=True)
    events = documents(capsys.readouterr().out)

    assert (document["schema"], document["stdout"]) == ("apothic.logs.v1", "out of 1\nout of 2\n")
    assert "".join(e["data"]["text"] for e in events if e["data"].get("stream") == "stdout") == (
        "out of 1\nout of 2\n"
    )


def test_waiting_shows_the_result_as_often_as_it_is_asked_for(
    backend: Backend, capsys: Captured
) -> None:
    job = talk.spawn()

    for _ in range(2):
        assert jobs.wait(backend, TEXT, job.job_id) == 0
    assert capsys.readouterr().out == '{"n": 1}\n' * 2
    jobs.wait(backend, JSON, job.job_id)
    (document,) = documents(capsys.readouterr().out)
    assert (document["schema"], document["result"]) == ("apothic.run.v1", {"n": 1})


def test_a_job_is_cancelled(backend: Backend, capsys: Captured, tmp_path: Path) -> None:
    first = gated.spawn(str(tmp_path / "gate"))
    second = gated.spawn(str(tmp_path / "gate"))
    jobs.cancel(backend, JSON, second.job_id)

    (document,) = documents(capsys.readouterr().out)
    assert (document["job_id"], document["status"]) == (second.job_id, "cancelled")
    assert not first.status().is_final
    (tmp_path / "gate").touch()
    first.wait()


@pytest.mark.parametrize(("text", "job_id"), [("jobs:12", "jobs:12"), ("j:12", "jobs:12")])
def test_an_id_is_taken_as_it_is_shown(text: str, job_id: str) -> None:
    assert jobs.job_id_of(text) == job_id


@pytest.mark.parametrize("text", ["12", "j:", "jobs:x", "functions:1", ""])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not an id of jobs"):
        jobs.job_id_of(text)


# --- as it is typed -----------------------------------------------------------------------------


def typed(*arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the error, of a command that asks for JSON."""
    done = subprocess.run(
        [*COMMAND, *arguments, "--json"], check=False, capture_output=True, text=True
    )
    assert done.stdout == ""
    (document,) = documents(done.stderr)
    error: dict[str, Any] = document["error"]
    return done.returncode, error


@pytest.mark.parametrize(
    "arguments",
    [
        ["job", "watch", "jobs:123", "--snapshot"],
        ["job", "watch", "jobs:123", "--after", "ab:7", "--event-types", "job.log"],
        ["job", "get", "jobs:123"],
        ["job", "list"],
        ["job", "logs", "jobs:123", "--follow", "--attempt", "1", "--stream", "stderr"],
        ["job", "wait", "jobs:123", "--timeout", "3"],
        ["job", "cancel", "j:123"],
        ["run", "infer", "--app-name", "demo", "--payload", '{"args":["hello"]}', "--watch"],
    ],
)
def test_without_a_control_plane_the_way_out_is_told(arguments: list[str]) -> None:
    code, error = typed(*arguments)

    assert (code, error["code"]) == (4, "no_control_plane")
    assert "`apothic serve`" in error["message"]
    assert "APOTHIC_BACKEND=https://" in error["message"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["job", "get", "x"], "usage", "'x' is not an id of jobs"),
        (["job", "watch", "jobs:1", "--after", "x"], "usage", "'x' is no position"),
        (["job", "watch", "jobs:1", "--event-types", "x"], "invalid_option", "no event 'x'"),
        (["job", "watch", "jobs:1", "--snapshot", "--after", "a:1"], "usage", "keep one"),
        (["job", "logs", "jobs:1", "--attempt", "0"], "usage", "not in the range"),
        (["run", "infer"], "usage", "there is no file 'infer'"),
        (["run", "infer", "--app-name", "demo", "--payload", "[]"], "usage", "expected"),
        (["run", "infer", "--app-name", "demo", "--inline"], "usage", "code that is here"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anybody_is_asked(
    arguments: list[str], code: str, told: str
) -> None:
    exit_code, error = typed(*arguments)

    assert (exit_code, error["code"]) == (2, code)
    assert told in error["message"]


def test_a_job_of_another_backend_is_asked_for_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APOTHIC_BACKEND", "nowhere")
    monkeypatch.setenv("APOTHIC_TEST_BACKEND", "nowhere")

    code, error = typed("job", "get", "jobs:1")
    assert (code, error["code"], error["name"]) == (4, "not_found", "nowhere")
