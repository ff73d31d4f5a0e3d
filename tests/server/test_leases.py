"""How long nothing need be heard of a machine that has joined: as the server is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from apothic_emulator.server.commands import serve
from tests.server.served import served


@pytest.mark.parametrize(
    ("option", "number", "wanted"),
    [
        ("--agent-lease", "0.9", "1<=x<=3600"),
        ("--agent-lease", "3601", "1<=x<=3600"),
        ("--agent-grace", "-1", "0<=x<=86400"),
        ("--agent-grace", "86401", "0<=x<=86400"),
    ],
)
def test_times_that_cannot_be_are_refused(option: str, number: str, wanted: str) -> None:
    ran = CliRunner().invoke(serve, [option, number])

    assert ran.exit_code == 2
    assert wanted in ran.output


def test_what_a_machine_ran_is_lost_after_the_lease_and_the_grace_that_were_told(
    tmp_path: Path,
) -> None:
    spec = {"app_name": "leases", "name": "sleep", "timeout_s": 3600.0}
    code = {"codec": "ref", "data": "time:sleep"}
    with served(tmp_path, "--no-agent", "--agent-lease", "1", "--agent-grace", "0") as server:
        machine = subprocess.Popen(
            [sys.executable, "-m", "apothic.cli", "agent", "--url", f"http://{server.own_host}"],
            cwd=tmp_path,
            env={
                **os.environ,
                "APOTHIC_HOME": str(tmp_path),
                "APOTHIC_AGENT_TOKEN": server.key("agent"),
            },
            stderr=subprocess.DEVNULL,
        )
        function = server.reply("register-function", spec=spec, code=code)
        arguments = {"data": {"args": [3600]}}
        job = server.reply("submit-job", function_id=function, arguments=arguments)
        while server.reply("get-job", job_id=job)["status"] != "running":
            pass
        machine.send_signal(signal.SIGKILL)
        machine.wait()

        outcome = server.reply("wait-job", job_id=job)

    assert outcome["status"] == "lost", json.dumps(outcome)
