"""Trees of files on this machine, on their way into a sandbox and out of one.

What goes up is what a project ships (`packaging`): what git tracks or does not ignore, and nothing
that is secret. What comes down may be anybody's: it is unpacked by what sandboxes unpack with, and
links in it are left out.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from apothic.packaging import PackedFile, package_of
from apothic_backends.model.errors import PackageRefused
from apothic_backends.sandboxes import edits, trees
from apothic_backends.sandboxes.beneath import PLACE, open_beneath, told
from apothic_backends.tars import END, FILE, Header, encoded, padding

Local = str | os.PathLike[str]
"""A path on this machine."""


def packed(local: Local) -> Iterator[bytes]:
    """A tar of what a folder ships, piece by piece; no link leads out of it.

    Raises:
        PackageRefused: a link leads to what is not shipped, a file changes meanwhile, or it is too
            much, or not a folder of yours but all there is.
        NotADirectoryError: it is no folder.
    """
    top = os.open(local, PLACE)
    try:
        package = package_of(Path(local))
        for file in sorted(package.files, key=lambda file: file.path.split("/")):
            yield from _packed_file(top, package.root, file)
    finally:
        os.close(top)
    yield END


def _packed_file(top: int, root: Path, file: PackedFile) -> Iterator[bytes]:
    with told(file.path), os.fdopen(_open(top, root, file), "rb", buffering=0) as source:
        found = os.fstat(source.fileno())
        mtime, mode = max(0, int(found.st_mtime)), found.st_mode & 0o777
        yield encoded(Header(file.path, FILE, found.st_size, mode, mtime))
        left = found.st_size
        while left:
            piece = source.read(min(left, trees.CHUNK))
            if not piece:
                raise _changed(file)
            left -= len(piece)
            yield piece
    if fill := padding(found.st_size):
        yield bytes(fill)


def _open(top: int, root: Path, file: PackedFile) -> int:
    place = open_beneath(top, file.source.relative_to(root).as_posix(), os.O_PATH)
    try:
        if not stat.S_ISREG(os.fstat(place).st_mode):
            raise _changed(file)
        return os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(place)


def _changed(file: PackedFile) -> PackageRefused:
    return PackageRefused(f"{file.source} changes while it is read", files=[file.path])


def unpack(local: Local, chunks: Iterable[bytes]) -> list[str]:
    """Make what a tar has below a folder, which is made if it is missing; the links left out.

    Files that are there are replaced.

    Raises:
        ArchiveRefused: it is not as it was made.
        NotADirectory: something else is where it needs a folder.
    """
    Path(local).mkdir(parents=True, exist_ok=True)
    top = os.open(local, PLACE)
    try:
        return trees.unpack(top, chunks, links="skip").skipped
    finally:
        os.close(top)


def write_file(local: Local, chunks: Iterable[bytes]) -> None:
    """Put a whole file in place, in a folder that is there. One that is replaced keeps its mode."""
    path = Path(local)
    folder = os.open(path.parent, PLACE)
    try:
        mode = path.stat().st_mode if path.is_file() else 0o666 & ~_umask()
        edits.replace(folder, path.name, chunks, mode, None)
    finally:
        os.close(folder)


def _umask() -> int:
    """What new files may not have; asking for it would change it for other threads meanwhile."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022
