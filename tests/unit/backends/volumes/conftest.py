"""A volume on a disk of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from apothic_backends.volumes.files import Files
from apothic_backends.volumes.local import PORTABLE, Volumes
from apothic_backends.volumes.store import Store


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    (tmp_path / "volumes").mkdir()
    return Volumes(tmp_path / "volumes")


@pytest.fixture
def store(volumes: Volumes) -> Store:
    return volumes.open("data", create=PORTABLE)


@pytest.fixture
def files(store: Store) -> Files:
    return Files(store)
