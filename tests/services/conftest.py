"""A project whose services are really served, by this machine's own control plane."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apothic.functions import DECLARED
from apothic_backends.connection import use
from apothic_backends.registry import open_backend
from tests.services.project import Project
from tests.services.second import Second, clear
from tests.services.served import Served


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The tests of a module whose `HOMES` names both run where services are on an agent, too."""
    if "project" in metafunc.fixturenames:
        homes = getattr(metafunc.module, "HOMES", ("here",))
        metafunc.parametrize("project", homes, indirect=True)


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Second]:
    second = Second(tmp_path_factory.mktemp("second"))
    yield second
    second.close()


@pytest.fixture
def project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Project]:
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root))
    declared = dict(DECLARED)
    is_far = request.param == "agent"
    backend = request.getfixturevalue("second").open() if is_far else open_backend("local")
    before = use(backend)
    try:
        project = Project(root)
        with project.undo:
            yield project
    finally:
        if is_far:
            clear(backend)
        use(before)
        backend.close()
        DECLARED.clear()
        DECLARED.update(declared)


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Served]]:
    """Deploys an app of the folder `apps` to a backend of its own, for a module's tests."""
    place = tmp_path_factory.mktemp("services")
    root = place / "project"
    root.mkdir()
    (root / "pyproject.toml").touch()
    before, here, declared = dict(os.environ), Path.cwd(), dict(DECLARED)
    os.chdir(root)
    sys.path.insert(0, str(root))
    os.environ |= {"APOTHIC_HOME": str(place / "home"), "GATE": str(place / "gate")}
    os.environ["CLOSED"] = str(place / "closed")
    os.mkfifo(place / "gate")
    backend = open_backend("local")
    used = use(backend)

    def deploy(name: str) -> Served:
        served = Served(root, name, backend)
        served.deploy()
        return served

    yield deploy
    use(used)
    backend.close()
    DECLARED.clear()
    DECLARED.update(declared)
    sys.path.remove(str(root))
    os.chdir(here)
    os.environ.clear()
    os.environ.update(before)
