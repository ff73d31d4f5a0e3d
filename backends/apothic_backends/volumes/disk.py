"""What is done to the disk, in steps that each happen or do not; tests look in before each."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from apothic_backends.model.errors import VolumeFailed, VolumeFull


def _let_it_be(step: str) -> None:
    del step


before: Callable[[str], None] = _let_it_be
"""Called before each step; tests put something here that kills, or that finds the disk full."""


def rename(old: Path, new: Path) -> None:
    """Put a file in place of another one."""
    before("rename")
    old.rename(new)


def sync(fd: int) -> None:
    """Have what was written to a file on the disk."""
    before("sync")
    os.fsync(fd)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    before("sync_folder")
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove(path: Path) -> None:
    """Take a file away, if it is there."""
    before("remove")
    path.unlink(missing_ok=True)


def write_durably(path: Path, data: bytes) -> None:
    """Put a file with this content in place, whole or not at all."""
    coming = path.with_name(f"{path.name}.new")
    before("write")
    with coming.open("wb") as file:
        file.write(data)
        file.flush()
        sync(file.fileno())
    rename(coming, path)
    sync_folder(path.parent)


def clear(folder: Path) -> None:
    """Take away all that is in a folder."""
    fd = open_folder(folder)
    try:
        _empty(fd)
    finally:
        os.close(fd)


def remove_tree(folder: Path) -> None:
    """Take a folder and all in it away, whatever its modes are; links are taken, not followed."""
    try:
        fd = open_folder(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    except PermissionError:
        folder.chmod(0o700)
        fd = open_folder(folder)
    try:
        _empty(fd)
    finally:
        os.close(fd)
    before("remove")
    folder.rmdir()


def _empty(folder: int) -> None:
    for name in os.listdir(folder):
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(name, dir_fd=folder)
            continue
        if status.st_mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(name, 0o700, dir_fd=folder)
        inner = open_folder(name, folder)
        try:
            _empty(inner)
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=folder)


def open_folder(name: str | Path, above: int | None = None) -> int:
    """Open a folder; a link in its place is not followed."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, dir_fd=above)


@contextmanager
def told(what: str) -> Generator[None]:
    """Tell of a disk that does not do what it should.

    Raises:
        VolumeFailed: it does not; `VolumeFull`, if there is no room.
    """
    try:
        yield
    except OSError as error:
        if type(error) is not OSError:
            raise  # about one file, and told by its own name
        _tell(what, error)


def _tell(what: str, error: OSError) -> NoReturn:
    why = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise VolumeFull(f"{what}: {why}; make room, and try again", errno=error.errno) from error
    raise VolumeFailed(f"{what}: {why}", errno=error.errno) from error
