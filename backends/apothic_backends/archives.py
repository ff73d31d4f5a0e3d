"""Code as it ships: files in one archive, which is the same wherever it is made of the same files.

An archive is a tar of regular files: sorted by name, without times and owners, and with no mode but
"may be executed". It is not compressed, so that its digest (SHA-256) is the same on every machine,
and nothing grows out of it. Any tar can read one. What reads them here takes nothing but what is
written here, to the byte: no links, devices, odd modes, or second entries for a name.

Standard library only: workers use it, too.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from apothic_backends import tars
from apothic_backends.model.errors import ArchiveRefused, PackageRefused
from apothic_backends.tars import BLOCK, END, FILE, MOST_PATH, Header, padding, read_header

MOST_BYTES = 256 << 20
"""The largest archive."""
MOST_FILES = 50_000
"""The most files of one."""
MOST_NAME = 255
"""The longest name in a path, in bytes, as file systems have it."""

_CHUNK = 1 << 20
_PLAIN, _EXECUTABLE = 0o644, 0o755


class Member(NamedTuple):
    """One file of an archive."""

    path: str
    """With slashes, relative to the top."""
    size: int
    is_executable: bool = False


# --- writing ------------------------------------------------------------------------------------


def pack(files: Iterable[tuple[str, Path]], out: BinaryIO) -> str:
    """Write an archive of these files, each under its path there; its digest.

    Raises:
        PackageRefused: a file is none, changes meanwhile, or cannot be read; or it is too much.
    """
    total = hashlib.sha256()
    size = 0

    def write(data: bytes) -> None:
        nonlocal size
        size += len(data)
        if size > MOST_BYTES:
            raise PackageRefused(f"these files are more than {MOST_BYTES >> 20} MiB together")
        total.update(data)
        out.write(data)

    for path, source in sorted((os.fsencode(path), source) for path, source in files):
        _pack_file(os.fsdecode(path), source, write)
    write(END)
    return total.hexdigest()


def _pack_file(path: str, source: Path, put: Callable[[bytes], None]) -> None:
    try:
        with os.fdopen(_open_file(source), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise PackageRefused(f"{source} is no file", files=[path])
            put(_head(path, found.st_size, is_executable=bool(found.st_mode & stat.S_IXUSR)))
            left = found.st_size
            while left and (piece := file.read(min(left, _CHUNK))):
                put(piece)
                left -= len(piece)
            if left or file.read(1):
                raise PackageRefused(f"{source} changes while it is packed", files=[path])
    except OSError as error:
        why = error.strerror or error
        raise PackageRefused(f"{source} cannot be read: {why}", files=[path]) from error
    put(bytes(padding(found.st_size)))


def _open_file(path: Path) -> int:
    """Open a file, and neither a link nor what would make us wait."""
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _head(path: str, size: int, *, is_executable: bool) -> bytes:
    """What stands before the content of a file."""
    return tars.encoded(Header(path, FILE, size, _EXECUTABLE if is_executable else _PLAIN))


# --- reading ------------------------------------------------------------------------------------


def unpack(archive: BinaryIO, into: Path, digest: str) -> None:
    """Make the files of an archive in an empty folder of ours, for nobody to change.

    Raises:
        ArchiveRefused: it is not one of ours, or not the one of this digest.
        OSError: the disk does not take it.
    """
    source = _Hashed(archive)
    for member in _members(source):
        _make(into, member, source)
    if source.digest() != digest:
        raise ArchiveRefused(f"this is not the archive {digest[:12]}: its content is another one")
    for folder, _, _ in os.walk(into, topdown=False):
        Path(folder).chmod(0o555)


def listed(archive: BinaryIO) -> list[Member]:
    """The files of an archive, all of which is looked at.

    Raises:
        ArchiveRefused: it is not one of ours.
    """
    found: list[Member] = []
    source = _Hashed(archive)
    for member in _members(source):
        found.append(member)
        for _ in source.content(member.size):
            pass
    return found


class _Hashed:
    """An archive that is read once, from its beginning to its end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._total = hashlib.sha256()
        self._left = MOST_BYTES

    def read(self, size: int) -> bytes:
        """The next bytes, so many of them."""
        data = self._file.read(size)
        self._left -= len(data)
        if len(data) < size or self._left < 0:
            raise ArchiveRefused("this archive is cut off, or larger than archives are")
        self._total.update(data)
        return data

    def content(self, size: int) -> Iterator[bytes]:
        """The content of a file, piece by piece, and what fills its last block up."""
        for start in range(0, size, _CHUNK):
            yield self.read(min(_CHUNK, size - start))
        if any(self.read(padding(size))):
            raise ArchiveRefused("this archive has something between its files")

    def is_over(self) -> bool:
        """Whether nothing follows."""
        return not self._file.read(1)

    def digest(self) -> str:
        """The digest of what was read."""
        return self._total.hexdigest()


def _members(source: _Hashed) -> Iterator[Member]:
    """The files, each before its content, which has to be read."""
    before = b""
    for count in range(MOST_FILES + 1):
        header = read_header(source.read)
        if header is None:
            if any(source.read(BLOCK)) or not source.is_over():
                raise ArchiveRefused("something follows the end of this archive")
            return
        member = _member(header)
        name = os.fsencode(member.path)
        if name <= before:
            raise ArchiveRefused(f"{member.path!r} is out of order in this archive, or twice")
        if count == MOST_FILES:
            raise ArchiveRefused(f"this archive has more than {MOST_FILES} files")
        before = name
        yield member


def _member(header: Header) -> Member:
    """The file that a header tells of; it is the very header that we would write for it."""
    is_executable = header.mode == _EXECUTABLE
    mode = _EXECUTABLE if is_executable else _PLAIN
    if header != Header(header.path, FILE, header.size, mode):
        raise ArchiveRefused(f"{header.path!r:.200} in this archive is no plain file, or not ours")
    check_path(header.path)
    return Member(header.path, header.size, is_executable)


def check_path(path: str) -> None:
    """See to it that a path stays where it belongs, on any system.

    Raises:
        ArchiveRefused: it does not.
    """
    parts = path.split("/")
    is_odd = any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts)
    is_long = any(len(os.fsencode(part)) > MOST_NAME for part in parts)
    if is_odd or is_long or len(os.fsencode(path)) > MOST_PATH:
        raise ArchiveRefused(f"{path!r:.200} is no path that an archive can have", files=[path])


def _make(into: Path, member: Member, source: _Hashed) -> None:
    path = into / member.path
    mode = 0o555 if member.is_executable else 0o444
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, flags, mode)
    except (FileExistsError, NotADirectoryError) as error:
        raise ArchiveRefused(f"{member.path!r} in this archive is a file and a folder") from error
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, mode)  # whatever the umask is
        for piece in source.content(member.size):
            file.write(piece)
