"""What code in a worker finds of the keys of the process that supervises it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from apothic_backends.connection import use
from tests.integration.agents import functions as f
from tests.integration.agents.server import AGENT, ROOT, Server
from tests.server.served import served

SECRET = "apk_0123456789ab_nobody-must-find-this"


def somebody() -> dict[str, Any]:
    """How a process is started that may not look into everything, as root may."""
    return {} if os.getuid() else {"preexec_fn": lay_down_rights}


def lay_down_rights() -> None:
    """Be a user without any rights beyond one's own from the next exec on."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(0x10000000) == 0, os.strerror(ctypes.get_errno())
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text("1000 0 1")
    Path("/proc/self/gid_map").write_text("1000 0 1")


@contextmanager
def started(command: list[str], folder: Path, **env: str) -> Generator[subprocess.Popen[bytes]]:
    own = {"APOTHIC_HOME": str(folder), "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **own, **env},
        stderr=subprocess.DEVNULL,
        preexec_fn=None if os.getuid() else lay_down_rights,  # noqa: PLW1509 - nothing else runs
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def test_the_key_of_an_agent_is_not_found_by_what_it_runs(tmp_path: Path) -> None:
    server = Server()
    before = use(server.backend)
    command = [sys.executable, "-c", AGENT, "--url", server.url, "--name", "a"]
    try:
        with started(command, tmp_path, APOTHIC_AGENT_TOKEN=SECRET) as agent:
            found = f.pry.remote(agent.pid, SECRET[::-1])
    finally:
        use(before)
        server.close()

    assert found == {"read": ["cmdline", "own environ", "ps"], "found": []}


def test_the_settings_of_a_server_are_not_found_by_what_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / SECRET
    state.mkdir()

    monkeypatch.setenv("VAST_API_KEY", SECRET)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HOME", str(tmp_path))
    with served(tmp_path, state=f"sqlite:{state}", **somebody()) as server:
        code = {"codec": "ref", "data": "tests.integration.agents.prying:pry"}
        spec = {"app_name": "a", "name": "pry"}
        function = server.reply("register-function", spec=spec, code=code)
        call = {"data": {"args": [server.process.pid, SECRET[::-1]]}}
        outcome = server.reply("run-job", function_id=function, arguments=call)

    assert outcome["result"]["data"] == {"read": ["cmdline", "own environ", "ps"], "found": []}
