from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from apothic_backends.model.errors import FileRefused, NotFound
from apothic_backends.volumes import views
from apothic_backends.volumes.files import Files
from apothic_backends.volumes.store import Store
from apothic_backends.volumes.trees import tree_of
from apothic_backends.volumes.views import View
from tests.unit.backends.volumes.support import contents, copied, in_fork, put, write


def test_odd_names_make_the_round_trip(store: Store) -> None:
    names = ["a b", "line\nbreak", "ü", "n" * 255, os.fsdecode(b"\xff\xfe"), "\\", "C:x", "con"]
    names += ["A", "a"]
    view = copied(store)
    for name in names:
        write(view.copy, name, name.encode(errors="surrogateescape").hex())
    view.commit()
    again = copied(store)

    assert sorted(p.name for p in again.copy.iterdir()) == sorted(names)
    assert (again.copy / os.fsdecode(b"\xff\xfe")).read_text() == "fffe"


def test_modes_times_links_and_empty_folders_are_kept(store: Store) -> None:
    view = copied(store)
    write(view.copy, "run", "#!/bin/sh")
    (view.copy / "run").chmod(0o755)
    os.utime(view.copy / "run", ns=(1, 1_234_567_890_123_456_789))
    (view.copy / "empty").mkdir(mode=0o750)
    (view.copy / "link").symlink_to("run")
    view.commit()
    again = copied(store).copy

    assert (again / "run").stat().st_mode & 0o7777 == 0o755
    assert (again / "run").stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert (again / "empty").stat().st_mode & 0o777 == 0o750
    assert (again / "link").readlink() == Path("run")


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_special_files_are_refused_by_name_and_nothing_is_written(store: Store, kind: str) -> None:
    view = copied(store)
    write(view.copy, "d/good", "1")
    if kind == "fifo":
        os.mkfifo(view.copy / "d/odd")
    else:
        here = os.open(view.copy / "d", os.O_RDONLY)  # the path itself is too long for a socket
        with socket.socket(socket.AF_UNIX) as odd:
            odd.bind(f"/proc/self/fd/{here}/odd")
        os.close(here)

    with pytest.raises(FileRefused, match="'d/odd'") as caught:
        view.commit()
    assert caught.value.data["files"] == ["d/odd"]
    assert contents(store) == {}


def test_a_sparse_file_costs_what_it_has_and_comes_back_with_its_holes(store: Store) -> None:
    view = copied(store)
    with (view.copy / "sparse").open("wb") as file:
        file.write(b"begin")
        file.seek(1 << 40)
        file.write(b"end")
    view.commit()
    again = copied(store).copy / "sparse"

    assert store.used_bytes() < 1 << 20
    assert again.stat().st_size == (1 << 40) + 3
    assert again.stat().st_blocks * 512 < 1 << 20
    with again.open("rb") as file:
        file.seek(1 << 40)
        assert file.read() == b"end"


def test_names_of_one_file_become_files_of_their_own(store: Store) -> None:
    view = copied(store)
    write(view.copy, "a", "1")
    (view.copy / "b").hardlink_to(view.copy / "a")
    view.commit()

    assert contents(store) == {"a": "1", "b": "1"}


def test_a_change_of_the_same_size_within_one_tick_is_seen(store: Store) -> None:
    view = copied(store)
    seen: list[str] = []
    for text in map(str, range(10)):
        write(view.copy, "x", text)
        view.commit()
        seen.append(contents(store)["x"])

    assert seen == [*map(str, range(10))]


def test_what_was_only_looked_at_is_still_brought_in(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "_TICK_NS", -(1 << 60))  # as if it were written long ago
    view = copied(store)
    write(view.copy, "x", "1")
    assert view.is_dirty()
    assert view.is_dirty()
    view.commit()

    assert contents(store) == {"x": "1"}


