"""Watching: what changes is told once, and a link does not show what changes elsewhere."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from apothic_backends.model.sandboxes import FileChange, FileTooLarge
from apothic_backends.sandboxes import changes
from apothic_backends.sandboxes.files import Files


def told(found: list[FileChange]) -> list[tuple[str, str]]:
    return [(it.path.removeprefix("/workspace/"), it.kind) for it in found]


def test_what_changes_is_told_once(files: Files) -> None:
    files.write_bytes("d/old", b"")
    files.write_bytes("d/gone", b"")
    watch = files.watch("/workspace/d")
    files.write_bytes("d/old", b"changed")
    files.write_bytes("d/e/new", b"")
    files.remove("d/gone")

    assert told(watch.poll()) == [
        ("d/e", "added"),
        ("d/e/new", "added"),
        ("d/gone", "removed"),
        ("d/old", "modified"),
    ]
    assert watch.poll() == []
    watch.close()


def test_a_file_is_watched_by_itself(files: Files) -> None:
    files.write_bytes("a", b"")
    files.write_bytes("b", b"")
    watch = files.watch("a")
    files.write_bytes("b", b"changed")
    files.write_bytes("a", b"changed")

    assert told(watch.poll()) == [("a", "modified")]
    watch.close()


def test_a_directory_that_comes_and_goes_is_watched(files: Files) -> None:
    watch = files.watch("later")
    files.write_bytes("later/x", b"")
    came = told(watch.poll())
    files.remove("later", recursive=True)

    assert came == [("later/x", "added")]
    assert told(watch.poll()) == [("later/x", "removed")]
    watch.close()


def test_who_waits_is_told_as_soon_as_something_changes(files: Files) -> None:
    watch = files.watch()
    writing = threading.Timer(0.05, files.write_bytes, ("a", b""))
    writing.start()

    assert told(watch.wait(60)) == [("a", "added")]
    writing.join()
    watch.close()


def test_who_waits_is_told_of_nothing_once_it_is_closed(files: Files) -> None:
    watch = files.watch()
    closing = threading.Timer(0.05, watch.close)
    closing.start()

    assert watch.wait(60) == []
    closing.join()
    watch.close()


def test_what_a_link_leads_to_is_not_watched(files: Files, root: Path) -> None:
    (root / "link").symlink_to("../outside")
    watch = files.watch()
    (root.parent / "outside" / "new").touch()

    assert watch.poll() == []
    watch.close()


def test_too_many_files_are_not_watched(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MOST_WATCHED", 2)
    for name in "abc":
        files.write_bytes(name, b"")
    with pytest.raises(FileTooLarge):
        files.watch()
