"""Trees as tars: what was packed comes out again, and from tars of others nothing that harms."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from apothic_backends import tars
from apothic_backends.model.errors import ApothicError, ArchiveRefused, FileRefused, PathRefused
from apothic_backends.model.sandboxes import FileFailed, FileTooLarge, NotADirectory
from apothic_backends.sandboxes.files import Files
from apothic_backends.sandboxes.trees import TreeLimits, Unpacked
from apothic_backends.tars import END, FILE, FOLDER, LINK, Header, encoded, padding

Names = dict[str, bytes | None]


def tree_of(folder: Path) -> Names:
    """Files by their path, with their content; directories have none, links their target."""
    return {
        str(it.relative_to(folder)): str(it.readlink()).encode()
        if it.is_symlink()
        else it.read_bytes()
        if it.is_file()
        else None
        for it in folder.rglob("*")
    }


def tar_of(*entries: Header, end: bytes = END) -> bytes:
    """A tar of files that hold zeros, with whatever names, in whatever order."""
    made = (encoded(it) + bytes(it.size + padding(it.size)) for it in entries)
    return b"".join(made) + end


def outside_of(root: Path) -> Names:
    return {path: it for path, it in tree_of(root.parent).items() if not path.startswith("work/")}


@pytest.fixture
def guarded(root: Path) -> Iterator[Path]:
    before = outside_of(root)
    yield root
    assert outside_of(root) == before


# --- what it is for -------------------------------------------------------------------------------


def test_what_was_packed_is_unpacked(files: Files, root: Path) -> None:
    long = "/".join(["deep" * 30] * 4)
    for path, data in {"a.py": b"a", "b/c": b"", f"{long}/ö": bytes(3000), "b-c": b"1"}.items():
        files.write_bytes(f"from/{path}", data)
    files.make_directory("from/empty")
    done = files.unpack("to/there", files.pack("from"))

    assert tree_of(root / "to" / "there") == tree_of(root / "from")
    assert (done.size_bytes, done.skipped) == (3002, [])


def test_modes_and_times_of_files_come_along_but_no_rights_to_act_for_others(
    files: Files, root: Path
) -> None:
    files.write_bytes("from/run", b"", mode=0o755)
    os.utime(root / "from" / "run", (1_000_000, 1_000_000))
    (root / "from" / "run").chmod(0o6755)
    files.unpack("to", files.pack("from"))
    found = (root / "to" / "run").stat()

    assert (stat.S_IMODE(found.st_mode), found.st_mtime) == (0o755, 1_000_000)


def test_what_is_there_is_replaced_and_the_rest_stays(files: Files, root: Path) -> None:
    files.write_bytes("from/a/x", b"new")
    files.write_bytes("to/a/x", b"old")
    files.write_bytes("to/a/y", b"stays")
    files.unpack("to", files.pack("from"))

    assert tree_of(root / "to") == {"a": None, "a/x": b"new", "a/y": b"stays"}


def test_a_tar_comes_in_pieces_of_any_size(files: Files, root: Path) -> None:
    files.write_bytes("from/a", bytes(range(256)) * 5)
    data = b"".join(files.pack("from"))
    files.unpack("to", (data[at : at + 7] for at in range(0, len(data), 7)))

    assert tree_of(root / "to") == tree_of(root / "from")


def test_other_programs_read_what_was_packed(files: Files, root: Path) -> None:
    long = "d/" + "ö" * 100
    files.write_bytes(f"from/{long}", b"content")
    (root / "from" / "link").symlink_to("x" * 150)
    with tarfile.open(fileobj=io.BytesIO(b"".join(files.pack("from")))) as tar:
        found = {it.name: (it.type, it.size, it.linkname) for it in tar}

    assert found == {
        "d": (FOLDER, 0, ""),
        long: (FILE, 7, ""),
        "link": (LINK, 0, "x" * 150),
    }


def test_pipes_are_left_out_and_links_are_kept_if_they_are_to_be(files: Files, root: Path) -> None:
    files.write_bytes("from/a", b"a")
    os.mkfifo(root / "from" / "pipe")
    (root / "from" / "link").symlink_to("../../../etc")
    files.unpack("to", files.pack("from"), links="keep")

    assert tree_of(root / "to") == {"a": b"a", "link": b"../../../etc"}


def test_links_are_told_of_if_they_are_skipped(files: Files, root: Path) -> None:
    files.write_bytes("from/a", b"a")
    (root / "from" / "link").symlink_to("/etc")
    done = files.unpack("to", files.pack("from"), links="skip")

    assert tree_of(root / "to") == {"a": b"a"}
    assert done == Unpacked(entries=2, size_bytes=1, skipped=["link"])


def test_a_file_of_two_names_becomes_two(files: Files, root: Path) -> None:
    files.write_bytes("from/a/one", b"same")
    files.write_bytes("from/b", b"other")
    (root / "from" / "c").hardlink_to(root / "from" / "a" / "one")
    files.unpack("to", files.pack("from"))

    assert tree_of(root / "to") == {"a": None, "a/one": b"same", "b": b"other", "c": b"same"}
    assert (root / "to" / "c").stat().st_nlink == 1


@pytest.mark.parametrize("inside", [1, 2])
def test_a_file_with_names_elsewhere_is_not_packed(files: Files, root: Path, inside: int) -> None:
    (root / "from").mkdir()
    for number in range(inside):
        (root / "from" / f"{number}").hardlink_to(root.parent / "outside" / "canary")
    with pytest.raises(FileRefused):
        b"".join(files.pack("from"))


def test_a_file_that_becomes_shorter_ends_the_packing(files: Files, root: Path) -> None:
    files.write_bytes("from/a", bytes(3 << 20))
    pieces = files.pack("from")
    next(pieces)
    os.truncate(root / "from" / "a", 10)
    with pytest.raises(FileFailed):
        b"".join(pieces)


def test_a_file_that_grows_is_packed_as_long_as_it_was(files: Files, root: Path) -> None:
    files.write_bytes("from/a", b"12345")
    pieces = files.pack("from")
    first = next(pieces)
    files.write_bytes("from/a", b"6789", append=True)
    files.unpack("to", [first, *pieces])

    assert tree_of(root / "to") == {"a": b"12345"}


def test_what_is_more_than_the_limits_is_not_packed(files: Files, root: Path) -> None:
    files.make_directory("from")
    with (root / "from" / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(FileTooLarge):
        next(files.pack("from"))
    with pytest.raises(FileTooLarge):
        b"".join(files.pack("", TreeLimits(entries=1)))


def test_a_tree_that_is_too_deep_is_not_packed(files: Files) -> None:
    files.make_directory("d/" * 260)
    with pytest.raises(PathRefused):
        b"".join(files.pack())


NAMES = st.text(
    st.characters(exclude_characters="/\\\0", codec="utf-8"), min_size=1, max_size=40
).filter(lambda name: name not in (".", ".."))


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.lists(NAMES, min_size=1, max_size=3).map(
            lambda parts: "f/" * (len(parts) - 1) + parts[-1]
        ),
        st.binary(max_size=1500),
        max_size=6,
    ).filter(lambda given: "f" not in given and "f/f" not in given)
)
def test_any_tree_comes_back(
    tmp_path_factory: pytest.TempPathFactory, given: dict[str, bytes]
) -> None:
    root = tmp_path_factory.mktemp("any")
    files = Files(root, "/")
    files.make_directory("from")
    for path, data in given.items():
        (root / "from" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "from" / path).write_bytes(data)
    files.unpack("to", files.pack("from"))

    assert tree_of(root / "to") == tree_of(root / "from")


# --- tars of others -------------------------------------------------------------------------------


def by_tarfile(change: Callable[[tarfile.TarInfo], None], kind: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar of one file, changed, as other programs write it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
        info = tarfile.TarInfo("file")
        info.size = 3
        change(info)
        tar.addfile(info, io.BytesIO(b"abc") if info.size == 3 else None)
    return out.getvalue()


def setter(**fields: object) -> Callable[[tarfile.TarInfo], None]:
    def change(info: tarfile.TarInfo) -> None:
        for name, value in fields.items():
            setattr(info, name, value)

    return change


ODD: dict[str, bytes] = {
    "absolute": tar_of(Header("/etc/passwd")),
    "climbs": tar_of(Header("../x")),
    "climbs within": tar_of(Header("a/../../x")),
    "climbs with backslashes": tar_of(Header("a\\..\\..\\x")),
    "dot": tar_of(Header(".")),
    "empty name": tar_of(Header("")),
    "empty part": tar_of(Header("a//b")),
    "twice": tar_of(Header("a"), Header("a")),
    "out of order": tar_of(Header("b"), Header("a")),
    "a file and a folder": tar_of(Header("a"), Header("a", FOLDER)),
    "long name of a part": tar_of(Header("a" * 256)),
    "long path": tar_of(Header("a/" * 2040 + "a")),
    "too deep": tar_of(Header("a/" * 256 + "a")),
    "NUL in a name": tar_of(Header("a\0b")),
    "NUL in a target": tar_of(Header("a", LINK, target="a\0b")),
    "a link": tar_of(Header("a", LINK, target="b")),
    "a link out": tar_of(Header("a", LINK, target="../outside")),
    "a file through a link": tar_of(Header("a", LINK, target="../outside"), Header("a/new")),
    "setuid": tar_of(Header("a", mode=0o4755)),
    "setgid": tar_of(Header("a", FOLDER, mode=0o2755)),
    "a hard link": by_tarfile(setter(type=tarfile.LNKTYPE, linkname="../outside/canary", size=0)),
    "a character device": by_tarfile(setter(type=tarfile.CHRTYPE, size=0, devmajor=1, devminor=5)),
    "a block device": by_tarfile(setter(type=tarfile.BLKTYPE, size=0, devmajor=8)),
    "a pipe": by_tarfile(setter(type=tarfile.FIFOTYPE, size=0)),
    "sparse": by_tarfile(setter(type=tarfile.GNUTYPE_SPARSE)),
    "contiguous": by_tarfile(setter(type=tarfile.CONTTYPE)),
    "an owner": by_tarfile(setter(uid=1000)),
    "a named owner": by_tarfile(setter(uname="root")),
    "extended": by_tarfile(setter(name="é" * 200), tarfile.PAX_FORMAT),
    "the long-path trick": by_tarfile(setter(name="a/" * 3000 + "x"), tarfile.PAX_FORMAT),
    "a size in binary": by_tarfile(setter(size=8 << 30)),
    "a wrong checksum": tar_of(Header("a"))[:148] + b"000000" + tar_of(Header("a"))[154:],
    "no end": tar_of(Header("a"), end=b""),
    "half an end": tar_of(Header("a"), end=bytes(512)),
    "something after the end": tar_of(Header("a"), end=END + b"x"),
    "a second tar": tar_of(Header("a")) * 2,
    "cut off in a file": tar_of(Header("a", size=600))[:1000],
    "cut off in a header": tar_of(Header("a"))[:100],
    "something in the padding": tar_of(Header("a", size=1)).replace(bytes(1024), b"x" * 512, 1),
    "no tar": b"hello" * 1000,
    "a zip": b"PK\x03\x04" + bytes(2000),
    "nothing": b"",
}  # fmt: skip


@pytest.mark.parametrize("data", ODD.values(), ids=ODD.keys())
def test_a_tar_that_is_not_as_ours_are_is_refused(
    files: Files, guarded: Path, data: bytes, way: str
) -> None:
    with pytest.raises(ArchiveRefused):
        files.unpack("", [data])

    assert not any(it.is_symlink() for it in guarded.rglob("*"))


@pytest.mark.parametrize("name", ["a file through a link", "a link out"])
def test_a_link_that_is_kept_is_not_followed(files: Files, guarded: Path, name: str) -> None:
    try:
        files.unpack("", [ODD[name]], links="keep")
    except NotADirectory:
        pass

    assert [it.name for it in guarded.iterdir()] == ["a"]


def test_a_link_that_was_there_is_not_followed(files: Files, guarded: Path, way: str) -> None:
    (guarded / "a").symlink_to("../outside")
    with pytest.raises(NotADirectory):
        files.unpack("", [tar_of(Header("a/canary", size=3))])
    with pytest.raises(PathRefused):
        files.unpack("a", [tar_of(Header("canary", size=3))])


def test_a_link_at_the_place_of_a_file_is_replaced(files: Files, guarded: Path) -> None:
    (guarded / "a").symlink_to("../outside/canary")
    files.unpack("", [tar_of(Header("a", size=3))])

    assert (guarded / "a").read_bytes() == bytes(3)
    assert not (guarded / "a").is_symlink()


def test_a_hard_link_at_the_place_of_a_file_is_replaced(files: Files, guarded: Path) -> None:
    (guarded / "a").hardlink_to(guarded.parent / "outside" / "canary")
    files.unpack("", [tar_of(Header("a", size=3))])

    assert (guarded / "a").stat().st_nlink == 1


@pytest.mark.parametrize("links", ["refuse", "skip", "keep"])
def test_a_million_entries_are_refused_early(files: Files, root: Path, links: str) -> None:
    taken = 0

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        for number in range(1_000_000):
            taken += 1
            kind, target = (FILE, "") if links == "refuse" else (LINK, "x")
            yield encoded(Header(f"{number:07}", kind, target=target))

    with pytest.raises(FileTooLarge) as caught:
        files.unpack("", pieces(), TreeLimits(entries=100), links=links)  # type: ignore[arg-type]

    assert caught.value.data == {"limit_entries": 100}
    assert taken == 101


def test_directories_that_are_not_entries_count_too(files: Files) -> None:
    deep = [Header(f"{number:03}/a/b/c/d/e/f/g") for number in range(50)]
    with pytest.raises(FileTooLarge):
        files.unpack("", [tar_of(*deep)], TreeLimits(entries=100))


def test_a_file_that_is_too_large_is_refused_before_its_content(files: Files, root: Path) -> None:
    head = encoded(Header("a", size=tars.MOST_SIZE))
    with pytest.raises(FileTooLarge):
        files.unpack("", [head], TreeLimits(size_bytes=1 << 20))

    assert list(root.iterdir()) == []


def test_files_are_too_large_together(files: Files) -> None:
    data = tar_of(Header("a", size=600), Header("b", size=600))
    with pytest.raises(FileTooLarge):
        files.unpack("", [data], TreeLimits(size_bytes=1000))


def test_a_file_that_is_cut_off_is_not_there(files: Files, root: Path) -> None:
    with pytest.raises(ArchiveRefused):
        files.unpack("", [ODD["cut off in a file"]])

    assert list(root.iterdir()) == []


@settings(max_examples=200, deadline=None)
@given(
    data=st.data(),
    entries=st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "a/b", "../x", "/x", "a/../b", "c" * 120, "a/b/c", "é"]),
            st.sampled_from([FILE, FOLDER, LINK, b"1", b"6", b"x"]),
            st.integers(0, 600),
        ),
        max_size=5,
    ),
)
def test_whatever_bytes_come_nothing_outside_changes(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    entries: list[tuple[str, bytes, int]],
) -> None:
    base = tmp_path_factory.mktemp("any")
    (base / "root").mkdir()
    (base / "canary").write_text("canary")
    tar = bytearray(tar_of(*(Header(path, kind, size) for path, kind, size in entries)))
    for at in data.draw(st.lists(st.integers(0, len(tar) - 1), max_size=3)):
        tar[at] = data.draw(st.integers(0, 255))
    files = Files(base / "root")
    try:
        files.unpack("", [bytes(tar)], links="keep")
    except ApothicError:
        pass

    assert sorted(it.name for it in base.iterdir()) == ["canary", "root"]
    assert (base / "canary").read_text() == "canary"