def test_a_new_mode_or_time_is_a_change(store: Store) -> None:
    put(Files(store), "x", "1")
    view = copied(store)
    (view.copy / "x").chmod(0o600)
    view.commit()
    os.utime(view.copy / "x", (5, 5))
    view.commit()

    assert Files(store).stat("x").mode == 0o600
    assert Files(store).stat("x").mtime == 5


def test_a_look_that_finds_nothing_makes_no_version(store: Store) -> None:
    put(Files(store), "d/x", "1")
    view = copied(store)
    before = store.rev

    assert view.commit() == before == store.rev


def test_a_view_of_a_folder_writes_into_it(store: Store) -> None:
    put(Files(store), "d/x", "1")
    put(Files(store), "dd", "other")
    view = View(store, "d", is_copy=True)
    write(view.copy, "y", "2")
    (view.copy / "x").unlink()
    view.commit()

    assert contents(store) == {"d/y": "2", "dd": "other"}


def test_a_view_of_a_folder_that_is_not_there_makes_it(store: Store) -> None:
    view = View(store, "new/deep", is_copy=True)
    write(view.copy, "x", "1")
    view.commit()

    assert contents(store) == {"new/deep/x": "1"}


@pytest.mark.parametrize("sub_path", ["missing", "file"])
def test_a_view_of_no_folder_is_refused_and_leaves_nothing(store: Store, sub_path: str) -> None:
    put(Files(store), "file", "1")

    with pytest.raises(NotFound, match=sub_path):
        View(store, sub_path, is_copy=True, read_only=True)
    assert [*(store.folder / "views").iterdir()] == []


def test_what_was_written_to_a_read_only_copy_is_told(store: Store) -> None:
    view = View(store, is_copy=True, read_only=True)
    write(view.copy, "x", "1")

    with pytest.raises(FileRefused, match="read-only"):
        view.commit()


def test_views_of_dead_processes_are_swept_away_and_others_are_not(store: Store) -> None:
    put(Files(store), "x", "1")
    alive = View(store)

    def leave() -> None:
        view = View(store)
        write(view.upper, "y", "2")

    assert in_fork(leave) == 0
    assert len([*(store.folder / "views").iterdir()]) == 2
    View(store).close()

    assert [*(store.folder / "views").iterdir()] == [alive.folder]
    assert (alive.lower / "x").read_text() == "1"


def test_a_tree_stays_as_long_as_somebody_stands_on_it(store: Store) -> None:
    put(Files(store), "x", "1")
    old = View(store)
    put(Files(store), "x", "2")
    new = View(store)

    assert (old.lower / "x").read_text() == "1"
    assert (new.lower / "x").read_text() == "2"
    old.close()
    View(store).close()
    assert [p.name for p in (store.folder / "trees").iterdir()] == [str(new.rev)]


def test_two_files_of_a_tree_are_never_one(store: Store) -> None:
    view = copied(store)
    for name in "abc":
        write(view.copy, name, "same")
        os.utime(view.copy / name, (1, 1))
    view.commit()
    tree = tree_of(store, store.read())

    assert len({(tree / name).stat().st_ino for name in "abc"}) == 3


def test_a_tree_shares_its_contents_with_the_volume(store: Store) -> None:
    put(Files(store), "x", "1")
    entry = store.read().entries["x"]
    tree = tree_of(store, store.read())

    assert (tree / "x").samefile(store.path_of(entry.content))


def test_a_layer_says_what_is_gone(store: Store) -> None:
    for name in ("a", "d/x", "d/y", "e/z"):
        put(Files(store), name, name)
    view = View(store)
    try:
        os.mknod(view.upper / "a", 0o020000, os.makedev(0, 0))
    except PermissionError:
        return  # only root, and who has a namespace of his own, can say that by hand
    (view.upper / "d").mkdir()
    os.setxattr(view.upper / "d", "user.overlay.opaque", b"y")
    write(view.upper, "d/new", "new")
    view.commit(is_free=True)
    view.move()

    assert contents(store) == {"d/new": "new", "e/z": "e/z"}
    assert [*view.upper.iterdir()] == []
