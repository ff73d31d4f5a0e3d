from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.remote.proxy import Proxy
from tests.remote.serving import Served, Server, server as of_this_process
from tests.server import served as processes


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the user of a server in a process of its own has."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[processes.Served]:
    """A server in a process of its own, for all tests of a module."""
    with processes.served(home) as server:
        yield server


@pytest.fixture
def key() -> str:
    """A key that nobody else has."""
    return secrets.token_hex(8)


@pytest.fixture
def at() -> Server:
    """The server of this process."""
    return of_this_process()


@pytest.fixture
def served(at: Server, key: str, tmp_path: Path) -> Iterator[Served]:
    """A control plane behind the key; a client that is cut off is dead half a second later."""
    (tmp_path / "served").mkdir()
    yield at.serve(key, tmp_path / "served", grace_s=0.5)
    if key in at.planes:
        at.end(key)


@pytest.fixture
def proxy(at: Server) -> Iterator[Proxy]:
    """A proxy before the server, which passes everything on until it is told otherwise."""
    proxy = Proxy(at.port)
    yield proxy
    proxy.close()
