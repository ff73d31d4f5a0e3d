from __future__ import annotations

import errno
from pathlib import Path

import pytest

from apothic_backends.model.errors import (
    Fenced,
    PathRefused,
    VolumeConflict,
    VolumeDamaged,
    VolumeFailed,
    VolumeFull,
)
from apothic_backends.volumes import disk
from apothic_backends.volumes.files import Files
from apothic_backends.volumes.store import LAST_WRITE_WINS, Store
from apothic_backends.volumes.views import View
from tests.unit.backends.volumes.support import contents, copied, killed_at, put, write


@pytest.fixture
def views(store: Store) -> tuple[View, View]:
    put(Files(store), "shared", "before")
    put(Files(store), "d/x", "x")
    return copied(store), copied(store)


def test_disjoint_changes_of_two_become_one_version(store: Store, views: tuple[View, View]) -> None:
    one, other = views
    write(one.copy, "a", "1")
    write(other.copy, "b", "2")
    one.commit()
    other.commit()

    assert contents(store) == {"a": "1", "b": "2", "shared": "before", "d/x": "x"}


def test_two_commits_of_one_file_are_a_conflict_that_names_it_and_writes_nothing(
    store: Store, views: tuple[View, View]
) -> None:
    one, other = views
    write(one.copy, "shared", "one")
    write(other.copy, "shared", "other")
    write(other.copy, "more", "other")
    one.commit()

    with pytest.raises(VolumeConflict, match="'shared'") as caught:
        other.commit()
    assert caught.value.data["files"] == ["shared"]
    assert contents(store) == {"shared": "one", "d/x": "x"}


def test_the_last_write_wins_where_that_is_said(store: Store, views: tuple[View, View]) -> None:
    one, other = views
    write(one.copy, "shared", "one")
    write(other.copy, "shared", "other")
    one.commit()
    other.commit(on_conflict=LAST_WRITE_WINS)

    assert contents(store)["shared"] == "other"


def test_who_has_only_touched_a_file_keeps_what_others_have_made_of_it(
    store: Store, views: tuple[View, View]
) -> None:
    one, other = views
    write(one.copy, "shared", "after")
    one.commit()
    write(other.copy, "shared", "before")
    other.commit()
    write(other.copy, "more", "1")
    other.commit()

    assert contents(store) == {"shared": "after", "d/x": "x", "more": "1"}


def test_two_who_write_the_same_do_not_disagree(store: Store, views: tuple[View, View]) -> None:
    for view in views:
        write(view.copy, "shared", "same")
        view.commit()

    assert contents(store)["shared"] == "same"


@pytest.mark.parametrize("who", [0, 1])
def test_changing_what_another_removes_is_a_conflict(views: tuple[View, View], who: int) -> None:
    first, second = views[who], views[1 - who]
    for view in views:
        if view is views[0]:
            (view.copy / "shared").unlink()
        else:
            write(view.copy, "shared", "other")
    first.commit()

    with pytest.raises(VolumeConflict):
        second.commit()


def test_a_folder_that_one_removes_stays_for_what_another_has_put_into_it(
    store: Store, views: tuple[View, View]
) -> None:
    one, other = views
    (one.copy / "d/x").unlink()
    (one.copy / "d").rmdir()
    write(other.copy, "d/y", "y")
    one.commit()
    other.commit()

    assert contents(store) == {"shared": "before", "d/y": "y"}


@pytest.mark.parametrize("who", [0, 1])
def test_a_file_where_another_has_made_a_folder_is_a_conflict(
    views: tuple[View, View], who: int
) -> None:
    write(views[0].copy, "new", "file")
    write(views[1].copy, "new/inner", "in a folder")
    views[who].commit()

    with pytest.raises(VolumeConflict):
        views[1 - who].commit()


def test_what_others_changed_before_our_commit_and_we_did_not_stays_theirs(
    store: Store, views: tuple[View, View]
) -> None:
    one, other = views
    write(other.copy, "mine", "1")
    other.commit()
    write(one.copy, "mine", "2")
    with pytest.raises(VolumeConflict):
        one.commit()
    one.move()
    write(one.copy, "mine", "3")
    one.commit()
    write(other.copy, "other", "4")
    other.commit()

    assert contents(store) == {"shared": "before", "d/x": "x", "mine": "3", "other": "4"}


def test_a_lower_fence_than_the_highest_seen_is_refused(
    store: Store, views: tuple[View, View]
) -> None:
    one, other = views
    write(one.copy, "a", "new holder")
    one.commit(fence=8)
    write(other.copy, "b", "paused holder")

    with pytest.raises(Fenced) as caught:
        other.commit(fence=7)
    assert caught.value.data == {"fence": 7, "present": 8}
    assert "b" not in contents(store)


