"""The backends that every test here runs over."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from apothic_backends.base import Backend
from apothic_backends.registry import open_backend
from tests.conformance.client import Client

OPENERS: dict[str, Callable[[], Backend]] = {"local": lambda: open_backend("local")}
"""Every backend by name; each has to pass every test of this folder."""


@pytest.fixture(params=sorted(OPENERS))
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of a fresh backend, which ends with the test."""
    backend = OPENERS[request.param]()
    yield Client(backend)
    backend.close()


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both loops that a ticket can be awaited on."""
    name: str = request.param
    return name
