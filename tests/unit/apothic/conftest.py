from __future__ import annotations

from collections.abc import Iterator

import pytest

from apothic._connect import use
from tests.unit.apothic.threads import ThreadBackend


@pytest.fixture
def backend() -> Iterator[ThreadBackend]:
    """What the SDK talks to in this test."""
    backend = ThreadBackend()
    before = use(backend)
    yield backend
    use(before)


@pytest.fixture
def held(backend: ThreadBackend) -> ThreadBackend:
    """The same, holding every job in its queue."""
    backend.is_held = True
    return backend
