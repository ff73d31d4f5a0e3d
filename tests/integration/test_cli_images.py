"""`apothic image`, as it is typed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from apothic import Image
from apothic_backends.images import records
from tests.integration.screens import COMMAND

APP = """
from apothic import App, Image

print("imported")
app = App("demo")
slim = Image.debian_slim("3.12").pip_install("numpy")
rich = slim.apt_install("git").run_commands("set -e\\nmake").add_local_dir("data", "/data")


@app.function(image=slim)
def light(): ...


@app.function(image=rich)
def heavy(): ...


@app.endpoint(image=rich)
def page(): ...


@app.function()
def plain(): ...
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path / "home"))
    root = tmp_path / "project"
    (root / "data").mkdir(parents=True)
    (root / "pyproject.toml").touch()
    (root / "app.py").write_text(APP)
    (root / "data" / "a.csv").write_text("1,2")
    (root / "data" / ".env").write_text("SECRET=1")
    return root


def apothic(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], cwd=project, capture_output=True, text=True, timeout=60, check=False
    )


def test_explain_shows_the_dockerfile_with_the_keys_of_its_layers(project: Path) -> None:
    done = apothic(project, "image", "explain", "app.py::heavy")
    notes = [line for line in done.stdout.splitlines() if line.startswith("# ")]

    assert done.returncode == 0
    assert [note.split("  ")[1] for note in notes] == [
        "debian_slim 3.12",
        "pip_install numpy",
        "apt_install git",
        "run_commands set -e make",
        "add_local_dir data /data",
    ]
    assert '\nRUN ["/bin/sh", "-c", "set -e\\nmake"]\n' in done.stdout
    assert len({note.split()[1] for note in notes}) == len(notes)


def test_explain_says_how_it_is_run_and_why(project: Path) -> None:
    done = apothic(project, "image", "explain", "app.py::heavy")

    assert "demo/heavy: image " in done.stderr
    assert "by Docker: apt_install changes the system; run_commands may change" in done.stderr
    assert "5 of 5 layers would be built" in done.stderr
    assert f"left out: {project}/data/.env (never shipped)" in done.stderr
    light = apothic(project, "image", "explain", "app.py::light")
    assert "in a virtual environment: it has Python packages" in light.stderr
    assert "made anew as a whole: nothing that begins so was built here" in light.stderr


def test_explain_says_what_has_changed_since_it_was_built(project: Path) -> None:
    base = Image.debian_slim("3.12").pip_install("numpy").apt_install("git")
    built = base.run_commands("make").add_local_dir(project / "data", "/data")
    records.write(built.spec(), "docker")
    done = apothic(project, "image", "explain", "app.py::heavy", "--json")
    told = json.loads(done.stdout)

    assert (told["lane"], told["functions"]) == ("docker", ["demo/heavy"])
    assert [layer["built_because"] for layer in told["layers"]] == [
        *(None, None, None, "it was: run_commands make", "it comes after that"),
    ]
    assert [file["path"].rpartition("/")[2] for file in told["files"]] == ["a.csv"]


def test_explain_says_that_nothing_has_changed(project: Path) -> None:
    records.write(Image.debian_slim("3.12").pip_install("numpy").spec(), "venv")
    done = apothic(project, "image", "explain", "app.py::light")

    assert "it was built here already" in done.stderr
    assert "built:" not in done.stdout


def test_a_dockerfile_of_ones_own_stays_as_it_begins(project: Path) -> None:
    (project / "Dockerfile").write_text("# escape=`\nFROM a\n")
    (project / "own.py").write_text(
        "from apothic import App, Image\n"
        "app = App('own')\n"
        "@app.function(image=Image.from_dockerfile('Dockerfile').env(A='1'))\n"
        "def f(): ...\n"
    )
    done = apothic(project, "image", "explain", "own.py")

    assert done.stdout.startswith("# escape=`\nFROM a\n# ")
    assert done.stdout.endswith("\nENV A=1\n")


@pytest.mark.parametrize(
    ("target", "code", "told"),
    [
        ("app.py", 2, "app.py has several images; say path.py::name, such as: light, heavy"),
        ("app.py::plain", 2, "has an image: give one with image="),
        ("app.py::nothing", 4, "has no function 'nothing'; there are: demo/heavy, demo/light"),
        ("gone.py", 4, "there is no file 'gone.py'"),
    ],
)
def test_a_target_that_is_not_clear_is_refused(
    project: Path, target: str, code: int, told: str
) -> None:
    done = apothic(project, "image", "explain", target)

    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr


def test_what_cannot_be_brought_is_told(project: Path) -> None:
    (project / "data" / "a.csv").unlink()
    done = apothic(project, "image", "explain", "app.py::page", "--json")

    assert done.returncode == 2
    assert json.loads(done.stderr.splitlines()[-1])["error"]["code"] == "package_refused"


# --- building -----------------------------------------------------------------------------------

SMALL = """
from apothic import App, Image

app = App("small")
image = Image.debian_slim().env(A="1").add_local_python_source("brought")


@app.function(image=image)
def one(): ...


@app.function(image=image)
def two(): ...


@app.function(image=Image.debian_slim().pip_install("no-such-package", extra_options="--no-index"))
def failing(): ...
"""


@pytest.fixture
def small(project: Path) -> Path:
    (project / "small.py").write_text(SMALL)
    (project / "brought.py").write_text("X = 1")
    return project


def test_images_are_built_once_and_listed_with_what_they_are(small: Path) -> None:
    built = apothic(small, "image", "build", "small.py::one")
    again = apothic(small, "image", "build", "small.py::two")
    listed = json.loads(apothic(small, "image", "list", "--json").stdout)["images"]

    assert (built.returncode, again.returncode) == (0, 0), built.stderr
    assert built.stdout == again.stdout
    assert [it["digest"] for it in listed] == [built.stdout.strip()]
    assert listed[0]["lane"] == "venv"
    assert listed[0]["size_bytes"] > 0
    assert [layer["step"].split()[0] for layer in listed[0]["layers"]] == [
        *("FROM", "env", "add_local_python_source"),
    ]
    shown = apothic(small, "image", "list").stdout.splitlines()
    assert shown[1].startswith(built.stdout[:12] + "  venv  ")
    assert "it was built here already" in apothic(small, "image", "explain", "small.py::one").stderr


def test_what_was_not_used_for_long_is_removed(small: Path) -> None:
    digest = apothic(small, "image", "build", "small.py::one").stdout.strip()
    kept = apothic(small, "image", "prune")
    removed = apothic(small, "image", "prune", "--unused-for", "0")

    assert kept.stdout == ""
    assert removed.stdout.strip() == digest
    assert apothic(small, "image", "list").stdout.splitlines()[1:] == []


def test_a_build_that_fails_says_which_step_and_what_the_tool_said(small: Path) -> None:
    done = apothic(small, "image", "build", "small.py::failing", "--json")
    told = json.loads(done.stderr.splitlines()[-1])["error"]

    assert (done.returncode, done.stdout) == (1, "")
    assert told["code"] == "image_build_failed"
    assert "no-such-package" in told["step"]
    assert "no-such-package" in told["output"]
    assert apothic(small, "image", "list").stdout.splitlines()[1:] == []
