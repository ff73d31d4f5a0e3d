"""Archives: the same for the same files, and nothing but files comes out of them."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from apothic_backends import archives
from apothic_backends.archives import Member, check_path, listed, pack, unpack
from apothic_backends.model.errors import ArchiveRefused, PackageRefused

LONG = "/".join(["deep" * 20] * 4) + "/ö.py"


def made(tmp_path: Path, files: dict[str, bytes]) -> list[tuple[str, Path]]:
    """Files on the disk, as `pack` wants them."""
    found: list[tuple[str, Path]] = []
    for number, (path, content) in enumerate(files.items()):
        source = tmp_path / f"source-{number}"
        source.write_bytes(content)
        found.append((path, source))
    return found


def archive_of(tmp_path: Path, files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    pack(made(tmp_path, files), out)
    return out.getvalue()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tree_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_what_was_packed_is_unpacked(tmp_path: Path) -> None:
    files = {"a.py": b"x = 1\n", "b/c.txt": b"", LONG: bytes(3000), "b/é": b"\0" * 512}
    data = archive_of(tmp_path, files)
    (tmp_path / "into").mkdir()
    unpack(io.BytesIO(data), tmp_path / "into", digest(data))

    assert tree_of(tmp_path / "into") == files


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="/\\\0", codec="utf-8"), min_size=1, max_size=60)
        .filter(lambda name: name not in (".", ".."))
        .map(lambda name: f"f/{name}"),
        st.binary(max_size=1500),
        max_size=6,
    )
)
def test_any_files_come_back(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    data = archive_of(folder, files)
    (folder / "into").mkdir()
    unpack(io.BytesIO(data), folder / "into", digest(data))

    assert tree_of(folder / "into") == files
    assert [member.path for member in listed(io.BytesIO(data))] == sorted(files, key=os.fsencode)


def test_an_archive_depends_on_nothing_but_its_files(tmp_path: Path) -> None:
    files = {"b.py": b"b", "a.py": b"a"}
    one = archive_of(tmp_path, files)
    for source in tmp_path.iterdir():
        source.chmod(0o640)
        os.utime(source, (5, 5))
    again = io.BytesIO()
    name = pack(reversed([(p, tmp_path / f"source-{i}") for i, p in enumerate(files)]), again)

    assert again.getvalue() == one
    assert name == digest(one)


def test_an_archive_of_these_files_has_this_digest_everywhere(tmp_path: Path) -> None:
    data = archive_of(tmp_path, {"app.py": b"print(1)\n", LONG: b"long"})

    assert digest(data) == "7440e272e88c96a60934ad8cb7bc7a95beffe36eaa3b8100bc35f665ae633eb0"


def test_other_programs_can_read_it(tmp_path: Path) -> None:
    files = {"a.py": b"x = 1\n", LONG: b"y" * 1000}
    with tarfile.open(fileobj=io.BytesIO(archive_of(tmp_path, files))) as tar:
        read = {member.name: tar.extractfile(member) for member in tar}

    assert {name: file.read() for name, file in read.items() if file} == files


def test_what_may_be_executed_may_be_executed_again(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o700)
    out = io.BytesIO()
    name = pack([("bin/tool", tool)], out)
    (tmp_path / "into").mkdir()
    unpack(io.BytesIO(out.getvalue()), tmp_path / "into", name)

    assert (tmp_path / "into/bin/tool").stat().st_mode & 0o777 == 0o555
    assert listed(io.BytesIO(out.getvalue())) == [Member("bin/tool", 10, is_executable=True)]


def test_nobody_changes_what_was_unpacked(tmp_path: Path) -> None:
    data = archive_of(tmp_path, {"a/b.py": b""})
    (tmp_path / "into").mkdir()
    unpack(io.BytesIO(data), tmp_path / "into", digest(data))
    modes = {p.name: p.stat().st_mode & 0o777 for p in [*(tmp_path / "into").rglob("*")]}

    assert modes == {"a": 0o555, "b.py": 0o444}


# --- what is refused ----------------------------------------------------------------------------


def refused(tmp_path: Path, data: bytes) -> None:
    """It is refused, when it is looked at and when it is unpacked; nothing is outside."""
    inner = tmp_path / "outer" / "into"
    inner.mkdir(parents=True)
    with pytest.raises(ArchiveRefused):
        listed(io.BytesIO(data))
    with pytest.raises(ArchiveRefused):
        unpack(io.BytesIO(data), inner, digest(data))
    assert [*(tmp_path / "outer").iterdir()] == [inner]


def plain(name: str, content: bytes = b"") -> bytes:
    """A member as we would write it, with whatever name."""
    head = archives._head(name, len(content), is_executable=False)
    return head + content + bytes(-len(content) % 512)


END = bytes(1024)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "./a",
        "a/.",
        "a\\..\\b",
        "a/",
        "x" * 256,
        "n/" * 2100 + "n",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    refused(tmp_path, plain(name) + END)


def odd(change: Callable[[tarfile.TarInfo], None]) -> bytes:
    """A member as other programs write it."""
    member = tarfile.TarInfo("a.py")
    change(member)
    return member.tobuf(tarfile.GNU_FORMAT)


def kind(value: bytes, link: str = "") -> Callable[[tarfile.TarInfo], None]:
    def change(member: tarfile.TarInfo) -> None:
        member.type, member.linkname = value, link

    return change


@pytest.mark.parametrize(
    "data",
    [
        odd(kind(tarfile.SYMTYPE, "/etc")),
        odd(kind(tarfile.LNKTYPE, "/etc/passwd")),
        odd(kind(tarfile.CHRTYPE)),
        odd(kind(tarfile.BLKTYPE)),
        odd(kind(tarfile.FIFOTYPE)),
        odd(kind(tarfile.DIRTYPE)),
        odd(kind(tarfile.GNUTYPE_SPARSE)),
        odd(kind(tarfile.CONTTYPE)),
        odd(lambda member: setattr(member, "mode", 0o4755)),
        odd(lambda member: setattr(member, "mtime", 5)),
        odd(lambda member: setattr(member, "uid", 5)),
        odd(lambda member: setattr(member, "uname", "root")),
        odd(lambda member: setattr(member, "size", 1 << 40)),
        tarfile.TarInfo("é" * 90).tobuf(tarfile.PAX_FORMAT),
        plain("a")[:100] + b"garbage" + plain("a")[107:],
    ],
    ids=[
        *("symlink", "hard link", "char device", "block device", "fifo", "folder", "sparse"),
        *("contiguous", "setuid", "time", "owner", "owner's name", "size", "pax", "garbage"),
    ],
)
def test_what_is_no_plain_file_of_ours_is_refused(tmp_path: Path, data: bytes) -> None:
    refused(tmp_path, data + END)


def test_a_negative_size_is_refused(tmp_path: Path) -> None:
    block = bytearray(plain("a"))
    block[124:136] = b"-0000000512\0"
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)

    refused(tmp_path, bytes(block) + END)


@pytest.mark.parametrize(
    "data",
    [
        plain("b") + plain("a") + END,
        plain("a") + plain("a") + END,
        plain("a", b"file") + plain("a/b") + END,
        plain("a", b"content")[:-1] + b"x" + END,
        plain("a") + END + b"x",
        plain("a") + END[:512],
        plain("a", b"content")[:700],
        plain("x" * 120)[:600],
        b"",
        b"PK\x03\x04" + bytes(600),
    ],
    ids=[
        *("out of order", "twice", "file and folder", "padding", "after the end", "half an end"),
        *("cut off", "cut in a name", "empty", "zip"),
    ],
)
def test_what_is_not_whole_is_refused(tmp_path: Path, data: bytes) -> None:
    if data == plain("a", b"file") + plain("a/b") + END:  # only a disk can tell
        (tmp_path / "into").mkdir()
        with pytest.raises(ArchiveRefused):
            unpack(io.BytesIO(data), tmp_path / "into", digest(data))
        return
    refused(tmp_path, data)


def test_another_archive_is_refused(tmp_path: Path) -> None:
    data = archive_of(tmp_path, {"a.py": b"1"})
    (tmp_path / "into").mkdir()

    with pytest.raises(ArchiveRefused):
        unpack(io.BytesIO(data), tmp_path / "into", digest(b"other"))


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_FILES", 2)
    two, three = (archive_of(tmp_path, {str(n): b"" for n in range(count)}) for count in (2, 3))

    assert len(listed(io.BytesIO(two))) == 2
    with pytest.raises(ArchiveRefused):
        listed(io.BytesIO(three))


def test_too_much_is_refused_on_both_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = archive_of(tmp_path, {"a": bytes(5000)})
    monkeypatch.setattr(archives, "MOST_BYTES", 4000)

    with pytest.raises(ArchiveRefused):
        listed(io.BytesIO(data))
    with pytest.raises(PackageRefused):
        archive_of(tmp_path, {"a": bytes(5000)})


def test_only_files_are_packed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo", "missing", "."):
        with pytest.raises(PackageRefused):
            pack([("a", tmp_path / name)], io.BytesIO())


def test_a_file_that_grows_while_it_is_packed_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "grows"
    source.write_bytes(b"x" * 10)

    class Out(io.BytesIO):
        def write(self, data: object) -> int:
            with source.open("ab") as file:
                file.write(b"more")
            return 0

    with pytest.raises(PackageRefused, match="changes"):
        pack([("a", source)], Out())


@pytest.mark.parametrize("path", ["", "/", "a/../b", "a\0b"])
def test_no_archive_has_such_a_path(path: str) -> None:
    with pytest.raises(ArchiveRefused):
        check_path(path)
