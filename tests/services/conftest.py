"""A project whose services are really served, by this machine's own control plane."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apothic_backends.base import Backend
from apothic_backends.registry import open_backend
from tests.services.placing import standing_in, using
from tests.services.project import Project
from tests.services.second import Second, clear
from tests.services.served import Served


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The tests of a module whose `HOMES` names both run where services are on an agent, too."""
    homes = getattr(metafunc.module, "HOMES", ("here",))
    if "project" in metafunc.fixturenames:
        metafunc.parametrize("project", homes, indirect=True)
    if "serve" in metafunc.fixturenames:
        metafunc.parametrize("serve", homes, indirect=True, scope="module")


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Second]:
    second = Second(tmp_path_factory.mktemp("second"))
    yield second
    second.close()


@contextmanager
def at_home(request: pytest.FixtureRequest) -> Generator[Backend]:
    """The control plane of the home that is asked for; nothing is left at the second."""
    if request.param == "here":
        with using(open_backend("local")) as backend:
            yield backend
        return
    with using(request.getfixturevalue("second").open()) as backend:
        yield backend
        clear(backend)


@pytest.fixture
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Project]:
    with standing_in(tmp_path) as root, at_home(request):
        project = Project(root)
        with project.undo:
            yield project


@pytest.fixture(scope="module")
def serve(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Served]]:
    """Deploys an app of the folder `apps` to a backend of its own, for a module's tests."""
    place = tmp_path_factory.mktemp("services")
    os.mkfifo(place / "gate")
    with pytest.MonkeyPatch.context() as patch, standing_in(place) as root:
        patch.setenv("GATE", str(place / "gate"))
        patch.setenv("CLOSED", str(place / "closed"))
        with at_home(request) as backend:

            def deploy(name: str) -> Served:
                served = Served(root, name, backend)
                served.deploy()
                return served

            yield deploy
