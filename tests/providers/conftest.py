"""Each provider over a fake of its API, in virtual time, for the tests that all of them pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.providers.fly import fly_rig
from tests.providers.rigs import Rig
from tests.providers.vast.rig import vast_rig

RIGS: dict[str, Callable[[Path], AbstractContextManager[Rig]]] = {"fly": fly_rig, "vast": vast_rig}


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """A provider and its fake; what the provider asked for was always allowed."""
    with RIGS[request.param](tmp_path) as one:
        yield one
        assert one.violations == []
