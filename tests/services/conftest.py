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
from tests.services.third import Third

ALL = os.environ.get("APOTHIC_CONFORMANCE") == "all"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The tests of a module run in all of its `HOMES`: here, and where services are on an agent.

    And where these are on rented machines, with `APOTHIC_CONFORMANCE=all`.
    """
    named = getattr(metafunc.module, "HOMES", ("here",))
    homes = [home for home in named if ALL or home != "rented"]
    if "project" in metafunc.fixturenames:
        metafunc.parametrize("project", homes, indirect=True)
    if "serve" in metafunc.fixturenames:
        metafunc.parametrize("serve", homes, indirect=True, scope="module")


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Second]:
    second = Second(tmp_path_factory.mktemp("second"))
    yield second
    second.close()


@pytest.fixture(scope="session")
def third(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Third]:
    third = Third(tmp_path_factory.mktemp("third"))
    yield third
    third.close()


@contextmanager
def at_home(request: pytest.FixtureRequest) -> Generator[Backend]:
    """The control plane of the home that is asked for; nothing is left at the second."""
    if request.param == "here":
        with using(open_backend("local")) as backend:
            yield backend
        return
    home = {"agent": "second", "rented": "third"}[request.param]
    with using(request.getfixturevalue(home).open()) as backend:
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
