"""`apothic deploy`, `deployment`, `app`, `run` by name: over a control plane in this process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apothic import cli
from apothic._connect import connect
from apothic.functions import DECLARED
from tests.integration.screens import COMMAND

PROGRAM = """
from apothic import App
app = App("demo")
other = App("other")

@app.function()
def infer(value: str) -> str:
    print("inferring")
    return "{version}" + value

@other.function()
def idle(): ...
"""


class Shell:
    """What is typed, and what comes of it."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, captured: Any) -> None:
        self.root = root
        self._monkeypatch = monkeypatch
        self._captured = captured
        self.err = ""

    def __call__(self, *words: str, code: int = 0) -> str:
        """Type a command; what it prints."""
        self._monkeypatch.setattr(sys, "argv", ["apothic", *words])
        path = [*sys.path]
        try:
            found = cli.main()
        except SystemExit as end:
            found = end.code
        finally:
            sys.path[:] = path
            sys.modules.pop("program", None)
        out, self.err = self._captured.readouterr()
        assert found == code, (found, self.err)
        return out.strip()

    def json(self, *words: str) -> Any:
        """The document that it prints."""
        return json.loads(self(*words, "--json"))

    def write(self, version: str, name: str = "program.py") -> str:
        """The program of that version; its path."""
        sys.modules.pop("program", None)
        (self.root / name).write_text(PROGRAM.replace("{version}", version))
        return name


@pytest.fixture
def shell(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    clean: None,
) -> Iterator[Shell]:
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").touch()
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(root)
    connect()
    monkeypatch.setenv("APOTHIC_BACKEND", "shared")  # the one that is open
    before = dict(DECLARED)
    yield Shell(root, monkeypatch, capsys)
    sys.modules.pop("program", None)
    DECLARED.clear()
    DECLARED.update(before)


def test_an_app_is_deployed_and_called_by_name(shell: Shell) -> None:
    assert shell("deploy", f"{shell.write('1')}::demo") == "deployments:1"
    assert "demo version 1 is live (infer)" in shell.err
    DECLARED.clear()

    out = shell("run", "infer", "--app-name", "demo", "--payload", '{"args": ["x"]}')
    assert out == "1x"
    assert "inferring" in shell.err


def test_a_run_by_name_can_be_watched(shell: Shell) -> None:
    shell("deploy", f"{shell.write('1')}::demo")
    DECLARED.clear()
    payload = '{"args":["hello"],"kwargs":{}}'
    out = shell("run", "infer", "--app-name", "demo", "--payload", payload, "--watch", "--json")
    names = [json.loads(line)["event"] for line in out.splitlines()]

    assert names[-1] == "job.end"
    assert "job.result" in names


def test_deploying_the_same_again_says_so(shell: Shell) -> None:
    target = f"{shell.write('1')}::app"
    shell("deploy", target)

    assert shell.json("deploy", target)["is_new"] is False
    assert shell("deploy", target) == "deployments:1"
    assert "nothing has changed" in shell.err


def test_deployments_are_listed_and_looked_at(shell: Shell) -> None:
    target = f"{shell.write('1')}::demo"
    shell("deploy", target)
    shell.write("2")
    shell("deploy", target)
    shell("deploy", "program.py::other")

    lines = shell("deployment", "list").splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [
        ["deployments:3", "other", "1", "live"],
        ["deployments:2", "demo", "2", "live"],
        ["deployments:1", "demo", "1", "replaced"],
    ]
    assert len(shell("deployment", "list", "--live", "--app-name", "demo").splitlines()) == 2
    assert [it["version"] for it in shell.json("app", "history", "demo")["deployments"]] == [2, 1]
    assert [it["app_name"] for it in shell.json("app", "list")["deployments"]] == ["demo", "other"]
    assert "deployments:1  demo  version 1  replaced" in shell("deployment", "get", "deployments:1")
    assert shell.json("app", "get", "demo")["deployment_id"] == "deployments:2"


def test_deployments_are_rolled_back_stopped_and_deleted(shell: Shell) -> None:
    target = f"{shell.write('1')}::demo"
    shell("deploy", target)
    shell.write("2")
    shell("deploy", target)

    assert shell("deployment", "rollback", "demo") == "deployments:3"
    assert "again version 1" in shell.err
    assert shell.json("app", "rollback", "demo", "--version", "2")["of"] == 2
    assert shell.json("app", "stop", "demo", "--drain")["status"] == "stopped"
    assert shell.json("deployment", "stop", "deployments:1")["status"] == "stopped"
    shell("deployment", "delete", "deployments:1")
    shell("app", "delete", "demo")
    assert shell.json("app", "list")["deployments"] == []


def test_a_deployment_is_watched_until_it_is_deleted(shell: Shell) -> None:
    shell("deploy", f"{shell.write('1')}::demo")
    first = connect().watch("deployments:1", snapshot=True)
    cursor = str(next(first).cursor)
    shell("app", "delete", "demo")
    shell("deploy", "program.py::other")

    out = shell("deployment", "watch", "deployments:1", "--after", cursor)
    events = [json.loads(line) for line in out.splitlines()]
    assert [it["data"].get("what") for it in events] == ["stopped", None]
    assert events[-1]["event"] == "deployment.deleted"
    shell("deployment", "watch", "deployments:1", "--snapshot", code=4)
    shell("app", "watch", "other", "--after", "rubbish", code=2)
    shell("app", "watch", "other", "--after", cursor, "--snapshot", code=2)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["deploy", "missing.py"], 4),
        (["deploy", "program.py"], 2),
        (["deploy", "program.py::nobody"], 4),
        (["deployment", "get", "deployments:9"], 4),
        (["deployment", "get", "deployments:x"], 2),
        (["app", "get", "nobody"], 4),
        (["app", "get", "a/b"], 2),
        (["app", "rollback", "nobody"], 4),
        (["app", "rollback", "nobody", "--version", "0"], 2),
        (["run", "infer", "--app-name", "nobody"], 4),
    ],
)
def test_what_cannot_be_is_told(shell: Shell, words: list[str], code: int) -> None:
    shell.write("1")
    shell(*words, code=code)
    shell(*words, "--json", code=code)

    assert json.loads(shell.err)["error"]["message"]


def test_a_file_outside_of_the_project_is_not_deployed(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text("")

    shell("deploy", "../outside.py", code=2)
    assert "is not in the project" in shell.err


def test_without_a_server_nothing_is_deployed(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("raise SystemExit('it was loaded')")
    done = subprocess.run(
        [*COMMAND, "deploy", "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 4
    assert "apothic serve" in done.stderr
    assert "apothic dev" in done.stderr
