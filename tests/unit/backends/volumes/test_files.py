from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from apothic_backends.model.errors import (
    FileRefused,
    HostGone,
    NotFound,
    PathRefused,
    UsageError,
    VolumeBusy,
)
from apothic_backends.volumes import transfer
from apothic_backends.volumes.files import Files
from apothic_backends.volumes.local import PORTABLE, VAST_LOCAL, Volumes
from apothic_backends.volumes.store import Store
from apothic_backends.volumes.views import View
from tests.unit.backends.volumes.support import contents, copied, in_fork, put, read


@pytest.fixture
def full(files: Files) -> Files:
    for path in ("a", "d/x", "d/e/y"):
        put(files, path, path)
    return files


def names(files: Files, path: str, *, recursive: bool = False) -> list[str]:
    return [file.path for file in files.listdir(path, recursive=recursive)]


def test_a_folder_is_listed(full: Files) -> None:
    assert names(full, "/") == ["a", "d"]
    assert names(full, "d", recursive=True) == ["d/e", "d/e/y", "d/x"]
    assert names(full, "/d/x") == ["d/x"]


def test_what_is_there_is_described(full: Files) -> None:
    found = full.stat("/d/x")

    assert (found.kind, found.size, found.mode, found.rev) == ("file", 3, 0o644, 2)
    assert full.stat("/").kind == "folder"
    assert full.exists("d")
    assert not full.exists("no")


def test_a_file_is_replaced_only_by_force(full: Files) -> None:
    with pytest.raises(FileExistsError):
        put(full, "a", "new", force=False)
    put(full, "a", "new", force=True)

    assert read(full, "a") == "new"


def test_a_batch_is_there_all_at_once_or_not_at_all(full: Files, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("f")
    with contextlib.suppress(ZeroDivisionError), full.upload() as upload:
        upload.put_file(tmp_path / "f", "new")
        raise ZeroDivisionError
    assert not full.exists("new")

    before = full.store.rev
    with full.upload() as upload:
        upload.put_file(tmp_path / "f", "new/")
        upload.put_file(tmp_path / "f", "other")
        assert not full.exists("other")
    assert full.store.rev == before + 1
    assert read(full, "new/f") == "f"


def test_a_folder_is_put_with_its_links(files: Files, tmp_path: Path) -> None:
    (tmp_path / "s/in").mkdir(parents=True)
    (tmp_path / "s/in/x").write_text("x")
    (tmp_path / "s/l").symlink_to("in/x")
    files.put_directory(tmp_path / "s", "at")

    assert read(files, "at/l") == "x"
    assert files.stat("at/l").target == "in/x"


def test_a_link_out_of_the_folder_that_is_put_is_refused(files: Files, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s/l").symlink_to("/etc")

    with pytest.raises(PathRefused):
        files.put_directory(tmp_path / "s", "at")
    assert names(files, "/") == []


def test_what_is_no_file_is_not_put_and_not_waited_for(files: Files, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    with pytest.raises(FileRefused, match="fifo"):
        files.put_file(tmp_path / "fifo", "x")


def test_files_are_copied_renamed_and_removed(full: Files) -> None:
    full.copy(["a", "d"], "new/")
    assert read(full, "new/d/e/y") == "d/e/y"
    full.copy(["a"], "b")
    full.rename("d", "moved")
    assert not full.exists("d")
    full.rename("b", "a")
    full.remove("new", recursive=True)

    assert sorted(contents(full.store)) == ["a", "moved/e/y", "moved/x"]


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda f: f.remove("d"), IsADirectoryError),
        (lambda f: f.remove("no"), FileNotFoundError),
        (lambda f: f.read("no"), FileNotFoundError),
        (lambda f: f.read("d"), IsADirectoryError),
        (lambda f: f.listdir("no"), FileNotFoundError),
        (lambda f: f.rename("no", "x"), FileNotFoundError),
        (lambda f: f.rename("d", "d/e/f"), FileExistsError),
        (lambda f: f.copy(["a", "d"], "a"), NotADirectoryError),
        (lambda f: f.copy(["d"], "d/inner"), FileExistsError),
        (lambda f: f.rename("d", "a/d"), NotADirectoryError),
        (lambda f: put(f, "a/below", "1"), NotADirectoryError),
        (lambda f: put(f, "d", "1"), IsADirectoryError),
        (lambda f: put(f, "", "1"), IsADirectoryError),
    ],
)
def test_what_cannot_be_done_is_refused_as_on_any_disk(
    full: Files, act: Callable[[Files], object], error: type[OSError]
) -> None:
    before = contents(full.store)

    with pytest.raises(error):
        act(full)
    assert contents(full.store) == before


