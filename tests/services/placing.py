"""A project on the disk that tests work in, and leave as if nothing had been."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apothic.functions import DECLARED
from apothic_backends.base import Backend
from apothic_backends.connection import use


@contextmanager
def standing_in(place: Path) -> Generator[Path]:
    """The root of a project below `place`, in which the block works, with a home of its own."""
    root = place / "project"
    root.mkdir()
    (root / "pyproject.toml").touch()
    declared = dict(DECLARED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APOTHIC_HOME", str(place / "home"))
        patch.chdir(root)
        patch.syspath_prepend(str(root))
        try:
            yield root
        finally:
            sys.modules.pop("program", None)
            DECLARED.clear()
            DECLARED.update(declared)


@contextmanager
def using(backend: Backend) -> Generator[Backend]:
    """The control plane of the block, which is closed after it."""
    before = use(backend)
    try:
        yield backend
    finally:
        use(before)
        backend.close()
