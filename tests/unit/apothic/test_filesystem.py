"""`box.files`: what goes between this machine and a sandbox, and what of it is refused."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from apothic._trees import unpack
from apothic.filesystem import PIECE, SandboxFiles
from apothic_backends.model.errors import ArchiveRefused, PackageRefused
from apothic_backends.model.sandboxes import FileMissing, NotADirectory
from apothic_backends.sandboxes.files import Files
from apothic_backends.sandboxes.transfers import Transfers
from apothic_backends.tars import END, FOLDER, LINK, Header, encoded


class Link:
    """A sandbox whose files are in a folder here."""

    def __init__(self, root: Path) -> None:
        self.transfers = Transfers(Files(root), root.parent)

    async def ask(self, method: str, *args: Any) -> Any:
        assert method == "files"
        return self.transfers.do(*args)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def local(tmp_path: Path) -> Path:
    (tmp_path / "local").mkdir()
    return tmp_path / "local"


@pytest.fixture
def files(root: Path) -> Iterator[SandboxFiles]:
    link = Link(root)
    yield SandboxFiles(link)
    link.transfers.close()


def names_in(folder: Path) -> list[str]:
    return sorted(str(it.relative_to(folder)) for it in folder.rglob("*") if not it.is_dir())


def test_text_and_bytes_are_written_and_read(files: SandboxFiles) -> None:
    files.write_text("/workspace/a/b.py", "ö\n")
    files.write_bytes("/workspace/a/b.py", b"more", append=True)

    assert files.read_text("/workspace/a/b.py") == "ö\nmore"
    assert files.read_bytes("a/b.py") == "ö\nmore".encode()
    assert files.stat("a/b.py").size_bytes == 7


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 3 * PIECE])
def test_any_size_goes_up_and_comes_down(files: SandboxFiles, local: Path, size: int) -> None:
    data = os.urandom(size)
    (local / "a").write_bytes(data)
    (local / "a").chmod(0o751)
    files.copy_from_local(local / "a", "/workspace/there")
    files.copy_to_local("/workspace/there", local / "b")

    assert (local / "b").read_bytes() == data
    assert files.stat("there").mode == 0o751


def test_directories_are_made_listed_renamed_and_removed(files: SandboxFiles) -> None:
    files.make_directory("a/b")
    files.rename("a/b", "a/c")

    assert [(it.path, it.kind) for it in files.list("a")] == [("/workspace/a/c", "directory")]
    files.remove("a", recursive=True)
    assert files.list() == []


def test_methods_are_awaited_too(files: SandboxFiles, local: Path) -> None:
    async def go() -> str:
        await files.aio.write_text("a", "text")
        await files.aio.copy_to_local("a", local / "a")
        await files.aio.upload_tree(local, "tree")
        return await files.aio.read_text("tree/a")

    assert anyio.run(go) == "text"


def test_changes_are_iterated_over(files: SandboxFiles) -> None:
    watch = files.watch()
    watch.begin()
    files.write_text("a", "")

    assert next(watch).path == "/workspace/a"
    watch.close()


def test_a_copy_that_fails_leaves_nothing_here(files: SandboxFiles, local: Path) -> None:
    with pytest.raises(FileMissing):
        files.copy_to_local("missing", local / "a")

    assert names_in(local) == []


def test_a_copy_keeps_the_mode_of_what_it_replaces(files: SandboxFiles, local: Path) -> None:
    files.write_text("a", "new", mode=0o777)
    (local / "a").write_text("old")
    (local / "a").chmod(0o600)
    files.copy_to_local("a", local / "a")

    assert stat.S_IMODE((local / "a").stat().st_mode) == 0o600


# --- trees ----------------------------------------------------------------------------------------


def test_a_tree_goes_up_without_what_is_ignored_or_secret(
    files: SandboxFiles, root: Path, local: Path
) -> None:
    for path in ("a.py", "src/b.py", "src-c", ".env", ".ssh/id", "out/x", "node_modules/y"):
        (local / path).parent.mkdir(exist_ok=True)
        (local / path).write_text(path)
    (local / ".gitignore").write_text("out/\n")
    subprocess.run(["git", "init", "-q", str(local)], check=True)
    files.upload_tree(local, "/workspace/project")

    assert names_in(root / "project") == [".gitignore", "a.py", "src-c", "src/b.py"]


@pytest.mark.parametrize("size", [0, 1, 512, PIECE])
def test_files_of_a_tree_of_any_size_go_up_and_come_down(
    files: SandboxFiles, local: Path, size: int
) -> None:
    for name in ("a", "b"):
        (local / name).write_bytes(bytes(size))
    files.upload_tree(local, "tree")
    files.download_tree("tree", local / "back")

    assert [it.stat().st_size for it in (local / "back").iterdir()] == [size, size]


def test_links_of_a_tree_that_lead_within_go_up_as_what_they_lead_to(
    files: SandboxFiles, root: Path, local: Path
) -> None:
    (local / "a").write_text("a")
    (local / "link").symlink_to("a")
    files.upload_tree(local)

    assert (root / "link").read_text() == "a"
    assert not (root / "link").is_symlink()


def test_links_of_a_tree_that_lead_out_are_refused(
    files: SandboxFiles, root: Path, local: Path
) -> None:
    (local.parent / "secret").write_text("secret")
    (local / "a").write_text("a")
    (local / "link").symlink_to("../secret")
    with pytest.raises(PackageRefused):
        files.upload_tree(local)

    assert names_in(root) == []


def test_what_is_no_folder_does_not_go_up(files: SandboxFiles, local: Path) -> None:
    (local / "a").touch()
    with pytest.raises(NotADirectoryError):
        files.upload_tree(local / "a")
    with pytest.raises(FileNotFoundError):
        files.upload_tree(local / "missing")


def test_a_tree_comes_down_without_its_links_and_pipes(
    files: SandboxFiles, root: Path, local: Path
) -> None:
    files.write_text("d/e/a", "a", mode=0o755)
    (root / "d" / "out").symlink_to("../../../etc")
    os.mkfifo(root / "d" / "pipe")
    left_out = files.download_tree("d", local / "new")

    assert names_in(local) == ["new/e/a"]
    assert stat.S_IMODE((local / "new" / "e" / "a").stat().st_mode) == 0o755
    assert left_out == ["out"]


def test_a_link_that_is_here_is_not_followed_on_the_way_down(
    files: SandboxFiles, local: Path
) -> None:
    files.write_text("d/e/a", "theirs")
    (local.parent / "e").mkdir()
    (local / "e").symlink_to("../e")
    with pytest.raises(NotADirectory):
        files.download_tree("d", local)

    assert names_in(local.parent / "e") == []


@pytest.mark.parametrize(
    "entry",
    [
        Header("../evil"),
        Header("/evil"),
        Header("a", b"1", target="../evil"),
        Header("a", mode=0o4755),
    ],
)
def test_a_tree_that_is_not_as_it_is_made_does_not_come_down(local: Path, entry: Header) -> None:
    with pytest.raises(ArchiveRefused):
        unpack(local, [encoded(entry) + END])

    assert names_in(local.parent) == []


def test_nothing_comes_down_through_a_link_of_the_tree(local: Path) -> None:
    link, below = Header("a", LINK, target=".."), [Header("a/b", FOLDER), Header("a/evil")]
    left_out = unpack(local, [b"".join(encoded(it) for it in (link, *below)) + END])

    assert left_out == ["a"]
    assert names_in(local.parent) == ["local/a/evil"]
