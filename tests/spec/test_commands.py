"""Every command line of the spec that waits for nothing, against `apothic serve`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from tests.remote.shell import PROGRAM, Shell, project
from tests.server.served import served
from tests.spec.blocks import COMMANDS

SERVICE = """
from apothic import App

app = App("demo")

@app.asgi()
def serve():
    raise NotImplementedError
"""


def test_the_commands_that_wait_for_nothing_run(tmp_path: Path) -> None:
    shell = Shell(tmp_path, project(tmp_path / "project"))
    told: list[str] = []
    with served(tmp_path):
        shell("deploy", shell.write(PROGRAM))
        for command, waits_for in COMMANDS.items():
            if not waits_for and " logs " not in command:
                _, *words = shlex.split(command.replace("jobs:123", "jobs:1"))
                told.append(shell(*words))

    run, watch = ([json.loads(line) for line in text.splitlines()] for text in told)
    assert (run[-1]["event"], run[-2]["data"]["value"]) == ("job.end", "HELLO")
    assert watch[0]["event"] == "job.snapshot"
    assert watch[-1] == run[-1]


def test_the_commands_that_show_how_services_start_run(tmp_path: Path) -> None:
    shell = Shell(tmp_path, project(tmp_path / "project"))
    with served(tmp_path):
        shell("deploy", shell.write(SERVICE))
        for command in COMMANDS:
            if " logs " in command:
                _, *words = shlex.split(command.replace("deployments:123", "deployments:1"))
                assert shell(*words) == ""
                assert "demo/serve is asleep" in shell.err
