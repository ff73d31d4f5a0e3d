"""What every test may rely on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apothic_backends.connection import connected, use


@pytest.fixture(autouse=True)
def no_backend_is_left_open() -> Iterator[None]:
    """A backend that a test opened by merely using the SDK ends with that test."""
    before = connected()
    yield
    backend = connected()
    if backend is not None and backend is not before:
        use(before)
        backend.close()