def test_what_is_put_through_a_link_arrives_where_it_leads(full: Files, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s/l").symlink_to("d")
    full.put_directory(tmp_path / "s", "/")
    put(full, "l/new/file", "1")

    assert read(full, "d/new/file") == "1"
    assert full.stat("l").kind == "link"


def test_a_link_is_removed_and_not_what_it_leads_to(full: Files, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s/l").symlink_to("../d")
    full.put_directory(tmp_path / "s", "at")
    full.remove("at/l")

    assert read(full, "d/x") == "d/x"
    assert not full.exists("at/l")


def test_a_file_stays_what_it_was_while_it_is_read(files: Files) -> None:
    put(files, "a", "x" * 3_000_000)
    reading = iter(files.read("a"))
    first = next(reading)
    put(files, "a", "other")
    files.remove("a")

    assert len(first + b"".join(reading)) == 3_000_000


def test_uploads_at_once_are_all_kept(files: Files) -> None:
    def upload(one: int) -> None:
        for n in range(5):
            put(files, f"{one}/{n}", f"{one} {n}")

    threads = [threading.Thread(target=upload, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(contents(files.store)) == 20
    assert files.store.rev == 20


def test_an_outside_path_is_only_a_name_in_the_volume(full: Files) -> None:
    with pytest.raises(FileNotFoundError):
        full.read("/etc/passwd")
    with pytest.raises(PathRefused):
        full.read("../../etc/passwd")


# --- onto the disk --------------------------------------------------------------------------------


def test_a_folder_comes_to_the_disk(full: Files, tmp_path: Path) -> None:
    transfer.get(full.store, "d", tmp_path / "out")
    transfer.get(full.store, "/", tmp_path / "all")

    assert (tmp_path / "out/e/y").read_text() == "d/e/y"
    assert (tmp_path / "all/a").read_text() == "a"


@pytest.mark.parametrize("where", ["d", "d/e"])
def test_a_link_on_the_disk_is_not_written_through(full: Files, tmp_path: Path, where: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / where).parent.mkdir(parents=True)
    (tmp_path / "out" / where).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(PathRefused):
        transfer.get(full.store, "/", tmp_path / "out")
    assert [*(tmp_path / "elsewhere").iterdir()] == []


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(
    full: Files, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a").symlink_to(tmp_path / "mine")
    transfer.get(full.store, "/", tmp_path / "out")

    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "out/a").read_text() == "a"


# --- by name --------------------------------------------------------------------------------------


def test_a_volume_that_is_not_there_is_told_with_those_there_are(volumes: Volumes) -> None:
    volumes.open("one", create=PORTABLE)

    with pytest.raises(NotFound, match="no volume 'two'; there are: one") as caught:
        volumes.open("two")
    assert caught.value.data["known"] == ["one"]


def test_a_volume_of_another_kind_is_told(volumes: Volumes) -> None:
    volumes.open("one", create=PORTABLE)

    with pytest.raises(UsageError, match="portable, not vast_local"):
        volumes.open("one", create=VAST_LOCAL)


def test_a_vast_local_volume_stays_on_the_host_where_it_was_first_used(
    volumes: Volumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = volumes.open("fast", create=VAST_LOCAL)
    monkeypatch.setenv("APOTHIC_HOST", "host-a")
    volumes.place(fast)
    volumes.place(fast)
    monkeypatch.setenv("APOTHIC_HOST", "host-b")

    with pytest.raises(HostGone, match="'host-a', which is not here: this is 'host-b'"):
        volumes.place(fast)


def test_an_ephemeral_volume_goes_with_its_block_or_its_process(volumes: Volumes) -> None:
    with volumes.ephemeral() as store:
        put(Files(store), "x", "1")
        assert volumes.names() == [store.name]
    assert volumes.names() == []

    assert in_fork(lambda: os._exit(0) if volumes.ephemeral().__enter__() else None) == 0
    assert volumes.names() == []
    assert [*volumes.folder.iterdir()] == []


def test_a_volume_that_is_in_use_is_not_deleted(volumes: Volumes, store: Store) -> None:
    view = View(store)

    with pytest.raises(VolumeBusy):
        volumes.delete("data")
    view.close()
    volumes.delete("data")
    assert [*volumes.folder.iterdir()] == []


def test_a_view_that_is_a_copy_is_a_use(volumes: Volumes, store: Store) -> None:
    view = copied(store)

    with pytest.raises(VolumeBusy):
        volumes.delete("data")
    view.close()
