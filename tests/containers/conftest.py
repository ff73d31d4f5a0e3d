"""A client of the engine, which sees to it that tests leave nothing there."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apothic_backends.containers import building
from tests.containers.image import NAME

PATIENCE_S = 60.0
PROGRAM = """
import os, sys, apothic
app = apothic.App("boxed")
"""


def until(is_so: Callable[[], Any]) -> Any:
    """Wait for what the daemon does when it gets to it."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := is_so()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.fixture(autouse=True)
def no_python_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image without one gets what is at hand."""
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")


@pytest.fixture
def client() -> Iterator[Any]:
    """A client; no container and no image that was made meanwhile is left after the test."""
    import docker

    client: Any = docker.APIClient(version="auto")
    before = _containers(client)
    images = {it.digest for it in building.listed(client)}
    yield client
    until(lambda: _containers(client) <= before)
    building.prune({it.digest for it in building.listed(client)} - images, client)
    client.close()


def _containers(client: Any) -> set[str]:
    return {it["Id"] for it in client.containers(all=True)}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is found out of images stays there from test to test."""
    return tmp_path_factory.mktemp("home")


class Ran:
    """A program that uses containers, and what it has said."""

    def __init__(self, folder: Path, home: Path, text: str, **env: str) -> None:
        script = folder / "program.py"
        script.write_text(PROGRAM + textwrap.dedent(text))
        own = {"APOTHIC_HOME": str(home), "APOTHIC_EXECUTORS": f"docker:{NAME}"}
        self.process = subprocess.Popen(
            [sys.executable, str(script)],
            cwd=folder,
            env={**os.environ, **own, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def says(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def end(self) -> str:
        """What it has printed."""
        out, err = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0, err
        return out.strip()


@pytest.fixture
def ran(tmp_path: Path, home: Path, client: Any) -> Iterator[Callable[..., Ran]]:
    """Starts programs, and ends those that have not."""
    started: list[Ran] = []

    def start(text: str, **env: str) -> Ran:
        started.append(Ran(tmp_path, home, text, **env))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()
