"""The files of a sandbox, from outside of it: what is written is there, and nothing leads out."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from apothic import (
    App,
    DirectoryNotEmpty,
    FileExists,
    FileMissing,
    FileRefused,
    InvalidOption,
    IsADirectory,
    NotADirectory,
    NotFound,
    PathRefused,
    Sandbox,
    Snapshot,
)
from tests.conformance.client import Client

app = App("sandbox-files")
workspace = app.sandbox("files", timeout_s=300)

pytestmark = pytest.mark.needs("processes")


@pytest.fixture
def box(client: Client) -> Iterator[Sandbox]:
    """A sandbox."""
    with workspace.create() as box:
        yield box


def test_what_was_written_is_read_by_programs_and_the_other_way_round(box: Sandbox) -> None:
    box.files.write_text("/workspace/new/a.txt", "hé\n")
    script = "cat new/a.txt; echo more >> new/a.txt"
    assert box.exec("sh", "-c", script).stdout.read() == "hé\n"
    assert box.files.read_text("new/a.txt") == "hé\nmore\n"


def test_a_file_is_replaced_or_appended_to(box: Sandbox) -> None:
    box.files.write_bytes("a", b"one")
    box.files.write_bytes("a", b"two")
    box.files.write_bytes("a", b"three", append=True)
    assert box.files.read_bytes("a") == b"twothree"


@pytest.mark.parametrize("append", [False, True])
def test_large_files_come_and_go_whole(box: Sandbox, append: bool) -> None:
    data = bytes(range(256)) * 40_000
    box.files.write_bytes("large", data, append=append)
    assert box.files.read_bytes("large") == data
    assert box.files.stat("large").size_bytes == len(data)


def test_a_directory_is_listed_by_name(box: Sandbox) -> None:
    box.files.write_text("b", "22", mode=0o600)
    box.files.make_directory("a/deep")
    box.exec("ln", "-s", "b", "c").wait()
    found = box.files.list()
    assert [(it.path, it.kind) for it in found] == [
        ("/workspace/a", "directory"),
        ("/workspace/b", "file"),
        ("/workspace/c", "symlink"),
    ]
    assert (found[1].size_bytes, found[1].mode, found[2].target) == (2, 0o600, "b")


def test_files_are_moved_and_removed(box: Sandbox) -> None:
    box.files.write_text("a/b", "x")
    box.files.rename("a", "z")
    assert box.files.read_text("z/b") == "x"
    with pytest.raises(DirectoryNotEmpty):
        box.files.remove("z")
    box.files.remove("z", recursive=True)
    assert box.files.list() == []


def test_errors_say_what_is_wrong(box: Sandbox) -> None:
    box.files.write_text("file", "x")
    box.files.make_directory("folder")
    with pytest.raises(FileMissing, match="nothing"):
        box.files.read_text("nothing")
    with pytest.raises(FileNotFoundError):
        box.files.remove("nothing")
    with pytest.raises(IsADirectory):
        box.files.read_text("folder")
    with pytest.raises(NotADirectory):
        box.files.list("file")
    with pytest.raises(FileExists):
        box.files.make_directory("file", parents=False)
    box.exec("mkfifo", "pipe").wait()
    with pytest.raises(FileRefused):
        box.files.read_text("pipe")


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../a", "/workspace/../../etc/passwd", "a/../../b"]
)
def test_what_leads_out_is_refused(box: Sandbox, path: str) -> None:
    with pytest.raises(PathRefused):
        box.files.read_text(path)


def test_a_link_that_leads_out_is_refused(box: Sandbox) -> None:
    box.exec("ln", "-s", "/etc/passwd", "out").wait()
    box.exec("ln", "-s", "..", "up").wait()
    for path in ("out", "up/etc/passwd"):
        with pytest.raises(PathRefused):
            box.files.read_text(path)


def test_a_file_goes_there_and_back(box: Sandbox, tmp_path: Path) -> None:
    here, back = tmp_path / "here", tmp_path / "back"
    here.write_bytes(b"x" * 5_000_000)
    here.chmod(0o755)
    box.files.copy_from_local(here, "there")
    assert box.files.stat("there").mode == 0o755
    box.files.copy_to_local("there", back)
    assert back.read_bytes() == here.read_bytes()
    with pytest.raises(FileMissing):
        box.files.copy_to_local("nothing", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_tree_goes_there_and_back(box: Sandbox, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "large").write_bytes(b"y" * 9_000_000)
    (tree / "script.sh").write_text("echo ran", "utf-8")
    (tree / "link").symlink_to("script.sh")
    box.files.upload_tree(tree, "project")
    assert box.exec("sh", "link", workdir="/workspace/project").stdout.read() == "ran\n"
    box.files.download_tree("/workspace/project", tmp_path / "back")
    assert sorted(it.name for it in (tmp_path / "back").rglob("*")) == [
        *("large", "link", "script.sh", "sub"),
    ]
    assert (tmp_path / "back/sub/large").stat().st_size == 9_000_000


def test_a_sandbox_begins_with_the_files_of_another(box: Sandbox) -> None:
    box.files.write_text("src/run.sh", "#!/bin/sh\necho ran", mode=0o755)
    box.files.make_directory("empty")
    box.exec("sh", "-c", "ln -s src/run.sh link; ln src/run.sh again").wait()
    snapshot = box.snapshot()
    box.files.remove("src", recursive=True)
    with workspace.create(snapshot=snapshot) as other:
        assert other.exec("./link").stdout.read() == "ran\n"
        names = [it.path.rpartition("/")[2] for it in other.files.list()]
    assert names == ["again", "empty", "link", "src"]
    assert pickle.loads(pickle.dumps(snapshot)).nbytes == Path(snapshot.path).stat().st_size
    snapshot.delete()
    snapshot.delete()
    with pytest.raises(NotFound, match="snapshot"):
        workspace.create(name="never", snapshot=snapshot)
    assert not [it for it in workspace.list() if it.name == "never"]


@pytest.mark.parametrize("wrong", ["", "sn-", "sn-" + "x" * 64, "../" + "0" * 64, "0" * 64])
def test_an_id_that_is_none_of_a_snapshot_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidOption):
        Snapshot(wrong)


def test_changes_are_followed(box: Sandbox) -> None:
    watch = box.files.watch()
    watch.begin()
    box.exec("touch", "new").wait()
    change = next(watch)
    assert (change.path, change.kind) == ("/workspace/new", "added")
    watch.close()


async def test_files_can_be_awaited(client: Client, tmp_path: Path) -> None:
    box = await workspace.aio.create()
    await box.files.aio.write_text("a/b", "x")
    await box.files.aio.download_tree("a", tmp_path / "back")
    assert (tmp_path / "back/b").read_text("utf-8") == "x"
    watch = box.files.watch.aio()
    await watch.begin.aio()
    await box.files.aio.write_text("c", "x")
    assert (await anext(watch)).path.startswith("/workspace/c")
    await box.aio.terminate()
