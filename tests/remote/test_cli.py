"""The command line as a person meets it: `apothic serve` in one terminal, all else in another."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.remote.shell import PROGRAM, Shell, project
from tests.server.served import Served, served

EXAMPLE = Path(__file__).parents[2] / "examples" / "hello.py"
INFER = ("infer", "--app-name", "demo", "--payload", '{"args":["hello"],"kwargs":{}}')


@pytest.fixture(scope="module")
def shell(server: Served, home: Path) -> Shell:
    """A shell in a project whose app is live, as `deployments:1` or a later one."""
    shell = Shell(home, project(home / "project"))
    shell("deploy", shell.write(PROGRAM))
    return shell


def test_what_is_deployed_goes_to_the_server_of_this_machine(shell: Shell, server: Served) -> None:
    assert shell("deploy", "demo.py").startswith("deployments:")
    assert f"at http://{server.own_host}" in shell.err
    assert "nothing has changed" in shell.err


def test_a_deployed_function_is_run_and_watched(shell: Shell) -> None:
    assert shell("run", *INFER) == "HELLO"
    assert "inferring" in shell.err
    assert shell.json("run", *INFER)["result"] == "HELLO"

    events = shell.events("run", *INFER, "--watch", "--snapshot")
    assert events[0]["event"] == "job.snapshot"
    assert [event["event"] for event in events[-2:]] == ["job.result", "job.end"]

    job_id = events[-1]["data"]["job_id"]
    assert shell.events("job", "watch", job_id, "--snapshot")[-1] == events[-1]
    told = shell.events("job", "watch", job_id)
    assert [event["data"] for event in told[-2:]] == [event["data"] for event in events[-2:]]
    assert shell.events("job", "watch", job_id, "--after", told[0]["cursor"]) == told[1:]
    (state,) = (one for one in shell.events("job", "watch", job_id, "--snapshot")[:1])
    assert shell.events("job", "watch", job_id, "--after", state["cursor"]) == told[-2:]


def test_a_failure_of_a_deployed_function_is_told(shell: Shell) -> None:
    assert shell("run", "fail", "--app-name", "demo", code=1) == ""
    assert shell.err.rstrip().endswith("ValueError: no luck")
    (end,) = (
        event
        for event in shell.events("run", "fail", "--app-name", "demo", "--watch", code=1)
        if event["event"] == "job.end"
    )

    job_id = end["data"]["job_id"]
    assert shell.events("job", "watch", job_id, "--after", end["cursor"], code=1) == []
    assert "no luck" in shell.json("job", "result", job_id, code=1)["message"]


@pytest.fixture
def held(shell: Shell, tmp_path: Path) -> Iterator[str]:
    """A job that runs until it is stopped; its id."""
    os.mkfifo(tmp_path / "gate")
    payload = json.dumps({"args": [str(tmp_path / "gate")]})
    runner = shell.begin("run", "hold", "--app-name", "demo", "--payload", payload, "--watch")
    assert runner.stdout is not None
    events = (json.loads(line) for line in runner.stdout)
    job_id = next(event["data"]["job_id"] for event in events if event["event"] == "job.log")
    yield job_id
    shell("job", "cancel", job_id)
    runner.communicate(timeout=60)
    assert runner.returncode == 1


def test_a_job_that_runs_is_looked_at(shell: Shell, held: str) -> None:
    (listed,) = shell.json("job", "list")["jobs"]
    assert (listed["job_id"], listed["function_name"]) == (held, "hold")
    assert held in shell("job", "list")
    assert shell.json("job", "get", held)["status"] == "running"
    assert shell("job", "logs", held) == "holding"
    assert shell.json("job", "result", held, code=7)["code"] == "wait_timeout"


@pytest.mark.parametrize(
    "follow", [["watch", "--snapshot"], ["logs", "--follow"], ["logs", "--follow", "--json"]]
)
def test_a_job_goes_on_when_nobody_follows_it(shell: Shell, held: str, follow: list[str]) -> None:
    told = interrupted(shell, "job", follow[0], held, *follow[1:])

    assert f"interrupted; {held} goes on" in told
    assert shell.json("job", "get", held)["status"] == "running"


def test_a_watch_of_an_app_is_left(shell: Shell) -> None:
    assert interrupted(shell, "app", "watch", "demo", "--snapshot") == "interrupted\n"


def test_a_job_that_was_run_is_stopped_with_ctrl_c(shell: Shell, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    payload = json.dumps({"args": [str(tmp_path / "gate")]})
    words = ("run", "hold", "--app-name", "demo", "--payload", payload)

    told = interrupted(shell, *words, "--watch", until="job.log")

    assert told == "interrupted\n"
    assert shell.json("job", "list")["jobs"] == []


def interrupted(shell: Shell, *words: str, until: str = "") -> str:
    """What is said on stderr to somebody who presses Ctrl-C after a line that has that in it."""
    follower = shell.begin(*words)
    assert follower.stdout is not None
    while until not in follower.stdout.readline():
        pass
    follower.send_signal(signal.SIGINT)
    _, told = follower.communicate(timeout=60)
    assert follower.returncode == 130
    return told


def test_a_deployment_is_replaced_rolled_back_stopped_and_deleted(shell: Shell) -> None:
    text = PROGRAM.replace('"demo"', '"versions"')
    first = shell("deploy", shell.write(text, "versions.py"))
    second = shell("deploy", shell.write(text.replace("upper", "title"), "versions.py"))
    infer = ("run", "infer", "--app-name", "versions", "--payload", INFER[-1])
    assert shell(*infer) == "Hello"

    third = shell("deployment", "rollback", "versions")
    assert shell(*infer) == "HELLO"
    history = shell.json("deployment", "history", third)["deployments"]
    assert [it["deployment_id"] for it in history] == [third, second, first]
    assert shell.json("app", "history", "versions")["deployments"] == history
    assert shell.json("deployment", "get", first)["status"] == "replaced"
    assert "versions" in shell("deployment", "list", "--live")
    assert "versions" in shell("app", "list")
    assert third in shell("app", "get", "versions")

    shell("deployment", "stop", third)
    assert shell.json(*infer, code=4)["code"] == "not_found"
    shell("deployment", "delete", second)
    shell("app", "delete", "versions")
    assert shell.json("app", "get", "versions", code=4)["code"] == "not_found"
    events = shell.events("deployment", "watch", third, "--after", "0:0", code=4)
    assert events == []


def test_what_would_be_shipped_is_listed(shell: Shell) -> None:
    shell.write("KEY=1", ".env")

    files = [line.split()[-1] for line in shell("package", "--list").splitlines()]

    assert "demo.py" in files
    assert ".env" not in files
    assert "left out: .env" in shell.err


CALLER = """
from apothic import RemoteFunction

