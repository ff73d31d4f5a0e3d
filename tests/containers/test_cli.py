"""`apothic image` and `apothic check` with images that need Docker, on a real engine."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.containers.image import NAME
from tests.integration.screens import COMMAND

pytestmark = pytest.mark.docker


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").touch()
    (root / "fonts").mkdir()
    (root / "fonts" / "a.ttf").write_text("font")
    (root / "app.py").write_text(f"""
from apothic import App, Image

app = App("boxed")
image = Image.from_registry({NAME!r}).run_commands("echo made {os.urandom(4).hex()}")


@app.function(image=image.add_local_dir("fonts", "/fonts").run_commands("cat /fonts/a.ttf"))
def good(): ...


@app.function(image=image.run_commands("echo so far; exit 3"))
def bad(): ...
""")
    return root


def apothic(project: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    own = {"APOTHIC_HOME": str(project.parent / "home")}
    return subprocess.run(
        [*COMMAND, *words],
        cwd=project,
        env={**os.environ, **own, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_what_docker_has_built_is_listed_explained_and_removed(client: Any, project: Path) -> None:
    built = apothic(project, "image", "build", "app.py::good")
    listed = json.loads(apothic(project, "image", "list", "--json").stdout)["images"]
    (mine,) = [it for it in listed if it["digest"] == built.stdout.strip()]
    explained = apothic(project, "image", "explain", "app.py::good")

    assert built.returncode == 0, built.stderr
    assert "font" in built.stderr.splitlines()
    assert mine["lane"] == "docker"
    assert mine["size_bytes"] > 0
    assert [layer["step"].split()[0] for layer in mine["layers"]] == [
        *("FROM", "run_commands", "add_local_dir", "run_commands"),
    ]
    assert "it was built here already" in explained.stderr
    other = json.loads(apothic(project, "image", "explain", "app.py::bad", "--json").stdout)
    assert [layer["built_because"] is None for layer in other["layers"]] == [True, True, False]

    assert mine["digest"] not in apothic(project, "image", "prune").stdout
    assert mine["digest"] in apothic(project, "image", "prune", "--unused-for", "0").stdout
    assert mine["digest"] not in apothic(project, "image", "list", "--json").stdout


def test_a_step_that_fails_is_told_with_its_output(client: Any, project: Path) -> None:
    done = apothic(project, "image", "build", "app.py::bad")

    assert (done.returncode, done.stdout) == (1, "")
    assert "so far" in done.stderr
    assert "exit 3" in done.stderr


def test_an_image_that_needs_docker_is_a_problem_where_there_is_none(project: Path) -> None:
    nowhere = f"unix://{project}/no.sock"
    well = apothic(project, "check", "app.py::good")
    done = apothic(project, "check", "app.py::good", DOCKER_HOST=nowhere)

    assert well.returncode == 0, well.stderr
    assert "docker: it begins with the image" in well.stdout
    assert done.returncode == 2
    assert "DOCKER_HOST" in done.stderr
    assert apothic(project, "image", "list", DOCKER_HOST=nowhere).returncode == 0
