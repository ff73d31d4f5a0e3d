"""Examples of functions that are generated, as programs, where no model is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with the examples."""
    (tmp_path / "pyproject.toml").touch()
    for path in (EXAMPLES / "scripted_model.py", *EXAMPLES.glob("*liv_*.py")):
        shutil.copy(path, tmp_path)
    return tmp_path


def run(folder: Path, name: str) -> str:
    """What an example prints."""
    kept = {it: text for it, text in os.environ.items() if not it.startswith("APOTHIC_LIV_")}
    ran = subprocess.run(
        [sys.executable, name],
        cwd=folder,
        env=kept | {"APOTHIC_HOME": str(folder / "home")},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_preview_shows_a_repaired_answer_and_freezes_nothing(folder: Path) -> None:
    told = run(folder, "liv_freeze_preview.py")

    assert '"answers": 2' in told
    assert "return re.sub('[^a-z0-9]+', '-', title.lower()).strip('-')" in told
    assert not (folder / "apothic_liv").exists()


def test_a_generated_function_is_deployed_and_called(folder: Path) -> None:
    assert run(folder, "run_liv_roundtrip.py") == "deployments:1\nstatus:ready\n"
    assert (folder / "apothic_liv" / "liv_demo" / "normalize_status.py").exists()


def test_a_generated_endpoint_answers(folder: Path) -> None:
    told = run(folder, "run_liv_endpoint_roundtrip.py")

    assert told.replace(" ", "") == '{"status":"ready","source":"liv"}\n'
