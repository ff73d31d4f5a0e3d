from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.remote.proxy import Proxy
from tests.remote.serving import Served, Server, server


@pytest.fixture
def key() -> str:
    """A key that nobody else has."""
    return secrets.token_hex(8)


@pytest.fixture
def at() -> Server:
    """The server of this process."""
    return server()


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
