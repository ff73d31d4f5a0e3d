"""Packages to install, and the two places where functions with images run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from apothic_backends.connection import use
from tests.images.packages import make_wheel
from tests.integration.agents.server import Server, start_agent
from tests.integration.support import nothing_leaks


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that pip and uv find: a folder with one tiny package."""
    folder = tmp_path / "packages"
    folder.mkdir()
    make_wheel(folder, "greeting")
    for tool in ("PIP", "UV"):
        monkeypatch.setenv(f"{tool}_NO_INDEX", "1")
        monkeypatch.setenv(f"{tool}_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where environments are made."""
    folder = tmp_path / "home"
    monkeypatch.setenv("APOTHIC_HOME", str(folder))
    return folder


@pytest.fixture
def here(home: Path) -> Iterator[Path]:
    """Functions run below this process, and nothing is left of them."""
    with nothing_leaks():
        yield home


@pytest.fixture(params=["here", "agent"])
def place(request: pytest.FixtureRequest, home: Path, tmp_path: Path) -> Iterator[Path]:
    """Functions run below this process, or below an agent; the home of where they do."""
    if request.param == "here":
        with nothing_leaks():
            yield home
        return
    server = Server(lease_s=30.0)
    before = use(server.backend)
    agent = start_agent(server.url, tmp_path / "agent")
    server.until_there("a")
    yield tmp_path / "agent"
    use(before)
    agent.terminate()
    assert agent.wait(30) == 0
    server.close()


def whole(home: Path) -> list[str]:
    """The environments that are there, by their digests."""
    return sorted(it.parent.name for it in (home / "images").glob("*/.whole"))


def begun(home: Path) -> list[str]:
    """Folders of environments, whole or not."""
    found = (home / "images").glob("*/pyvenv.cfg")
    return sorted(it.parent.name for it in found)


def record(home: Path) -> dict[str, object]:
    """What is remembered of the one environment that was made."""
    (path,) = (home / "images").glob("*.json")
    found: dict[str, object] = json.loads(path.read_text())
    return found
