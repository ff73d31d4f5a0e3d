"""The backends that every test here runs over."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from apothic_backends.base import Backend
from apothic_backends.connection import use
from apothic_backends.project import STATE
from apothic_backends.registry import open_backend
from tests.conformance.client import Client, Gate

OPENERS: dict[str, Callable[[], Backend]] = {
    name: partial(open_backend, name) for name in ("inline", "local")
}
"""Every backend by name; each has to pass every test of this folder."""

DURABLE = "sqlite"
"""`local` with a store."""

_folders = count()


def _open_durable(folder: Path) -> Backend:
    """The same with a store, a fresh one each time."""
    before = os.environ.get(STATE)
    os.environ[STATE] = f"sqlite:{folder / str(next(_folders))}"
    try:
        return open_backend("local")
    finally:
        if before is None:
            del os.environ[STATE]
        else:
            os.environ[STATE] = before


LACKS = {
    "inline": {
        "stopping": "a call runs in the caller's own thread, which nothing can stop",
        "processes": "all is one process: nothing can die without the program",
        "trees": "the code is this program's own, which is loaded already",
        "descriptors": "only what goes through Python's streams is seen",
    }
}
"""What a backend does not promise, by the name that a test says it needs with `needs(...)`."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test over every backend that promises what it needs."""
    if "client" in metafunc.fixturenames:
        needs = {name for mark in metafunc.definition.iter_markers("needs") for name in mark.args}
        able = [
            name for name in sorted([*OPENERS, DURABLE]) if not needs & LACKS.get(name, {}).keys()
        ]
        metafunc.parametrize("client", able, indirect=True)


@pytest.fixture
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    """A client of a fresh backend, which ends with the test."""
    name = request.param
    backend = _open_durable(tmp_path) if name == DURABLE else OPENERS[name]()
    before = use(backend)  # what code finds that runs in this very process
    yield Client(backend)
    use(before)
    backend.close()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Where calls wait until the test lets them go."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.close()


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both loops that a ticket can be awaited on."""
    name: str = request.param
    return name
