"""Contents of files on their way into and out of a volume: copied and hashed in one pass."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator

CHUNK = 1024 * 1024
_FICLONE = 0x40049409


def extents(fd: int, size: int) -> list[tuple[int, int]]:
    """Where a file has data, as starts and ends; the rest are holes."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
            at = min(size, os.lseek(fd, start, os.SEEK_HOLE))
        except OSError as error:
            if error.errno == errno.ENXIO:
                break  # a hole up to the end
            return [(0, size)]  # this file system does not tell
        if start >= size:
            break
        found.append((start, at))
    return found


def hash_of(fd: int, write: Callable[[int, bytes], None] | None = None) -> tuple[str, int]:
    """The hash and the size of a file's content; `write` gets the data and where it belongs.

    A file without holes has the SHA-256 of its content. With holes the list of where its data
    is goes before, so that a terabyte of nothing costs nothing.
    """
    size = os.fstat(fd).st_size
    parts = extents(fd, size)
    total = hashlib.sha256()
    if size and parts != [(0, size)]:
        total.update(f"sparse {size} {parts}\n".encode())
    for start, end in parts:
        at = start
        while at < end:
            piece = os.pread(fd, min(CHUNK, end - at), at)
            if not piece:  # it was cut off meanwhile: what was read is what counts
                return total.hexdigest(), at
            total.update(piece)
            if write is not None:
                write(at, piece)
            at += len(piece)
    return total.hexdigest(), size


def copy(source: int, target: int) -> tuple[str, int]:
    """Copy a file with its holes; the hash and the size of what was copied."""

    def write(at: int, piece: bytes) -> None:
        view = memoryview(piece)
        while view:
            count = os.pwrite(target, view, at)
            view, at = view[count:], at + count

    digest, size = hash_of(source, write)
    os.ftruncate(target, size)
    return digest, size


def clone(source: int, target: int) -> None:
    """Copy a file that does not change, without its data where the file system can share that."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        copy(source, target)


def chunks(fd: int) -> Iterator[bytes]:
    """The content of a file, piece by piece."""
    at = 0
    while piece := os.pread(fd, CHUNK, at):
        at += len(piece)
        yield piece
