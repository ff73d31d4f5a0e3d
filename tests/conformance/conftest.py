"""The backends that every test here runs over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from apothic_backends.base import Backend
from apothic_backends.connection import use
from apothic_backends.registry import open_backend
from tests.conformance.client import Client

OPENERS: dict[str, Callable[[], Backend]] = {
    name: partial(open_backend, name) for name in ("inline", "local")
}
"""Every backend by name; each has to pass every test of this folder."""

LACKS = {
    "inline": {
        "stopping": "a call runs in the caller's own thread, which nothing can stop",
        "processes": "all is one process: nothing can die without the program",
        "descriptors": "only what goes through Python's streams is seen",
    }
}
"""What a backend does not promise, by the name that a test says it needs with `needs(...)`."""


@pytest.fixture(params=sorted(OPENERS))
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of a fresh backend, which ends with the test."""
    lacks = LACKS.get(request.param, {})
    for mark in request.node.iter_markers("needs"):
        for name in mark.args:
            if name in lacks:
                pytest.skip(f"{request.param} lacks {name}: {lacks[name]}")
    backend = OPENERS[request.param]()
    before = use(backend)  # what code finds that runs in this very process
    yield Client(backend)
    use(before)
    backend.close()


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both loops that a ticket can be awaited on."""
    name: str = request.param
    return name
