"""Trees of files as streams: packed as a tar, and unpacked from one that anybody may have made.

What unpacks takes files, directories and, if it is told to, links, in the order in which they are
packed: each directory before what is in it, names sorted. So no path can come twice. It holds the
directories on the way to where it is, and goes by names that are never followed.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Literal, NamedTuple

from apothic_backends.model.errors import ArchiveRefused, PathRefused
from apothic_backends.model.sandboxes import FileFailed, FileTooLarge
from apothic_backends.sandboxes import edits
from apothic_backends.sandboxes.beneath import FOLDER, PLACE, open_plain, told
from apothic_backends.sandboxes.edits import Owner
from apothic_backends.sandboxes.paths import MOST_PATH
from apothic_backends.tars import (
    BLOCK,
    END,
    FILE,
    FOLDER as FOLDER_ENTRY,
    LINK,
    MOST_SIZE,
    Header,
    encoded,
    padding,
    read_header,
)
from apothic_backends.volumes.paths import MOST_NAME

MOST_DEPTH = 256
"""How many directories deep a tree may be."""
CHUNK = 1 << 20

_PERMISSIONS = 0o777

Links = Literal["refuse", "skip", "keep"]
"""What to do with symbolic links: kept ones lead where they say, for those who follow them."""


class TreeLimits(NamedTuple):
    """How much a tree may be: files, directories and links in it, and bytes of its files."""

    entries: int = 500_000
    size_bytes: int = 8 << 30


DEFAULT_LIMITS = TreeLimits()


class _Count:
    """What has come so far."""

    def __init__(self, limits: TreeLimits) -> None:
        self._limits = limits
        self.entries = 0
        self.size_bytes = 0

    def add(self, size_bytes: int = 0) -> None:
        """Count one more, before anything is done with it."""
        self.entries += 1
        self.size_bytes += size_bytes
        most, most_bytes = self._limits
        if self.entries > most:
            raise FileTooLarge(f"this tree has more than {most} files", limit_entries=most)
        if self.size_bytes > most_bytes:
            raise FileTooLarge(
                f"this tree has more than {most_bytes} bytes", limit_bytes=most_bytes
            )


# --- packing --------------------------------------------------------------------------------------


class Entry(NamedTuple):
    """Something in a tree; `place` is an `O_PATH` descriptor of it, open while it is looked at."""

    path: str
    status: os.stat_result
    place: int


def walk(folder: int, most: int, above: str = "", depth: int = 0) -> Iterator[Entry]:
    """Everything below an open folder, sorted, each directory before what is in it.

    What vanishes meanwhile is left out.

    Raises:
        PathRefused: it is too deep, or a path is too long.
    """
    with os.scandir(folder) as found:
        names = sorted(entry.name for entry in itertools.islice(found, most + 1))
    for name in names:
        path = f"{above}{name}"
        if depth >= MOST_DEPTH or len(os.fsencode(path)) > MOST_PATH:
            raise PathRefused(f"{path!r:.200} is too deep, or too long", path=path)
        try:
            place = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        except FileNotFoundError:
            continue
        try:
            status = os.fstat(place)
            yield Entry(path, status, place)
            if stat.S_ISDIR(status.st_mode):
                yield from _walk_into(place, most, f"{path}/", depth + 1)
        finally:
            os.close(place)


def _walk_into(place: int, most: int, above: str, depth: int) -> Iterator[Entry]:
    with told(above):
        inner = os.open(".", FOLDER, dir_fd=place)
    try:
        yield from walk(inner, most, above, depth)
    finally:
        os.close(inner)


def pack(folder: int, limits: TreeLimits = DEFAULT_LIMITS) -> Iterator[bytes]:
    """A tar of all below an open folder, piece by piece. Pipes, devices and sockets are left out.

    A file that has several names in there becomes several files.

    Raises:
        FileTooLarge: it is more than the limits.
        FileRefused: a file has names elsewhere.
        FileFailed: a file becomes shorter while it is read.
    """
    count = _Count(limits)
    names: Counter[tuple[int, int]] | None = None
    for entry in walk(folder, limits.entries):
        kind = stat.S_IFMT(entry.status.st_mode)
        if kind == stat.S_IFREG:
            count.add(entry.status.st_size)
            if names is None and entry.status.st_nlink > 1:
                names = _names_below(folder, limits.entries)
            yield from _packed_file(entry, 1 if names is None else names[_inode(entry)])
        elif kind in (stat.S_IFDIR, stat.S_IFLNK):
            count.add()
            is_link = kind == stat.S_IFLNK
            target = os.readlink("", dir_fd=entry.place) if is_link else ""
            yield encoded(_header(entry, LINK if is_link else FOLDER_ENTRY, target=target))
    yield END


def _names_below(folder: int, most: int) -> Counter[tuple[int, int]]:
    """How many names each file has below an open folder, of those that have several."""
    return Counter(_inode(entry) for entry in walk(folder, most) if entry.status.st_nlink > 1)


def _inode(entry: Entry) -> tuple[int, int]:
    return entry.status.st_dev, entry.status.st_ino


def _header(entry: Entry, kind: bytes, size: int = 0, target: str = "") -> Header:
    mtime = min(max(0, int(entry.status.st_mtime)), MOST_SIZE)
    return Header(entry.path, kind, size, entry.status.st_mode & _PERMISSIONS, mtime, target)


def _packed_file(entry: Entry, names: int) -> Iterator[bytes]:
    with told(entry.path):
        fd = open_plain(os.dup(entry.place), entry.path, os.O_RDONLY, max(names, 1))
    left = size = entry.status.st_size
    if size > MOST_SIZE:
        raise FileTooLarge(f"{entry.path!r} has {size} bytes", limit_bytes=MOST_SIZE)
    with os.fdopen(fd, "rb", buffering=0) as file:
        yield encoded(_header(entry, FILE, size))
        while left:
            piece = file.read(min(left, CHUNK))
            if not piece:
                why = f"{entry.path!r} became shorter while it was read; try again"
                raise FileFailed(why, path=entry.path)
            left -= len(piece)
            yield piece
    if fill := padding(size):
        yield bytes(fill)


# --- unpacking ------------------------------------------------------------------------------------


class Unpacked(NamedTuple):
    """What came out of a tar: how much, and the paths of the links that were skipped."""

    entries: int
    size_bytes: int
    skipped: list[str]


def unpack(
    folder: int,
    chunks: Iterable[bytes],
    limits: TreeLimits = DEFAULT_LIMITS,
    *,
    owner: Owner = None,
    links: Links = "refuse",
) -> Unpacked:
    """Make what a tar has below an open folder; files that are there are replaced, each whole.

    What came before an error stays.

    Raises:
        ArchiveRefused: it is not made as `pack` does, or is cut off.
        FileTooLarge: it is more than the limits.
        NotADirectory: a link, or something else, is where it needs a directory.
    """
    source, count = _Source(chunks), _Count(limits)
    skipped: list[str] = []
    before: list[str] = []
    with closing(_Way(folder, count, owner)) as way:
        while (header := read_header(source.read)) is not None:
            parts = _checked(header.path, header.mode)
            if parts <= before:
                raise ArchiveRefused(f"{header.path!r:.200} is out of order in it, or twice")
            before = parts
            if header.kind == LINK and links == "skip":
                count.add()
                skipped.append(header.path)
                continue
            with told(header.path):
                way.put(parts, header, source, is_link_kept=links == "keep")
    source.end()
    return Unpacked(count.entries, count.size_bytes, skipped)


def _checked(path: str, mode: int) -> list[str]:
    parts = path.split("/")
    if mode & ~_PERMISSIONS:
        raise ArchiveRefused(f"{path!r:.200} in this archive would act for its owner", files=[path])
    is_odd = any(part in ("", ".") or ".." in part.split("\\") for part in parts)
    is_long = any(len(os.fsencode(part)) > MOST_NAME for part in parts)
    if is_odd or is_long or len(parts) > MOST_DEPTH:
        raise ArchiveRefused(f"{path!r:.200} is no path that an archive can have", files=[path])
    return parts


class _Way:
    """The directories from the top to where the last entry went, each open."""

    def __init__(self, top: int, count: _Count, owner: Owner) -> None:
        self._names: list[str] = []
        self._folders = [os.dup(top)]
        self._count = count
        self._owner = owner

    def close(self) -> None:
        """Let go of them."""
        for fd in self._folders:
            os.close(fd)

    def put(self, parts: list[str], header: Header, source: _Source, *, is_link_kept: bool) -> None:
        """Make what a header tells of."""
        *above, name = parts
        self._go(above)
        if header.kind == FOLDER_ENTRY:
            self._enter(name, header.mode | 0o700)
            return
        if header.kind == LINK and not is_link_kept:
            raise ArchiveRefused(f"{header.path!r:.200} in this archive is a link")
        self._count.add(header.size)
        if header.kind == LINK:
            edits.make_link(self._folders[-1], name, header.target, self._owner)
            return
        content, mode = source.content(header.size), header.mode | 0o600
        edits.replace(self._folders[-1], name, content, mode, self._owner, mtime=header.mtime)

    def _go(self, above: list[str]) -> None:
        """Go where an entry belongs; directories that are missing are made, and counted."""
        while self._names != above[: len(self._names)]:
            self._names.pop()
            os.close(self._folders.pop())
        for name in above[len(self._names) :]:
            self._enter(name, 0o755)

    def _enter(self, name: str, mode: int) -> None:
        here = self._folders[-1]
        try:
            fd = os.open(name, PLACE | os.O_NOFOLLOW, dir_fd=here)
        except FileNotFoundError:
            edits.make_folder(here, name, self._owner, mode)
            fd = os.open(name, PLACE | os.O_NOFOLLOW, dir_fd=here)
        self._count.add()
        self._names.append(name)
        self._folders.append(fd)


class _Source:
    """A stream that comes in pieces of any size, and is read in others."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk = b""
        self._at = 0

    def read(self, size: int) -> bytes:
        """The next bytes, so many of them."""
        parts: list[bytes] = []
        while size:
            if self._at == len(self._chunk):
                self._next()
            piece = self._chunk[self._at : self._at + size]
            self._at += len(piece)
            size -= len(piece)
            parts.append(piece)
        return b"".join(parts)

    def _next(self) -> None:
        for chunk in self._chunks:
            if chunk:
                self._chunk, self._at = chunk, 0
                return
        raise ArchiveRefused("this archive is cut off")

    def content(self, size: int) -> Iterator[bytes]:
        """The content of a file, piece by piece, and what fills its last block up."""
        for start in range(0, size, CHUNK):
            yield self.read(min(CHUNK, size - start))
        if any(self.read(padding(size))):
            raise ArchiveRefused("this archive has something between its files")

    def end(self) -> None:
        """See to it that nothing follows but the rest of the end."""
        is_end = not any(self.read(BLOCK)) and self._at == len(self._chunk)
        if not is_end or any(self._chunks):
            raise ArchiveRefused("something follows the end of this archive")
