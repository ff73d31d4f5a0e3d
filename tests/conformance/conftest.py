"""The backends that every test here runs over."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from apothic_backends.base import Backend
from apothic_backends.connection import use
from apothic_backends.registry import open_backend
from tests.conformance.client import Client, Gate
from tests.containers.opening import open_in_containers
from tests.remote.joined import Joined
from tests.remote.proxy import Faults
from tests.remote.rented import Rented
from tests.remote.serving import open_served
from tests.stores.engines import LASTING, fresh_name, url_of
from tests.stores.postgres import Server, serving
from tests.warm import open_warm

OPENERS: dict[str, Callable[[Path], Backend]] = {
    "inline": lambda _: open_backend("inline"),
    "local": lambda folder: open_warm("memory", folder, fresh_name()),
    "remote": open_served,
}
"""Every backend by name; each has to pass every test of this folder. The server that is behind
`remote` keeps its state with `sqlite`."""

BAD = Faults(cut=0.01, delay=0.1, duplicate=0.1)
"""What a proxy does to each message between a client and a server."""

PROXIED: dict[str, Callable[[Path], Backend]] = {"proxied": partial(open_served, faults=BAD)}
"""The `remote` backend through a proxy that cuts, delays and duplicates."""

PROXY_FILES = ("test_items", "test_jobs", "test_locks")
"""Those that run through it always: what is waited for longest."""

DOCKER = "docker"
"""The `local` backend with each executor in a container, which sees what a test has on the disk."""

AGENTS = "agents"
"""The `remote` backend with a server that runs nothing itself, and two agents, all through such a
proxy."""

CLOUD = "cloud"
"""The `remote` backend with a server that runs nothing itself, and rents from the fakes of Fly and
Vast: each test's machines are made for it, when it calls something."""

CLOUD_FILES = ("test_agents", "test_sandbox_ports", "test_sandbox_secrets", "test_schedules")
"""Those that run there always: small ones, for each way to what runs on a machine."""

AGENT_FILES = ("test_archives", "test_items", "test_jobs", "test_secrets", "test_volumes")
"""Those that run there always: what happens around a call."""

DOCKER_FILES = ("test_batches", "test_items", "test_jobs", "test_secrets", "test_volumes")
"""Those that run in containers always: what happens in and around an executor."""

STATE_FILES = ("test_dicts", "test_jobs", "test_locks", "test_queues")
"""Those that run over `local` with every engine, too: all that a store is given to keep. Which
loop a program waits on is all the same to a store: one is tried."""

ALL = os.environ.get("APOTHIC_CONFORMANCE") == "all"
"""Whether every test runs over every engine and through the proxy; that takes twice as long."""


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One PostgreSQL server for all tests of a process."""
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Joined]:
    """The agents of a process."""
    joined = Joined(tmp_path_factory.mktemp("joined"), BAD)
    yield joined
    joined.close()


@pytest.fixture(scope="session")
def rented(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rented]:
    """The providers of a process."""
    rented = Rented(tmp_path_factory.mktemp("rented"))
    yield rented
    rented.close()


LACKS = {
    "inline": {
        "stopping": "a call runs in the caller's own thread, which nothing can stop",
        "processes": "all is one process: nothing can die without the program",
        "trees": "the code is this program's own, which is loaded already",
        "descriptors": "only what goes through Python's streams is seen",
    },
    DOCKER: {
        "pids": "the number of a process means nothing outside of its container",
        "paths": "where a test has shown a folder, Docker makes the paths in it that it mounts at",
        "gpus": "a container is given devices by a driver, so none can be invented",
    },
    AGENTS: {
        "environment": "a call has the environment of its machine, and not that of its caller",
        "files": "a call has the files that are shipped, and no others of its caller's",
        "lines": "what has not begun when a line is cut goes elsewhere, with another number",
        "home": "there are machines, which join when they like",
    },
    CLOUD: {
        "environment": "a call has the environment of its machine, and not that of its caller",
        "files": "a call has the files that are shipped, and no others of its caller's",
        "home": "whatever runs does so on a machine that was rented for it",
        "disk": "what is on the disk of a machine is seen there alone",
        "haste": "a sandbox's time counts from when it is asked for, and a machine has to be made",
    },
}
"""What a backend does not promise, by the name that a test says it needs with `needs(...)`."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test over every backend that promises what it needs."""
    if "client" in metafunc.fixturenames:
        needs = {name for mark in metafunc.definition.iter_markers("needs") for name in mark.args}
        file = metafunc.definition.path.stem
        engines = LASTING if ALL or file in STATE_FILES else ()
        proxied = PROXIED if ALL or file in PROXY_FILES else ()
        agents = (AGENTS,) if ALL or file in AGENT_FILES else ()
        cloud = (CLOUD,) if ALL or file in CLOUD_FILES else ()
        names = sorted([*OPENERS, *engines, *proxied, *agents, *cloud])
        able = [name for name in names if not needs & LACKS.get(name, {}).keys()]
        is_able = (ALL or file in DOCKER_FILES) and not needs & LACKS[DOCKER].keys()
        docker = [DOCKER] if is_able else []
        marked = [pytest.param(name, marks=pytest.mark.docker) for name in docker]
        metafunc.parametrize("client", [*able, *marked], indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what would prove nothing more: each store, and agents, on a second loop.

    And what needs, with its own arguments, what its backend lacks.
    """
    left_out = [it for it in items if _lacks(it) or (not ALL and _is_on_second_loop(it))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def _params(item: pytest.Item) -> dict[str, Any]:
    called: Any = getattr(item, "callspec", None)
    return {} if called is None else called.params


def _lacks(item: pytest.Item) -> bool:
    lacking = LACKS.get(str(_params(item).get("client")), {})
    return any(name in lacking for mark in item.iter_markers("needs") for name in mark.args)


def _is_on_second_loop(item: pytest.Item) -> bool:
    params, once = _params(item), (*LASTING, AGENTS, CLOUD, DOCKER)
    return params.get("client") in once and params.get("anyio_backend") == "trio"


@pytest.fixture
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    """A client of a fresh backend, which ends with the test."""
    name = request.param
    opener = OPENERS.get(name) or PROXIED.get(name)
    if opener is not None:
        backend = opener(tmp_path)
    elif name == DOCKER:
        backend = open_in_containers(tmp_path)
    elif name == CLOUD:
        backend = request.getfixturevalue("rented").open()
    elif name == AGENTS:
        backend = request.getfixturevalue("joined").open()
    else:
        url = url_of(name, tmp_path, lambda: request.getfixturevalue("server"))
        backend = open_warm(url, tmp_path, fresh_name())
    before = use(backend)  # what code finds that runs in this very process
    yield Client(backend, is_cut_off=name == AGENTS or name in PROXIED)
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
