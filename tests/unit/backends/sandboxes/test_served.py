"""Files of a sandbox for those who are elsewhere: small pieces, and nothing half done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apothic_backends.model.errors import ArchiveRefused, InvalidOption, NotFound, OverLimit
from apothic_backends.model.sandboxes import FileMissing, FileTooLarge
from apothic_backends.sandboxes import served as served_module
from apothic_backends.sandboxes.files import Files
from apothic_backends.sandboxes.served import MOST_OPEN, PIECE, ServedFiles


@pytest.fixture
def served(files: Files) -> Iterator[ServedFiles]:
    made = ServedFiles(files)
    yield made
    made.close()


def rest_of(served: ServedFiles, began: tuple[bytes, int | None]) -> bytes:
    piece, number = began
    pieces = [piece]
    while number is not None and (piece := served.do("more", number)):
        pieces.append(piece)
    assert max(map(len, pieces)) <= PIECE
    return b"".join(pieces)


def put(served: ServedFiles, data: bytes) -> int:
    number: int = served.do("put", 0, data[:PIECE])
    for at in range(PIECE, len(data), PIECE):
        served.do("put", number, data[at : at + PIECE])
    return number


def test_small_things_are_one_call(served: ServedFiles) -> None:
    served.do("write", "a", b"content", False, None)

    assert served.do("read", "a") == (b"content", None)
    assert served.do("read_part", "a", 3, 2) == b"te"
    assert served.do("stat", "a").size_bytes == 7
    assert [it.path for it in served.do("list", "")] == ["/workspace/a"]


def test_a_large_file_goes_up_and_comes_down_in_pieces(served: ServedFiles) -> None:
    data = os.urandom(3 * PIECE + 1)
    served.do("write_upload", put(served, data), "a/b", False, 0o600)

    assert rest_of(served, served.do("read", "a/b")) == data
    assert served.do("stat", "a/b").mode == 0o600


def test_what_is_read_stays_the_same_while_it_is_replaced(served: ServedFiles) -> None:
    data = bytes(3 * PIECE)
    served.do("write_upload", put(served, data), "a", False, None)
    began = served.do("read", "a")
    served.do("write", "a", b"new", False, None)

    assert rest_of(served, began) == data


def test_a_tree_comes_down_and_goes_up(served: ServedFiles, root: Path) -> None:
    for number in range(50):
        served.do("write", f"from/{number}", bytes(100_000), False, None)
    tar = rest_of(served, served.do("pack", "from"))
    served.do("unpack", put(served, tar), "to", "refuse")

    assert sorted(it.name for it in (root / "to").iterdir()) == sorted(map(str, range(50)))


def test_an_upload_is_used_once_or_dropped(served: ServedFiles) -> None:
    served.do("write_upload", number := served.do("put", 0, b"x"), "a", False, None)
    other = served.do("put", 0, b"x")
    served.do("drop", other)
    served.do("drop", other)

    for gone in (number, other, 1000, -1):
        with pytest.raises(NotFound):
            served.do("write_upload", gone, "b", False, None)


def test_a_tree_that_is_cut_off_is_refused(served: ServedFiles, root: Path) -> None:
    served.do("write", "from/a", bytes(1000), False, None)
    tar = rest_of(served, served.do("pack", "from"))
    with pytest.raises(ArchiveRefused):
        served.do("unpack", put(served, tar[:800]), "to", "refuse")

    assert list((root / "to").iterdir()) == []


def test_an_upload_that_is_too_large_is_refused(
    served: ServedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_module, "MOST_BYTES", 1000)
    number = served.do("put", 0, bytes(600))
    with pytest.raises(FileTooLarge):
        served.do("put", number, bytes(600))
    with pytest.raises(NotFound):
        served.do("put", number, b"")


def test_what_nobody_comes_back_for_makes_room(served: ServedFiles, files: Files) -> None:
    files.write_bytes("a", bytes(3 * PIECE))
    first = last = served.do("read", "a")[1]
    upload = served.do("put", 0, b"")
    for _ in range(MOST_OPEN):
        last = served.do("read", "a")[1]
        served.do("put", 0, b"")

    assert served.do("more", last)
    with pytest.raises(NotFound):
        served.do("more", first)
    with pytest.raises(NotFound):
        served.do("put", upload, b"")


def test_changes_are_told_until_it_is_not_watched(served: ServedFiles, files: Files) -> None:
    number = served.do("watch", "")
    files.write_bytes("a", b"")

    assert [it.kind for it in served.do("changes", number, 60)] == ["added"]
    served.do("unwatch", number)
    served.do("unwatch", number)
    with pytest.raises(NotFound):
        served.do("changes", number, 0)


def test_only_so_much_is_watched(served: ServedFiles) -> None:
    for _ in range(MOST_OPEN):
        served.do("watch", "")
    with pytest.raises(OverLimit):
        served.do("watch", "")


@pytest.mark.parametrize("what", ["close", "do", "_files", "__class__", "", None])
def test_nothing_else_is_done(served: ServedFiles, what: Any) -> None:
    with pytest.raises(InvalidOption):
        served.do(what)


def test_errors_come_as_they_are(served: ServedFiles) -> None:
    with pytest.raises(FileMissing):
        served.do("read", "missing")
