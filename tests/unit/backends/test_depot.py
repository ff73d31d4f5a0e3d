"""Archives and trees on the disk: whole or not there."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from apothic_backends import depot
from apothic_backends.archives import pack
from apothic_backends.depot import MOST_COMING, Archives, Trees
from apothic_backends.model.errors import (
    ArchiveRefused,
    InvalidOption,
    NotFound,
    StoreError,
    StoreFull,
)


def archive(tmp_path: Path, text: str = "x = 1\n") -> tuple[str, bytes]:
    source = tmp_path / "source.py"
    source.write_text(text)
    out = io.BytesIO()
    return pack([("pkg/mod.py", source)], out), out.getvalue()


@pytest.fixture
def archives(tmp_path: Path) -> Archives:
    return Archives(tmp_path / "archives")


def put(archives: Archives, digest: str, data: bytes) -> int:
    return archives.put(digest, len(data), 0, data)


@pytest.fixture
def trees(tmp_path: Path) -> Iterator[Trees]:
    yield Trees(tmp_path / "trees")
    for fd in Path("/proc/self/fd").iterdir():  # they last as long as the process
        if ".lock" in os.path.realpath(fd) and str(tmp_path) in os.path.realpath(fd):
            os.close(int(fd.name))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_what_is_put_in_pieces_is_there_when_it_is_whole(
    tmp_path: Path, archives: Archives
) -> None:
    digest, data = archive(tmp_path)
    size = len(data)

    assert archives.put(digest, size, 0, data[:700]) == 700
    assert not archives.has(digest)
    assert archives.put(digest, size, 700, data[700:]) == size
    assert archives.has(digest)
    assert archives.get(digest, 0) == data
    assert archives.get(digest, 700, 100) == data[700:800]
    assert archives.get(digest, size) == b""
    assert names(archives.folder) == [digest]


def test_a_piece_that_comes_twice_changes_nothing(tmp_path: Path, archives: Archives) -> None:
    digest, data = archive(tmp_path)
    size = len(data)
    archives.put(digest, size, 0, data[:700])

    assert archives.put(digest, size, 0, data[:700]) == 700
    assert archives.put(digest, size, 900, data[900:]) == 700
    assert archives.put(digest, size, 700, data[700:]) == size
    assert archives.put(digest, size, 700, data[700:]) == size


def test_what_is_not_what_it_was_said_to_be_is_not_kept(tmp_path: Path, archives: Archives) -> None:
    digest, data = archive(tmp_path)
    with pytest.raises(ArchiveRefused):
        put(archives, digest, data[:-1] + b"x")

    assert names(archives.folder) == []
    assert put(archives, digest, data) == len(data)


def test_what_is_no_archive_is_not_kept(archives: Archives) -> None:
    data = b"PK\x03\x04" * 300
    with pytest.raises(ArchiveRefused):
        put(archives, hashlib.sha256(data).hexdigest(), data)

    assert names(archives.folder) == []


@pytest.mark.parametrize(
    ("size", "at", "length"), [(0, 0, 0), (10, 5, 6), (1 << 40, 0, 1), (-1, 0, 0)]
)
def test_sizes_that_cannot_be_are_refused(
    archives: Archives, size: int, at: int, length: int
) -> None:
    with pytest.raises(ArchiveRefused):
        archives.put("0" * 64, size, at, bytes(length))


def test_a_piece_that_is_too_large_is_refused(
    archives: Archives, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depot, "MOST_PIECE", 5)
    with pytest.raises(ArchiveRefused):
        archives.put("0" * 64, 100, 0, bytes(6))


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 63 + "/"])
def test_only_digests_name_archives(archives: Archives, trees: Trees, digest: str) -> None:
    for ask in (archives.has, lambda it: archives.get(it, 0), lambda it: put(archives, it, b"x")):
        with pytest.raises(InvalidOption):
            ask(digest)
    with pytest.raises(InvalidOption):
        trees.open(digest, Path("x"))


def test_of_many_on_their_way_the_oldest_begins_anew(archives: Archives) -> None:
    digests = [hashlib.sha256(bytes([n])).hexdigest() for n in range(MOST_COMING + 1)]
    for digest in digests:
        archives.put(digest, 100, 0, b"x")

    assert archives.put(digests[1], 100, 1, b"x") == 2
    assert archives.put(digests[0], 100, 1, b"x") == 0
    assert len(names(archives.folder)) == MOST_COMING
    archives.close()
    assert names(archives.folder) == []


def test_another_size_begins_anew(tmp_path: Path, archives: Archives) -> None:
    digest, data = archive(tmp_path)
    archives.put(digest, 5000, 0, b"wrong")

    assert put(archives, digest, data) == len(data)


def test_what_is_not_there_is_not_found(archives: Archives, trees: Trees) -> None:
    assert not archives.has("0" * 64)
    with pytest.raises(NotFound):
        archives.get("0" * 64, 0)
    with pytest.raises(NotFound):
        trees.open("0" * 64, archives.path("0" * 64))


def test_only_those_that_are_needed_are_kept(tmp_path: Path, archives: Archives) -> None:
    archives.keep_only([])
    one, two = archive(tmp_path, "1"), archive(tmp_path, "2")
    put(archives, *one)
    put(archives, *two)
    (archives.folder / ".left.part").touch()
    archives.keep_only([two[0]])

    assert names(archives.folder) == [two[0]]


def test_a_full_disk_is_told(
    tmp_path: Path, archives: Archives, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, data = archive(tmp_path)
    archives.folder.symlink_to("/dev/full")
    with pytest.raises(StoreError):
        put(archives, digest, data)
    archives.folder.unlink()

    class Full(depot._Coming):
        def add(self, data: bytes) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(depot, "_Coming", Full)
    with pytest.raises(StoreFull):
        put(archives, digest, data)


# --- trees --------------------------------------------------------------------------------------


def stored(tmp_path: Path, archives: Archives, text: str = "x = 1\n") -> tuple[str, Path]:
    digest, data = archive(tmp_path, text)
    put(archives, digest, data)
    return digest, archives.path(digest)


def test_a_tree_has_the_files_of_its_archive(
    tmp_path: Path, archives: Archives, trees: Trees
) -> None:
    digest, path = stored(tmp_path, archives)
    tree = trees.open(digest, path)

    assert (tree / "pkg/mod.py").read_text() == "x = 1\n"
    assert trees.open(digest, tmp_path / "not needed any more") == tree
    assert [name for name in names(trees.folder) if name.startswith(".")] == []


def test_a_damaged_archive_makes_no_tree(tmp_path: Path, archives: Archives, trees: Trees) -> None:
    digest, path = stored(tmp_path, archives)
    path.write_bytes(path.read_bytes().replace(b"x = 1", b"x = 2"))
    with pytest.raises(ArchiveRefused):
        trees.open(digest, path)

    assert names(trees.folder) == [f"{digest}.lock"]


def test_many_who_want_the_same_tree_get_the_same(
    tmp_path: Path, archives: Archives, trees: Trees
) -> None:
    digest, path = stored(tmp_path, archives)
    with ThreadPoolExecutor(8) as pool:
        found = {*pool.map(lambda _: trees.open(digest, path), range(32))}

    assert found == {trees.folder / digest}
    assert names(trees.folder) == [digest, f"{digest}.lock"]


def test_what_nobody_has_used_for_long_is_removed(
    tmp_path: Path, archives: Archives, trees: Trees
) -> None:
    old, old_path = stored(tmp_path, archives, "old")
    used, used_path = stored(tmp_path, archives, "used")
    program = (
        "import sys; from pathlib import Path; from apothic_backends.depot import Trees;"
        "Trees(Path(sys.argv[1])).open(sys.argv[2], Path(sys.argv[3]))"
    )
    parent = str(trees.folder.parent)
    subprocess.run([sys.executable, "-c", program, parent, old, str(old_path)], check=True)
    trees.open(used, used_path)
    (trees.folder / ".unfinished").mkdir()
    for path in trees.folder.iterdir():
        os.utime(path, (1, 1))
    new, new_path = stored(tmp_path, archives, "new")
    trees.open(new, new_path)

    assert names(trees.folder) == sorted([used, f"{used}.lock", new, f"{new}.lock"])


def test_a_tree_of_another_boot_is_not_believed(
    tmp_path: Path, archives: Archives, trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, path = stored(tmp_path, archives)
    trees.open(digest, path)
    monkeypatch.setattr(depot, "_BOOT", tmp_path / "none")

    assert Trees(tmp_path / "trees").folder != trees.folder
