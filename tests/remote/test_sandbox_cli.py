"""Sandboxes as a person meets them at a shell: listed, used, filled, and ended."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.terminal import talk
from tests.remote.shell import APOTHIC, Shell
from tests.server.served import Served

MAKE = """
from apothic import App

box = App("demo").sandbox("coder", timeout_s=None).create(name="a", tags={"run": "1"})
print(box.sandbox_id)
"""


@pytest.fixture(scope="module")
def shell(server: Served, home: Path) -> Shell:
    """A shell beside the server."""
    folder = home / "project"
    folder.mkdir()
    address = f"http://{server.own_host}"
    return Shell(home, folder, APOTHIC_BACKEND=address, APOTHIC_TEST_BACKEND=address)


@pytest.fixture(scope="module")
def box(shell: Shell) -> Iterator[str]:
    """A sandbox that a program has made, which has ended."""
    yield shell.run(sys.executable, "-c", MAKE)
    shell("sandbox", "stop", "a")
    assert shell("sandbox", "list") == ""


def test_sandboxes_are_listed_by_their_tags(shell: Shell, box: str) -> None:
    assert shell("sandbox", "list", "--tag", "run=1").split() == [box, "a", "demo/coder", "run=1"]
    assert shell("sandbox", "list", "--tag", "run=2") == ""
    [told] = shell.json("sandbox", "list")["sandboxes"]
    assert (told["sandbox_id"], told["tags"], told["expires_at"]) == (box, {"run": "1"}, None)


def test_a_program_gives_its_outputs_and_its_code(shell: Shell, box: str) -> None:
    script = "echo out; echo err >&2; exit 3"
    assert shell("sandbox", "exec", "a", "--", "sh", "-c", script, code=3) == "out"
    assert shell.err == "err\n"
    assert shell("sandbox", "exec", box, "pwd") == "/workspace"
    shell("sandbox", "exec", "--timeout", "0.2", "a", "sleep", "1000", code=124)


def test_a_program_reads_our_input(shell: Shell, box: str) -> None:
    ran = subprocess.run(
        [*APOTHIC, "sandbox", "exec", "a", "wc", "-c"],
        input=b"x" * 200_000,
        env=shell.env,
        cwd=shell.folder,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout.strip() == b"200000"


def test_files_and_folders_are_copied(shell: Shell, box: str) -> None:
    tree = shell.folder / "tree"
    tree.mkdir()
    (tree / "file").write_text("content", "utf-8")
    shell("sandbox", "cp", "tree", "a:/workspace/there")
    shell("sandbox", "cp", "tree/file", "a:single")
    assert shell("sandbox", "exec", "a", "cat", "there/file", "single") == "contentcontent"
    shell("sandbox", "cp", "a:there", "back")
    shell("sandbox", "cp", "a:single", ".")
    for name in ("back/file", "single"):
        assert (shell.folder / name).read_text("utf-8") == "content"
    assert "nothing" in shell.json("sandbox", "cp", "a:nothing", ".", code=4)["message"]


def test_links_are_left_out_and_named_without_what_would_steer_a_terminal(
    shell: Shell, box: str
) -> None:
    shell("sandbox", "exec", "a", "sh", "-c", "mkdir d; touch d/file; ln -s / 'd/\x1b[2Jlink'")
    ran = subprocess.run(
        [*APOTHIC, "sandbox", "cp", "a:d", "d"],
        env=shell.env,
        cwd=shell.folder,
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    assert b"links that were left out: '\\x1b[2Jlink'" in ran.stderr
    assert [it.name for it in (shell.folder / "d").iterdir()] == ["file"]


def test_what_is_not_there_is_told(shell: Shell) -> None:
    shell("sandbox", "exec", "b", "true", code=4)
    assert "no sandbox 'b'" in shell.err


def test_a_shell_has_our_terminal(shell: Shell, box: str) -> None:
    words = ["-m", "apothic.cli", "shell", "a"]
    env: dict[str, Any] = {**shell.env}
    exchanges = [("$", "stty size; echo $((40 + 2))\n"), ("42", "exit 5\n")]
    told = talk(words, exchanges, shell.folder, **env)
    assert told.code == 5


def test_a_shell_needs_a_terminal(shell: Shell, box: str) -> None:
    shell("shell", "a", code=2)
    assert "terminal" in shell.err
