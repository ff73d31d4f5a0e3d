"""Fixtures for tests with real processes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from apothic import Function
from tests.integration.support import nothing_leaks, runner


@pytest.fixture(scope="session", autouse=True)
def _own_temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What programs leave among temporary files is looked for where no other tests leave any."""
    own = str(tmp_path_factory.mktemp("tmp"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", own)
        patch.setattr(tempfile, "tempdir", own)
        yield


@pytest.fixture
def clean() -> Iterator[None]:
    """A backend of the test's own, which leaves nothing behind."""
    with nothing_leaks():
        yield


@pytest.fixture
def run(clean: None) -> Iterator[Function[..., Any]]:
    """A function that calls what it is given; after the test it must still work."""
    function = runner()
    yield function
    assert function.remote(lambda: "fine") == "fine"
