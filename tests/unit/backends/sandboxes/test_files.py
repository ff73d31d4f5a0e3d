"""The files of a sandbox: what can be done with them, and what of it is refused."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apothic_backends.model.errors import ApothicError, FileRefused, PathRefused
from apothic_backends.model.sandboxes import (
    DirectoryNotEmpty,
    FileExists,
    FileMissing,
    FileTooLarge,
    IsADirectory,
    NotADirectory,
)
from apothic_backends.sandboxes import files as files_module
from apothic_backends.sandboxes.files import Files

pytestmark = pytest.mark.usefixtures("way")

Do = Callable[[Files, str], object]

LOOK: dict[str, Do] = {
    "read": lambda files, path: files.read_bytes(path),
    "stat": lambda files, path: files.stat(path),
    "list": lambda files, path: files.list(path),
    "watch": lambda files, path: files.watch(path),
    "pack": lambda files, path: list(files.pack(path)),
}
CHANGE: dict[str, Do] = {
    "write": lambda files, path: files.write_bytes(path, b"new"),
    "append": lambda files, path: files.write_bytes(path, b"new", append=True),
    "make_directory": lambda files, path: files.make_directory(path),
    "make_one_directory": lambda files, path: files.make_directory(path, parents=False),
    "remove": lambda files, path: files.remove(path),
    "remove_tree": lambda files, path: files.remove(path, recursive=True),
    "rename_from": lambda files, path: files.rename(path, "/workspace/other"),
    "rename_to": lambda files, path: files.rename("/workspace/there", path),
    "unpack": lambda files, path: files.unpack(path, [bytes(1024)]),
}
ALL = LOOK | CHANGE


@pytest.fixture
def guarded(root: Path) -> Iterator[Path]:
    """The workspace; what is beside it is the same in the end."""
    (root / "there").write_text("there")
    outside = root.parent / "outside"
    before = sorted((str(it), it.lstat().st_mode) for it in root.parent.iterdir())
    yield root
    assert (outside / "canary").read_text() == "canary"
    assert [it.name for it in outside.iterdir()] == ["canary"]
    assert sorted((str(it), it.lstat().st_mode) for it in root.parent.iterdir()) == before


def names_in(folder: Path) -> list[str]:
    return sorted(it.name for it in folder.iterdir())


# --- what it is for -------------------------------------------------------------------------------


def test_what_was_written_is_read_and_directories_above_are_made(files: Files) -> None:
    files.write_bytes("/workspace/a/b/c.py", b"x = 1\n")

    assert files.read_bytes("a/b/c.py") == b"x = 1\n"


def test_content_comes_in_pieces_too(files: Files) -> None:
    files.write_bytes("a", (piece for piece in (b"one ", b"two")))

    assert files.read_bytes("a") == b"one two"


def test_a_part_of_a_file_is_read(files: Files) -> None:
    files.write_bytes("a", b"0123456789")

    assert files.read_bytes("a", 2, 3) == b"234"
    assert files.read_bytes("a", 8) == b"89"
    assert files.read_bytes("a", 20) == b""
    assert files.read_bytes("a", 0, 0) == b""


def test_bytes_are_appended(files: Files) -> None:
    files.write_bytes("d/log", b"one\n", append=True)
    files.write_bytes("d/log", b"two\n", append=True)

    assert files.read_bytes("d/log") == b"one\ntwo\n"


def test_a_file_that_is_replaced_keeps_its_mode_and_a_new_one_has_what_is_asked_for(
    files: Files, root: Path
) -> None:
    files.write_bytes("run.sh", b"old", mode=0o755)
    files.write_bytes("run.sh", b"new")
    files.write_bytes("plain", b"")

    assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "plain").stat().st_mode) == 0o644


def test_no_mode_gives_a_file_the_rights_of_its_owner(files: Files, root: Path) -> None:
    files.write_bytes("run.sh", b"", mode=0o6755)

    assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o755


def test_who_reads_a_file_sees_the_old_or_the_new_content_whole(files: Files, root: Path) -> None:
    files.write_bytes("a", b"old")
    with (root / "a").open("rb") as before:
        files.write_bytes("a", b"newer")

        assert before.read() == b"old"
    assert names_in(root) == ["a"]


def test_what_fails_midway_leaves_the_old_content_and_nothing_else(
    files: Files, root: Path
) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"new"
        raise ConnectionError

    files.write_bytes("a", b"old")
    with pytest.raises(ConnectionError):
        files.write_bytes("a", pieces())

    assert files.read_bytes("a") == b"old"
    assert names_in(root) == ["a"]


def test_writing_to_a_link_changes_the_file_that_it_leads_to(files: Files, root: Path) -> None:
    files.write_bytes("d/real", b"old")
    (root / "link").symlink_to("d/near")
    (root / "d" / "near").symlink_to("../d/real")
    files.write_bytes("link", b"new")
    files.write_bytes("link", b"er", append=True)

    assert files.read_bytes("d/real") == b"newer"
    assert (root / "link").is_symlink()
    assert (root / "d" / "near").is_symlink()


def test_a_listing_is_sorted_and_says_what_there_is(files: Files, root: Path) -> None:
    files.write_bytes("d/b.py", b"12345", mode=0o600)
    files.make_directory("d/a")
    (root / "d" / "c").symlink_to("../missing")
    os.mkfifo(root / "d" / "e", 0o644)
    found = files.list("/workspace/d")

    assert [(it.path, it.kind, it.size_bytes, it.target) for it in found] == [
        ("/workspace/d/a", "directory", 0, None),
        ("/workspace/d/b.py", "file", 5, None),
        ("/workspace/d/c", "symlink", 0, "../missing"),
        ("/workspace/d/e", "other", 0, None),
    ]
    assert found[1].mode == 0o600
    assert found[1].modified_at == (root / "d" / "b.py").stat().st_mtime


def test_stat_tells_of_a_link_and_of_the_workspace(files: Files, root: Path) -> None:
    (root / "link").symlink_to("/etc/passwd")

    assert files.stat("link").target == "/etc/passwd"
    assert files.stat("/workspace").kind == "directory"
    assert files.stat("/workspace").path == "/workspace"


def test_a_directory_is_made_once_or_with_those_above(files: Files, root: Path) -> None:
    files.make_directory("a/b/c")
    files.make_directory("a/b/c")
    files.make_directory("a/d", parents=False)

    assert stat.S_IMODE((root / "a" / "d").stat().st_mode) == 0o755
    with pytest.raises(FileExists):
        files.make_directory("a/d", parents=False)
    with pytest.raises(FileMissing):
        files.make_directory("x/y", parents=False)


def test_a_path_may_be_as_deep_as_systems_have_it(files: Files) -> None:
    path = "d/" * 200 + "file"
    files.write_bytes(path, b"deep")

    assert files.read_bytes(path) == b"deep"


def test_what_is_removed_is_gone(files: Files, root: Path) -> None:
    files.write_bytes("a/b/c", b"")
    files.write_bytes("d", b"")
    files.make_directory("e")
    files.remove("d")
    files.remove("e")
    files.remove("a", recursive=True)

    assert names_in(root) == []


def test_what_is_renamed_is_elsewhere(files: Files) -> None:
    files.write_bytes("a/x", b"x")
    files.write_bytes("y", b"y")
    files.make_directory("b")
    files.rename("a", "b/c")
    files.rename("y", "b/c/x")

    assert files.read_bytes("b/c/x") == b"y"
    assert [it.path for it in files.list()] == ["/workspace/b"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_what_is_new_belongs_to_the_owner(root: Path) -> None:
    files = Files(root, owner=(12345, 23456))
    files.write_bytes("a/b/c", b"")
    files.write_bytes("a/log", b"", append=True)
    files.make_directory("d")
    files.unpack("e", list(files.pack("a")), links="keep")

    owners = {(it.lstat().st_uid, it.lstat().st_gid) for it in root.rglob("*")}
    assert owners == {(12345, 23456)}


def test_two_sandboxes_may_have_other_prefixes(root: Path) -> None:
    files = Files(root, "/srv/code")
    files.write_bytes("/srv/code/a", b"a")

    assert [it.path for it in files.list("/srv/code")] == ["/srv/code/a"]
    with pytest.raises(PathRefused):
        files.read_bytes("/workspace/a")


# --- what is wrong with a call --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("do", "path", "error"),
    [
        ("read", "missing", FileMissing),
        ("read", "missing/x", FileMissing),
        ("read", "d", IsADirectory),
        ("read", "f/x", NotADirectory),
        ("stat", "missing", FileMissing),
        ("list", "missing", FileMissing),
        ("list", "f", NotADirectory),
        ("write", "d", IsADirectory),
        ("write", "", IsADirectory),
        ("write", "f/x", NotADirectory),
        ("append", "d", IsADirectory),
        ("append", "", IsADirectory),
        ("make_directory", "f", NotADirectory),
        ("make_one_directory", "f", FileExists),
        ("remove", "missing", FileMissing),
        ("remove", "d", DirectoryNotEmpty),
        ("remove_tree", "missing", FileMissing),
        ("remove_tree", "", PathRefused),
        ("rename_from", "missing", FileMissing),
        ("rename_from", "", PathRefused),
        ("rename_to", "d", IsADirectory),
        ("rename_to", "missing/x", FileMissing),
        ("pack", "f", NotADirectory),
        ("unpack", "f", NotADirectory),
        ("watch", "loop", PathRefused),
        ("read", "loop", PathRefused),
        ("write", "loop", PathRefused),
        ("write", "dangling", FileMissing),
        ("write", "up", IsADirectory),
    ],
)
def test_an_error_says_what_is_wrong(
    files: Files, root: Path, do: str, path: str, error: type[ApothicError]
) -> None:
    (root / "there").write_text("there")
    (root / "f").write_text("f")
    (root / "d" / "e").mkdir(parents=True)
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nowhere/../x")
    (root / "d" / "up").symlink_to("..")
    (root / "up").symlink_to("d/up/d/..")
    with pytest.raises(error) as caught:
        ALL[do](files, path)

    assert caught.value.data["path"].endswith(path)


def test_a_directory_does_not_go_into_itself(files: Files) -> None:
    files.make_directory("a/b")
    with pytest.raises(PathRefused):
        files.rename("a", "a/b/c")


def test_more_than_is_read_at_once_is_too_large(
    files: Files, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_module, "MOST_READ", 1000)
    (root / "a").write_bytes(bytes(1001))
    with pytest.raises(FileTooLarge) as caught:
        files.read_bytes("a")

    assert caught.value.data["limit_bytes"] == 1000
    assert len(files.read_bytes("a", 1)) == 1000
    assert len(files.read_bytes("a", 0, 1000)) == 1000


def test_a_directory_of_too_many_names_is_not_listed(
    files: Files, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_module, "MOST_LISTED", 3)
    for name in "abcd":
        (root / name).touch()
    with pytest.raises(FileTooLarge):
        files.list()


# --- what leads out -------------------------------------------------------------------------------

OUT = ["../outside/canary", "/etc/passwd", "/workspace/../outside", "a/../../outside", "~/x", "a\0"]


@pytest.mark.parametrize("path", [*OUT, "/work-evil/x", "/workspace-evil/x"])
@pytest.mark.parametrize("do", ALL)
def test_a_path_that_leads_out_is_refused(files: Files, guarded: Path, do: str, path: str) -> None:
    with pytest.raises(PathRefused):
        ALL[do](files, path)


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("do", ALL)
def test_what_is_behind_a_link_that_leads_out_is_refused(
    files: Files, guarded: Path, do: str, absolute: bool
) -> None:
    outside = guarded.parent / "outside"
    (guarded / "link").symlink_to(outside if absolute else "../outside")
    for path in ("link/canary", "link/new", "link/newdir/new.txt"):
        with pytest.raises(PathRefused):
            ALL[do](files, path)


@pytest.mark.parametrize("do", sorted({*ALL} - {"stat"} - {it for it in ALL if "re" in it[:2]}))
def test_a_link_that_leads_out_is_not_followed(files: Files, guarded: Path, do: str) -> None:
    (guarded / "link").symlink_to("../outside/canary")
    (guarded / "folder").symlink_to("../outside")
    for path in ("link", "folder"):
        with pytest.raises((PathRefused, FileExists)):
            ALL[do](files, path)


def test_reading_through_a_link_that_leads_out_is_refused(files: Files, guarded: Path) -> None:
    (guarded / "link").symlink_to("../outside/canary")
    with pytest.raises(PathRefused):
        files.read_bytes("link")


def test_of_a_link_that_leads_out_the_link_is_removed_or_renamed(
    files: Files, guarded: Path
) -> None:
    for name in ("one", "two", "three"):
        (guarded / name).symlink_to("../outside")
    files.remove("one")
    files.remove("two", recursive=True)
    files.rename("three", "four")

    assert names_in(guarded) == ["four", "there"]


def test_a_tree_is_removed_without_what_its_links_lead_to(files: Files, guarded: Path) -> None:
    (guarded / "a" / "b").mkdir(parents=True)
    (guarded / "a" / "b" / "link").symlink_to("../../../outside")
    (guarded / "a" / "absolute").symlink_to(guarded.parent / "outside")
    files.remove("a", recursive=True)

    assert names_in(guarded) == ["there"]


def test_a_tree_is_removed_however_deep_it_is(files: Files, root: Path) -> None:
    at = os.open(root, os.O_RDONLY)
    for _ in range(3000):  # deeper than Python calls, and more than a process opens
        os.mkdir("d", dir_fd=at)
        deeper = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = deeper
    os.close(at)
    files.remove("d", recursive=True)

    assert names_in(root) == []


# --- what is no file ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["fifo", "socket", "hard link"])
@pytest.mark.parametrize("do", ["read", "write", "append"])
def test_what_is_no_plain_file_of_one_name_is_refused(
    files: Files, guarded: Path, do: str, kind: str
) -> None:
    if kind == "fifo":
        os.mkfifo(guarded / "odd")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(guarded / "odd"))
    else:
        (guarded / "odd").hardlink_to(guarded.parent / "outside" / "canary")
    with pytest.raises(FileRefused) as caught:
        ALL[do](files, "odd")

    assert caught.value.data["files"] == ["odd"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes devices")
@pytest.mark.parametrize("do", ["read", "write", "append"])
def test_a_device_is_refused(files: Files, root: Path, do: str) -> None:
    try:
        os.mknod(root / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("no devices can be made here")
    with pytest.raises(FileRefused):
        ALL[do](files, "zero")


def test_a_hard_link_is_removed_and_what_it_was_of_stays(files: Files, guarded: Path) -> None:
    (guarded / "odd").hardlink_to(guarded.parent / "outside" / "canary")
    files.remove("odd")

    assert names_in(guarded) == ["there"]


SHUT = """
import os, sys
from pathlib import Path
from apothic_backends.model.errors import FileRefused
from apothic_backends.sandboxes.files import Files
os.chdir(sys.argv[1])
if os.getuid() == 0:
    os.chown(".", 65534, 65534)
    os.setgid(65534)
    os.setuid(65534)
root = Path()
(root / "a" / "b" / "c").mkdir(parents=True)
(root / "a" / "b" / "c" / "d").touch()
(root / "file").touch()
for path in ("a/b/c", "a/b", "a", "file"):
    (root / path).chmod(0)
files = Files(root)
for do in (files.read_bytes, files.list):
    try:
        do("file" if do == files.read_bytes else "a")
    except FileRefused:
        print("refused")
files.remove("a", recursive=True)
files.remove("file")
print(*os.listdir(root))
"""


def test_who_is_not_root_is_refused_what_is_shut_and_can_remove_it(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    command = [sys.executable, "-c", SHUT, str(tmp_path / "theirs")]
    path = {"PYTHONPATH": str(Path(files_module.__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, env=path, check=False)

    assert done.stdout == "refused\nrefused\n\n", done.stderr