def test_a_fence_is_seen_even_if_nothing_was_written(views: tuple[View, View]) -> None:
    one, other = views
    one.commit(fence=8)
    write(other.copy, "b", "paused holder")

    with pytest.raises(Fenced):
        other.commit(fence=7)


@pytest.mark.parametrize("target", ["/etc/passwd", "../out", "d/../../out", "d/up/.."])
def test_a_link_out_of_the_volume_is_refused_and_nothing_is_written(
    store: Store, views: tuple[View, View], target: str
) -> None:
    one, _ = views
    (one.copy / "d/up").symlink_to("..")
    (one.copy / "link").symlink_to(target)

    with pytest.raises(PathRefused, match="link"):
        one.commit()
    assert contents(store) == {"shared": "before", "d/x": "x"}


def commit_something(store: Store) -> None:
    view = copied(store)
    write(view.copy, "shared", "after")
    write(view.copy, "new", "after")
    (view.copy / "d/x").unlink()
    view.commit()
    view.close()


BEFORE = {"shared": "before", "d/x": "x"}
AFTER = {"shared": "after", "new": "after"}


def test_a_commit_that_is_killed_before_any_step_leaves_the_old_version_or_the_new(
    store: Store,
) -> None:
    put(Files(store), "shared", "before")
    put(Files(store), "d/x", "x")
    seen: list[dict[str, str]] = []
    step = 0
    while killed_at(step, lambda: commit_something(store)):
        seen.append(contents(store))
        if seen[-1] == AFTER:
            put(Files(store), "shared", "before")
            put(Files(store), "d/x", "x")
            Files(store).remove("new")
        step += 1

    assert step > 15
    assert [one for one in seen if one not in (BEFORE, AFTER)] == []
    assert BEFORE in seen
    assert AFTER in seen
    assert contents(store) == AFTER


def test_what_a_killed_commit_has_left_is_gone_after_the_next(store: Store) -> None:
    put(Files(store), "shared", "before")
    put(Files(store), "d/x", "x")
    for step in range(12):
        assert killed_at(step, lambda: commit_something(store))
    commit_something(store)
    copied(store).close()

    objects = [*(store.folder / "objects").glob("*/*")]
    assert len(objects) == 1  # "after", twice
    assert [p.name for p in (store.folder / "manifests").iterdir()] == [str(store.rev)]
    assert [*(store.folder / "staging").iterdir()] == []
    assert [*(store.folder / "views").iterdir()] == []


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, VolumeFull), (errno.EDQUOT, VolumeFull), (errno.EROFS, VolumeFailed),
     (errno.EIO, VolumeFailed)],
)  # fmt: skip
@pytest.mark.parametrize("step", ["sync", "rename", "write", "sync_folder"])
def test_a_disk_that_takes_nothing_is_told_of_and_the_old_version_is_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str, number: int, kind: type[VolumeFailed]
) -> None:
    put(Files(store), "shared", "before")
    view = copied(store)
    write(view.copy, "shared", "after")

    def refuse(at: str) -> None:
        if at == step:
            raise OSError(number, "no")

    with monkeypatch.context() as patch:
        patch.setattr(disk, "before", refuse)
        with pytest.raises(VolumeFailed) as caught:
            view.commit()
    assert (type(caught.value), caught.value.data["errno"]) == (kind, number)
    assert contents(store) == {"shared": "before"}
    view.commit()
    assert contents(store) == {"shared": "after"}


@pytest.mark.parametrize("damage", ["garble", "truncate", "remove", "head"])
def test_a_version_that_is_not_as_it_was_written_is_told_of(store: Store, damage: str) -> None:
    put(Files(store), "a", "1")
    manifest = store.folder / "manifests" / str(store.rev)
    match damage:
        case "garble":
            manifest.write_bytes(manifest.read_bytes().replace(b'"a"', b'"b"'))
        case "truncate":
            manifest.write_bytes(manifest.read_bytes()[:-3])
        case "remove":
            manifest.unlink()
        case _:
            (store.folder / "HEAD").write_text("\0\0\0")

    with pytest.raises(VolumeDamaged, match="restore"):
        store.read()


def test_contents_that_no_version_has_are_not_kept(store: Store) -> None:
    files = Files(store)
    for text in "abc":
        put(files, "x", text)

    assert len([*(store.folder / "objects").glob("*/*")]) == 1


def test_equal_contents_are_kept_once(store: Store) -> None:
    put(Files(store), "a", "same")
    put(Files(store), "b/c", "same")

    assert len([*(store.folder / "objects").glob("*/*")]) == 1
    assert contents(store) == {"a": "same", "b/c": "same"}


def test_the_handle_is_for_whoever_opens_the_same_folder(store: Store, tmp_path: Path) -> None:
    put(Files(store), "a", "1")

    assert contents(Store(store.folder)) == {"a": "1"}
