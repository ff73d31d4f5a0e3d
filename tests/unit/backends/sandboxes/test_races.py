"""Races: others swap a directory for a link that leads out while we work in it, all the time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apothic_backends.model.errors import ApothicError
from apothic_backends.sandboxes.files import Files

TRIES = 10_000
TRIES_OF_TREES = 1_000
MOST_TIMES = 50
"""How often as many tries are made, while none was in time or nobody was in the way yet."""

Do = Callable[[Files], object]


SWAP = """
import ctypes, os, sys
os.chdir(sys.argv[1])
os.symlink("../outside", "link")
swap = ctypes.CDLL(None, use_errno=True).renameat2
here, exchange = -100, 2
print("ready", flush=True)
while swap(here, b"dir", here, b"link", exchange) == 0:
    pass
sys.exit(os.strerror(ctypes.get_errno()))
"""
"""What one inside does: now the directory is one, now it is a link that leads out."""


@contextmanager
def swapping(root: Path) -> Generator[None]:
    command = [sys.executable, "-c", SWAP, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            was_there = other.poll() is None
            other.kill()
        assert was_there


OPERATIONS: dict[str, Do] = {
    "read": lambda files: files.read_bytes("dir/canary"),
    "write": lambda files: files.write_bytes("dir/canary", b"changed"),
    "append": lambda files: files.write_bytes("dir/canary", b"changed", append=True),
    "make": lambda files: files.make_directory("dir/new/deeper"),
    "list": lambda files: [it.path for it in files.list("dir")],
    "stat": lambda files: files.stat("dir/canary").size_bytes,
    "remove": lambda files: files.remove("dir/canary"),
    "rename": lambda files: files.rename("dir/canary", "dir/other"),
    "pack": lambda files: b"".join([*files.pack(), *files.pack("dir")]),
    "remove_tree": lambda files: files.remove("dir/sub", recursive=True),
    "unpack": lambda files: files.unpack("dir", [TAR]),
}


def _tar(folder: Path) -> bytes:
    files = Files(folder)
    files.write_bytes("canary", b"changed")
    return b"".join(files.pack())


TAR = b""


@pytest.mark.parametrize("name", OPERATIONS)
def test_however_often_it_is_tried_what_is_outside_is_never_reached(
    tmp_path: Path, way: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, outside = tmp_path / "work", tmp_path / "outside"
    for folder in (root / "dir", outside, outside / "sub", tmp_path / "tar"):
        folder.mkdir(parents=True)
    (outside / "canary").write_text("a secret of others")
    (outside / "sub" / "deep").touch()
    monkeypatch.setitem(globals(), "TAR", _tar(tmp_path / "tar"))
    files = Files(root)
    did = refused = 0
    do = OPERATIONS[name]
    tries = TRIES_OF_TREES if "pack" in name else TRIES
    with swapping(root):
        for number in range(MOST_TIMES * tries):
            if number >= tries and did and refused:
                break
            if number % 50 == 0:
                _fill(files)
            try:
                assert b"secret" not in (_bytes(do(files)))
                did += 1
            except ApothicError:
                refused += 1

    assert (outside / "canary").read_text() == "a secret of others"
    assert sorted(it.name for it in outside.rglob("*")) == ["canary", "deep", "sub"]
    assert did, "none was in time"
    assert refused, "nobody was in the way"


def _bytes(found: object) -> bytes:
    return found if isinstance(found, bytes) else repr(found).encode()


def _fill(files: Files) -> None:
    """Put there what is looked for, if the directory is one."""
    try:
        files.write_bytes("dir/canary", b"ours")
        files.write_bytes("dir/sub/deep", b"ours")
    except ApothicError:
        pass
