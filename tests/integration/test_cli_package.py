"""`apothic package`, as it is typed."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.integration.screens import COMMAND


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "app.py").write_text("x = 1\n")
    (tmp_path / ".env").write_text("SECRET=1")
    return tmp_path


def apothic(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], cwd=project, capture_output=True, text=True, timeout=60, check=False
    )


def test_it_says_how_much_would_be_shipped(project: Path) -> None:
    done = apothic(project, "package")

    assert (done.returncode, done.stdout) == (0, "")
    assert f"{project}: 2 files, 6 B, 1 left out, sha256 " in done.stderr


def test_it_lists_the_files(project: Path) -> None:
    done = apothic(project, "package", "--list", "-q")

    assert done.stdout == "6 B  app.py\n0 B  pyproject.toml\n"
    assert done.stderr == "left out: .env (never shipped)\n"


def test_it_writes_the_archive(project: Path, tmp_path: Path) -> None:
    done = apothic(project, "package", "--out", "code.tar", "--json")
    told = json.loads(done.stdout)

    assert told["digest"] == hashlib.sha256((project / "code.tar").read_bytes()).hexdigest()
    assert [file["path"] for file in told["files"]] == ["app.py", "pyproject.toml"]
    assert told["left_out"] == {".env": "never shipped"}
    with tarfile.open(project / "code.tar") as tar:
        assert tar.getnames() == ["app.py", "pyproject.toml"]


def test_what_cannot_be_shipped_is_told(project: Path) -> None:
    (project / "link").symlink_to("/etc/passwd")
    done = apothic(project, "package", "--json")

    assert (done.returncode, done.stdout) == (2, "")
    assert json.loads(done.stderr)["error"]["code"] == "package_refused"


def test_a_file_that_cannot_be_written_is_told(project: Path) -> None:
    done = apothic(project, "package", "--out", "no/such/folder.tar")

    assert done.returncode == 2
    assert "no/such/folder.tar cannot be written" in done.stderr
