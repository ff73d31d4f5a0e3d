"""Packages to install, and the two places where functions with images run."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apothic_backends.connection import connected, use
from tests.images.packages import make_wheel
from tests.integration.agents.server import Server, start_agent
from tests.integration.support import children, is_alive, name_of, open_files, reaches_network


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that pip and uv find: a folder with one tiny package."""
    folder = tmp_path / "packages"
    folder.mkdir()
    make_wheel(folder, "greeting_of_test")
    for tool in ("PIP", "UV"):
        monkeypatch.setenv(f"{tool}_NO_INDEX", "1")
        monkeypatch.setenv(f"{tool}_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where environments are made."""
    folder = tmp_path / "home"
    monkeypatch.setenv("APOTHIC_HOME", str(folder))
    return folder


@contextmanager
def backend_alone() -> Generator[None]:
    """A backend for the block alone; afterwards no process and no descriptor of it is left.

    Sockets of the network do not count: it opens none, and agents that other tests have started
    may connect to their server in this process at any time.
    """
    processes, descriptors, before = children(), open_files(), use(None)
    try:
        yield
    finally:
        backend = connected()
        if backend is not None:
            backend.close()
        use(before)
    assert {name_of(pid): pid for pid in children() - processes if is_alive(pid)} == {}
    left = {fd: what for fd, what in open_files().items() if fd not in descriptors}
    assert {fd: what for fd, what in left.items() if not reaches_network(fd)} == {}


@pytest.fixture
def here(home: Path) -> Iterator[Path]:
    """Functions run below this process, and nothing is left of them."""
    with backend_alone():
        yield home


@pytest.fixture(params=["here", "agent"])
def place(request: pytest.FixtureRequest, home: Path, tmp_path: Path) -> Iterator[Path]:
    """Functions run below this process, or below an agent; the home of where they do."""
    if request.param == "here":
        with backend_alone():
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
