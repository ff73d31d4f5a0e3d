"""The engines that every test of stores runs over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apothic_emulator.stores.opening import open_store
from apothic_emulator.stores.store import Store
from tests.stores.engines import LASTING, fresh_name, url_of
from tests.stores.postgres import Server, serving
from tests.stores.surreal import Shim, surreal_serving

SERVED = "surrealdb+ws"
OWNED = (*LASTING, SERVED)
ENGINES = ("memory", *OWNED)
FILES = ("sqlite", "surrealdb")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One PostgreSQL server for all tests of a process."""
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def surreal() -> Iterator[Shim]:
    """One SurrealDB server for all tests of a process that do it no harm."""
    with surreal_serving() as shim:
        yield shim


Place = Callable[[], Store]
"""Gives stores, none of them open, of one and the same place."""


def place_of(engine: str, folder: Path, server: Callable[[], Server]) -> Place:
    """A fresh place of an engine."""
    if engine == "memory":
        store = open_store("memory", folder)
        return lambda: store
    name, url = fresh_name(), url_of(engine, folder, server)
    return lambda: open_store(url, folder, name)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A fresh place of the engine that the test runs over."""
    if request.param == SERVED:
        shim: Shim = request.getfixturevalue("surreal")
        url = shim.url(fresh_name())
        return lambda: open_store(url, tmp_path)
    return place_of(request.param, tmp_path, lambda: request.getfixturevalue("server"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test over every engine that promises what it needs."""
    if "place" in metafunc.fixturenames:
        needs = {name for mark in metafunc.definition.iter_markers("needs") for name in mark.args}
        able = FILES if "files" in needs else OWNED if "lasting" in needs else ENGINES
        metafunc.parametrize("place", able, indirect=True)
