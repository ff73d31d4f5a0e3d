"""The folders of sandboxes, and what is left of them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from apothic_backends.sandboxes.homes import new_home, remove
from tests.sandboxes.test_refusals import USER

DEEP = """
import sys
from pathlib import Path
from apothic_backends.sandboxes.homes import remove

home = Path(sys.argv[1], "home")
home.joinpath(*["a"] * 300).mkdir(parents=True)
sys.setrecursionlimit(200)
remove(home)
"""
LOCKED_UP = """
import sys
from pathlib import Path
from apothic_backends.sandboxes.homes import remove

home = Path(sys.argv[1], "home")
inner = home / "a" / "b"
inner.mkdir(parents=True)
(inner / "c").touch()
(inner / "out").symlink_to(sys.argv[1])
(home / "a").chmod(0)
remove(home)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_home_that_nobody_holds_any_more_is_removed_with_the_next_one() -> None:
    left, lock = new_home()
    held, other = new_home()
    os.close(lock)

    last, third = new_home()

    assert [it.exists() for it in (left, held / "workspace", last / "workspace")] == [0, 1, 1]
    os.close(other)
    os.close(third)


def test_a_home_is_removed_however_deep_it_is(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", DEEP, str(folder)], check=True, capture_output=True)

    assert [*folder.iterdir()] == []


def test_a_home_is_removed_whatever_rights_were_taken_away_in_it(folder: Path) -> None:
    command = [sys.executable, "-c", USER, "-c", LOCKED_UP, str(folder)]

    subprocess.run(command, check=True, capture_output=True)

    assert [*folder.iterdir()] == []


def test_a_home_that_is_gone_is_removed() -> None:
    home, lock = new_home()
    remove(home)
    remove(home)
    os.close(lock)
