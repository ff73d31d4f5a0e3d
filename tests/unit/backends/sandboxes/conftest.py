from __future__ import annotations

from pathlib import Path

import pytest

from apothic_backends.sandboxes import beneath
from apothic_backends.sandboxes.files import Files


@pytest.fixture(params=["openat2", "steps"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of the two ways to open."""
    if request.param == "steps":
        monkeypatch.setattr(beneath, "is_kernel_able", lambda: False)
    elif not beneath.is_kernel_able():
        pytest.skip("the kernel has no openat2")
    return request.param


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace; what is beside it is none of its business."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work-evil").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "canary").write_text("canary")
    return tmp_path / "work"


@pytest.fixture
def files(root: Path) -> Files:
    return Files(root)
