"""Files of a sandbox for those who are elsewhere: small pieces, and nothing half done."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apothic_backends.model.errors import ArchiveRefused, NotFound, UsageError
from apothic_backends.model.sandboxes import FileMissing, FileTooLarge
from apothic_backends.sandboxes import transfers as transfers_module
from apothic_backends.sandboxes.files import Files
from apothic_backends.sandboxes.transfers import MOST_OPEN, PIECE, Transfers

Do = Callable[..., Any]


@pytest.fixture
def transfers(files: Files, tmp_path: Path) -> Iterator[Transfers]:
    made = Transfers(files, tmp_path)
    yield made
    made.close()


@pytest.fixture
def do(transfers: Transfers) -> Do:
    return lambda name, *args, **how: transfers.do(name, args, how)


def all_of(do: Do, name: str, path: str) -> bytes:
    piece, number = do(name, path)
    found = [piece]
    while number and (piece := do("take", number)):
        found.append(piece)
    return b"".join(found)


def put(do: Do, data: bytes) -> int:
    number: int = do("stage", 0, b"")
    for at in range(0, len(data), PIECE):
        do("stage", number, data[at : at + PIECE])
    return number


def test_a_small_file_is_one_call(do: Do) -> None:
    do("write", "a", b"content")

    assert do("read_all", "a") == (b"content", 0)
    assert do("read", "a", 3, 2) == b"te"


def test_a_large_file_goes_up_and_comes_down_in_pieces(do: Do) -> None:
    data = os.urandom(2 * PIECE + 1)
    do("write_staged", put(do, data), "a/b", 0o600)

    assert all_of(do, "read_all", "a/b") == data
    assert do("stat", "a/b").mode == 0o600


def test_what_is_read_stays_the_same_while_it_is_replaced(do: Do) -> None:
    data = bytes(2 * PIECE)
    do("write_staged", put(do, data), "a", None)
    piece, number = do("read_all", "a")
    do("write", "a", b"new")

    assert piece + do("take", number) == data
    assert do("take", number) == b""


def test_a_tree_comes_down_and_goes_up(do: Do, root: Path) -> None:
    for number in range(50):
        do("write", f"from/{number}", bytes(100_000))
    do("unpack", put(do, all_of(do, "pack", "from")), "to")

    assert sorted(it.name for it in (root / "to").iterdir()) == sorted(map(str, range(50)))


@pytest.mark.parametrize("size", [0, 1, 512, 1024])
def test_files_of_any_size_are_in_a_tree(do: Do, root: Path, size: int) -> None:
    for name in ("a", "b"):
        do("write", f"from/{name}", bytes(size))
    do("unpack", put(do, all_of(do, "pack", "from")), "to")

    assert [it.stat().st_size for it in (root / "to").iterdir()] == [size, size]


def test_what_was_staged_is_used_once_or_dropped(do: Do) -> None:
    do("write_staged", number := do("stage", 0, b"x"), "a", None)
    do("drop", other := do("stage", 0, b"x"))
    do("drop", other)

    for gone in (number, other, 1000, -1):
        with pytest.raises(NotFound):
            do("write_staged", gone, "b", None)


def test_a_tree_that_is_cut_off_is_refused(do: Do, root: Path) -> None:
    do("write", "from/a", bytes(1000))
    tar = all_of(do, "pack", "from")
    with pytest.raises(ArchiveRefused):
        do("unpack", put(do, tar[:800]), "to")

    assert list((root / "to").iterdir()) == []


def test_more_than_is_staged_is_refused(do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers_module, "MOST_STAGED", 1000)
    number = do("stage", 0, bytes(600))
    with pytest.raises(FileTooLarge):
        do("stage", number, bytes(600))
    with pytest.raises(NotFound):
        do("stage", number, b"")


def test_what_nobody_comes_back_for_makes_room(do: Do) -> None:
    first = do("stage", 0, b"")
    for _ in range(MOST_OPEN):
        last = do("stage", 0, b"")

    assert do("stage", last, b"") == last  # type: ignore[possibly-undefined]
    with pytest.raises(NotFound):
        do("stage", first, b"")


def test_changes_are_told_until_it_is_not_watched(do: Do) -> None:
    number = do("watch", "")
    do("write", "a", b"")

    assert [it.kind for it in do("changes", number, 60)] == ["added"]
    do("drop", number)
    with pytest.raises(NotFound):
        do("changes", number, 0)


def test_the_end_does_not_wait_for_what_is_on_its_way(
    transfers: Transfers, do: Do, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a").write_bytes(bytes(3 * PIECE))
    number = do("watch", "")
    waiting = threading.Thread(target=do, args=("changes", number, 60))
    waiting.start()
    piece, reading = do("read_all", "a")
    transfers.close()
    waiting.join()

    assert piece
    with pytest.raises(NotFound):
        do("take", reading)


@pytest.mark.parametrize("name", ["close", "do", "_files", "__class__", "", None])
def test_nothing_else_is_done(do: Do, name: Any) -> None:
    with pytest.raises(UsageError):
        do(name)


def test_errors_come_as_they_are(do: Do) -> None:
    with pytest.raises(FileMissing):
        do("read_all", "missing")
