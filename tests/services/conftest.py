"""A project whose services are really served, by this machine's own control plane."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from apothic.functions import DECLARED
from apothic_backends.connection import use
from apothic_backends.registry import open_backend
from tests.services.project import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root))
    declared = dict(DECLARED)
    backend = open_backend("local")
    before = use(backend)
    try:
        project = Project(root)
        with project.undo:
            yield project
    finally:
        use(before)
        backend.close()
        DECLARED.clear()
        DECLARED.update(declared)
