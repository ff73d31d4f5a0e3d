"""Services on a server of this machine, and how far they are, on the command line."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest

from tests.remote.shell import Shell, project
from tests.server.served import Served

PROGRAM = """
import json
from apothic import App

app = App("demo")

def answering(body, path):
    async def serving(scope, receive, send):
        if scope["type"] != "http":
            raise RuntimeError(scope["type"])
        status = 200 if scope["path"] in ("/", path) else 404
        said = body if scope["path"] == path else b"hello"
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": said})
    return serving

TAIL = json.dumps({"startup_log_tail": ["loading", "ready"]}).encode()

@app.asgi()
def model():
    print("made")
    return answering(TAIL, "/healthz")

@app.asgi()
def own():
    return answering(json.dumps({"startup_log_tail": "as it likes"}).encode(), "/how")

@app.asgi()
def silent():
    print("only printed")
    return answering(b"no json", "/health")

@app.function()
def infer(value: str) -> str:
    return value
"""


@pytest.fixture(scope="module")
def shell(server: Served, home: Path) -> Shell:
    """A shell in a project that is deployed, and whose services are up."""
    shell = Shell(home, project(home / "project"))
    shell("deploy", shell.write(PROGRAM))
    for name in ("model", "own", "silent"):
        with urllib.request.urlopen(url_of(shell, name)) as answer:
            assert answer.read() == b"hello"
    return shell


def url_of(shell: Shell, name: str) -> str:
    told = shell.json("deployment", "logs", "demo", "--function-name", name)
    return str(told["url"])


def test_a_service_says_in_its_health_how_far_it_is(shell: Shell) -> None:
    said = shell("deployment", "logs", "deployments:1", "--function-name", "model")

    assert said == "loading\nready"
    assert "demo/model is up: /healthz" in shell.err


def test_it_may_say_it_elsewhere(shell: Shell) -> None:
    said = shell("deployment", "logs", "demo", "--function-name", "own", "--health-path", "/how")

    assert said == "as it likes"


def test_of_one_that_says_nothing_it_is_what_it_has_printed(shell: Shell) -> None:
    assert shell("deployment", "logs", "demo", "--function-name", "silent") == "only printed"


def test_of_several_each_line_says_whose_it_is(shell: Shell) -> None:
    said = shell("deployment", "logs", "demo").splitlines()

    assert "model | loading" in said
    assert "silent | only printed" in said


def test_what_is_no_service_is_an_error_that_lists_those_that_are(shell: Shell) -> None:
    shell("deployment", "logs", "demo", "--function-name", "infer", code=4)

    assert "no service 'infer'; there are: model, own, silent" in shell.err
