"""The fake market for other tests: `from tests.fakes.vast.fixtures import vast_fake`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.serving import served
from tests.fakes.vast.fake import FakeVast


@pytest.fixture
def vast_fake(tmp_path: Path) -> Iterator[FakeVast]:
    """One whose machines run, in real time; whoever asks it has to keep to its document."""
    with served(FakeVast(folder=tmp_path / "vast")) as fake:
        yield fake
    assert fake.violations == []
