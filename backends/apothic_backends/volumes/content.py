"""Contents of files on their way into and out of a volume: copied and hashed in one pass."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from typing import Any

CHUNK = 1024 * 1024
NONE = "-"
"""The parts of a file that is nothing but a hole."""
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


def hash_of(
    fd: int,
    write: Callable[[int, bytes], None] | None = None,
    *,
    parts: list[tuple[int, int]] | None = None,
) -> tuple[str, int]:
    """The hash and the size of a file's content; `write` gets the data and where it belongs.

    Its data is in `parts`, or where the file system says.

    A file without holes has the SHA-256 of its content. With holes the list of where its data
    is goes before, so that a terabyte of nothing costs nothing.
    """
    size = os.fstat(fd).st_size
    parts = extents(fd, size) if parts is None else parts
    total = begun(size, parts)
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


def begun(size: int, parts: list[tuple[int, int]]) -> Any:
    """The hash of a file's content, to be updated with the data of these parts."""
    total = hashlib.sha256()
    if size and parts != [(0, size)]:
        total.update(f"sparse {size} {parts}\n".encode())
    return total


def written(parts: list[tuple[int, int]], size: int) -> str:
    """Parts as text, where there are holes."""
    if parts == [(0, size)] or not size:
        return ""
    return ",".join(f"{start}-{end}" for start, end in parts) or NONE


def parsed(text: str, size: int) -> list[tuple[int, int]]:
    """Parts from what `written` has made of them.

    Raises:
        ValueError: these are none of a file of that size.
    """
    if not text:
        return [(0, size)] if size else []
    found = [(0, 0)]
    for part in text.split(",") if text != NONE else ():
        start, _, end = part.partition("-")
        found.append((int(start), int(end)))
        if not found[-2][1] <= found[-1][0] < found[-1][1] <= size:
            raise ValueError(f"{part!r:.40} is no part of a file of {size} bytes")
    return found[1:]


def write_at(fd: int, piece: bytes | memoryview, at: int) -> None:
    """Write all of it."""
    view = memoryview(piece)
    while view:
        count = os.pwrite(fd, view, at)
        view, at = view[count:], at + count


def copy(source: int, target: int) -> tuple[str, int]:
    """Copy a file with its holes; the hash and the size of what was copied."""
    digest, size = hash_of(source, lambda at, piece: write_at(target, piece, at))
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
