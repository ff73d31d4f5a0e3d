"""The fake of Fly for other tests: `from tests.fakes.fly.fixtures import fly_fake`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.fly.fake import FakeFly
from tests.fakes.serving import served


@pytest.fixture
def fly_fake(tmp_path: Path) -> Iterator[FakeFly]:
    """It runs in real time, and its machines live below the test's folder; all that is asked of it
    has to be allowed.
    """
    with served(FakeFly(tmp_path / "fly")) as fake:
        yield fake
    assert fake.violations == []
