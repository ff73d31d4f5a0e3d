"""`apothic volume`, as people type it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


class Cli:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "APOTHIC_HOME": str(folder / "home")}

    def raw(self, *args: str, stdin: bytes = b"", code: int = 0) -> tuple[bytes, str]:
        """Run `apothic volume ...`; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "apothic.cli", "volume", *args],
            input=stdin,
            env=self.env,
            cwd=self.folder,
            capture_output=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout, done.stderr.decode()

    def __call__(self, *args: str, stdin: str = "", code: int = 0) -> str:
        """The same as text, both streams."""
        out, told = self.raw(*args, stdin=stdin.encode(), code=code)
        return out.decode() + told


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    (tmp_path / "in/d").mkdir(parents=True)
    (tmp_path / "in/d/x").write_text("hello")
    cli = Cli(tmp_path)
    cli("create", "data")
    return cli


def test_a_folder_goes_in_and_comes_out(cli: Cli) -> None:
    cli("cp", "-r", "in", "data:/at")
    cli("cp", "-r", "data:/at", "out")

    assert (cli.folder / "out/d/x").read_text() == "hello"
    assert cli("ls", "-r", "data").split() == ["-", "at/", "-", "at/d/", "5", "at/d/x"]


def test_a_file_goes_through_pipes(cli: Cli) -> None:
    cli("cp", "-", "data:/x", stdin="piped")

    assert cli("cp", "data:/x", "-") == "piped"


def test_a_folder_is_copied_and_removed_only_if_that_is_said(cli: Cli) -> None:
    assert "--recursive" in cli("cp", "in", "data:/", code=2)
    cli("cp", "-r", "in", "data:/at")
    assert "--recursive" in cli("cp", "data:/at", "out", code=2)
    assert "recursive" in cli("rm", "data:/at", code=2)
    assert "--recursive" in cli("rm", "data", code=2)
    cli("rm", "-r", "data:/at")
    cli("rm", "data")

    assert cli("list") == ""


def test_a_file_is_replaced_only_by_force(cli: Cli) -> None:
    cli("cp", "in/d/x", "data:/")

    assert "--force" in cli("cp", "in/d/x", "data:/x", code=2).replace("force=True", "--force")
    cli("cp", "-f", "in/d/x", "data:/x")
    assert "--force" in cli("cp", "data:/x", "in/d/x", code=2)


def test_a_volume_goes_out_as_a_tar_and_comes_in_again(cli: Cli) -> None:
    cli("cp", "-r", "in", "data:/at")
    tar, _ = cli.raw("export", "data")
    cli.raw("import", "other", stdin=tar)

    assert cli("ls", "-r", "other") == cli("ls", "-r", "data")
    assert cli("cp", "other:/at/d/x", "-") == "hello"


def test_what_is_there_is_told_as_json(cli: Cli) -> None:
    cli("cp", "in/d/x", "data:/")

    listed = json.loads(cli("list", "--json"))
    assert listed["volumes"] == [
        {"name": "data", "rev": 1, "files": 1, "kind": "portable", "host": None}
    ]
    assert json.loads(cli("ls", "data", "--json"))["files"][0]["path"] == "x"
    assert json.loads(cli("du", "--json"))["volumes"][0]["bytes"] > 0
    assert json.loads(cli("ls", "data:/no", "--json", code=4))["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["ls", "missing"], 4),
        (["ls", "data:/missing"], 4),
        (["cp", "in/missing", "data:/x"], 4),
        (["cp", "in/d/x", "data:/../x"], 2),
        (["cp", "in/d/x", "elsewhere"], 2),
        (["cp", "data:/x", "other:/x"], 2),
        (["create", "../evil"], 2),
        (["import", "data", "in/d/x"], 2),
    ],
)
def test_what_cannot_be_done_is_told_by_the_exit_code(
    cli: Cli, words: list[str], code: int
) -> None:
    assert "Traceback" not in cli(*words, code=code)


def test_a_name_with_a_line_break_breaks_no_line(cli: Cli) -> None:
    (cli.folder / "in/a\nb\x1b[31m").write_text("")
    cli("cp", "-r", "in", "data:/at")

    assert r"'at/a\nb\x1b[31m'" in cli("ls", "data:/at")
