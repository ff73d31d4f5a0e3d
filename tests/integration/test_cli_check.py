"""`apothic check`, as it is typed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.integration.screens import COMMAND

GOOD = """
from apothic import App, Secret, method

print("imported")
app = App("demo")


@app.function(gpu=["H100", "A100"], gpu_count=2, min_vram_gb=40)
def train(): ...


@app.function(secrets=[Secret.from_dict({"TOKEN": "hunter2"})])
def fetch(): ...


@app.endpoint()
def page(): ...


@app.cls()
class Thing:
    @method()
    def do(self): ...
"""

BAD = """
from apothic import App, Image, Secret

app = App("demo")


@app.function(secrets=[Secret.from_name("NO_SUCH_SECRET_HERE")])
def needs_secret(): ...


@app.function(image=Image.debian_slim().add_local_dir("gone", "/x"))
def needs_files(): ...
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path / "home"))
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").touch()
    (root / "good.py").write_text(GOOD)
    (root / "bad.py").write_text(BAD)
    return root


def apothic(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], cwd=project, capture_output=True, text=True, timeout=60, check=False
    )


def test_what_is_well_is_told_function_by_function(project: Path) -> None:
    done = apothic(project, "check", "good.py")
    lines = [line.split("  ") for line in done.stdout.splitlines()]

    assert done.returncode == 0, done.stderr
    assert [[cell.strip() for cell in line if cell] for line in lines] == [
        ["FUNCTION", "IMAGE", "GPU", "SECRETS"],
        ["demo/train", "2 x H100 or A100 of 40 GB", "fine"],
        ["demo/fetch", "Secret(TOKEN)", "fine"],
        ["demo/page", "fine"],
        ["demo/Thing", "fine"],
    ]
    assert f"{project}: 3 files, " in done.stderr
    assert done.stderr.endswith("all is well\n")
    assert "hunter2" not in done.stdout + done.stderr


def test_all_that_is_wrong_is_told_at_once(project: Path) -> None:
    (project / "link").symlink_to("/etc/passwd")
    done = apothic(project, "check", "bad.py")

    assert done.returncode == 2
    assert "these links lead to what is not shipped: link" in done.stderr
    assert "demo/needs_secret: " in done.stderr
    assert "NO_SUCH_SECRET_HERE" in done.stderr
    assert f"demo/needs_files: add_local_dir: {project}/gone is no folder" in done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines()[1:]] == ["problem", "problem"]


def test_one_function_can_be_looked_at(project: Path) -> None:
    done = apothic(project, "check", "--json", "good.py::train")
    told = json.loads(done.stdout)

    assert done.returncode == 0
    assert told["functions"] == [
        {
            "name": "demo/train",
            "lane": None,
            "reasons": None,
            "gpu": "2 x H100 or A100 of 40 GB",
            "secrets": [],
            "problems": [],
        }
    ]


def test_a_file_that_fails_says_where(project: Path) -> None:
    (project / "broken.py").write_text("import no_such_module\n")
    done = apothic(project, "check", "broken.py")

    assert done.returncode == 1
    assert "broken.py" in done.stderr
    assert "no_such_module" in done.stderr
