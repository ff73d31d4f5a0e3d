from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.emulator.executors.web.doors import Door


@pytest.fixture
def door() -> Iterator[Door]:
    """Where two processes of a service take connections."""
    made = Door()
    yield made
    made.close()
