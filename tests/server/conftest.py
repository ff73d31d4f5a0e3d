"""A server for many tests, none of which changes what the others see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.served import Served, served


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a key of its operator."""
    with served(tmp_path_factory.mktemp("server")) as one:
        yield one


HASTY = """
from apothic_emulator.server import guard, protocol
protocol.HEAD_S = protocol.LINGER_S = guard.WRITE_S = 2.0
"""


@pytest.fixture(scope="session")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One with less patience for those who are slow."""
    with served(tmp_path_factory.mktemp("hasty"), before=HASTY) as one:
        yield one


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder for a server of the test's own."""
    return tmp_path