infer = RemoteFunction.from_name("demo", "infer")
print(infer.remote("a"), infer.map(["b", "c"]), infer.spawn("d").wait())
"""


def test_a_program_calls_by_name_what_is_deployed_on_this_machine(shell: Shell) -> None:
    assert shell.run(sys.executable, shell.write(CALLER, "caller.py")) == "A ['B', 'C'] D"


def test_an_example_runs_in_both_homes_with_one_variable_changed(
    shell: Shell, server: Served
) -> None:
    url = f"http://{server.own_host}"
    there = Shell(Path(shell.env["APOTHIC_HOME"]), shell.folder, APOTHIC_BACKEND=url)

    here, elsewhere = (
        [line.partition(" from process ")[0] for line in told.splitlines()]
        for told in (at.run(sys.executable, str(EXAMPLE)) for at in (shell, there))
    )

    assert here == ["Hello, world,", "Hello, Ada,", "Hello, Grace,", "Hello, Barbara,"]
    assert elsewhere == here


def test_a_key_of_the_environment_is_for_the_server_of_the_environment(
    shell: Shell, server: Served
) -> None:
    wrong = Shell(Path(shell.env["APOTHIC_HOME"]), shell.folder, APOTHIC_API_KEY="apk_1_x")
    assert wrong("app", "list")

    wrong.env["APOTHIC_BACKEND"] = f"http://{server.own_host}"
    assert wrong.json("app", "list", code=3)["code"] == "key_refused"


def test_a_backend_of_the_program_shares_nothing(shell: Shell) -> None:
    own = Shell(Path(shell.env["APOTHIC_HOME"]), shell.folder, APOTHIC_BACKEND="local")

    assert own.json("app", "list", code=4)["code"] == "no_control_plane"


def test_a_server_that_was_killed_is_not_found_and_a_new_one_is(tmp_path: Path) -> None:
    shell = Shell(tmp_path, project(tmp_path / "project"))
    with served(tmp_path) as server:
        assert shell.json("job", "list")["jobs"] == []
        server.kill()

    told = shell.json("job", "list", code=4)
    assert told["code"] == "no_control_plane"
    assert "apothic serve" in told["message"]
    assert "apothic dev" in told["message"]

    with served(tmp_path) as server:
        assert shell.json("job", "list")["jobs"] == []
        shell("--json", "serve", "--state", "memory", code=8)
        assert str(server.process.pid) in json.loads(shell.err)["error"]["message"]
    assert not (tmp_path / "server" / "serving.json").exists()
