"""Changes to what an open folder holds, made by its descriptor and a name, which is never followed.

So it does not matter what others put at the name meanwhile: what they lose is their own.
"""

from __future__ import annotations

import errno
import itertools
import os
import secrets
import stat
from collections.abc import Iterable

from apothic_backends.sandboxes.beneath import FOLDER, PLACE

Owner = tuple[int, int] | None
"""The user and the group that new files and directories belong to; None for our own."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_ROUNDS = 1_000_000
_AT_ONCE = 10_000


def create(folder: int, name: str, mode: int, owner: Owner) -> int:
    """Make a new file, open for writing.

    Raises:
        FileExistsError: there is something already.
    """
    fd = os.open(name, _NEW, 0o600, dir_fd=folder)
    try:
        _give(fd, mode, owner)
    except OSError:
        os.close(fd)
        os.unlink(name, dir_fd=folder)
        raise
    return fd


def _give(fd: int, mode: int, owner: Owner) -> None:
    if owner is not None:
        os.fchown(fd, *owner)
    os.fchmod(fd, mode & 0o777)  # whatever the umask is


def write_all(fd: int, pieces: Iterable[bytes]) -> None:
    """Write all of it."""
    for piece in pieces:
        view = memoryview(piece)
        while view:
            view = view[os.write(fd, view) :]


def replace(
    folder: int,
    name: str,
    pieces: Iterable[bytes],
    mode: int,
    owner: Owner,
    *,
    mtime: int | None = None,
) -> None:
    """Put a whole file at a name, in one step; what was there stays if this fails."""
    coming = f".{secrets.token_hex(8)}.part"
    fd = create(folder, coming, mode, owner)
    try:
        try:
            write_all(fd, pieces)
            if mtime is not None:
                os.utime(fd, (mtime, mtime))
        finally:
            os.close(fd)
        os.rename(coming, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        _is_gone(folder, coming)
        raise


def make_link(folder: int, name: str, target: str, owner: Owner) -> None:
    """Put a symbolic link at a name, in place of what was there."""
    coming = f".{secrets.token_hex(8)}.part"
    os.symlink(target, coming, dir_fd=folder)
    try:
        if owner is not None:
            os.chown(coming, *owner, dir_fd=folder, follow_symlinks=False)
        os.rename(coming, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        _is_gone(folder, coming)
        raise


def make_folder(folder: int, name: str, owner: Owner, mode: int = 0o755) -> None:
    """Make a directory.

    Raises:
        FileExistsError: there is something already.
    """
    os.mkdir(name, 0o700, dir_fd=folder)
    made = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    try:
        _give(made, mode, owner)
    finally:
        os.close(made)


def remove_tree(folder: int, name: str) -> None:
    """Remove a directory and all in it; links in it are removed, not followed.

    It goes down one directory only: those in there come up beside it first. So a tree may be as
    deep as it likes, and two descriptors do.

    Raises:
        OSError: ENOTEMPTY where somebody fills it as fast as it is emptied, and as always.
    """
    top = _open_wide(folder, name)
    try:
        for _ in range(_MOST_ROUNDS):
            names = _some(top)
            if not names:
                break
            for inner in names:
                try:
                    _remove_shallow(top, inner)
                except (FileNotFoundError, NotADirectoryError):
                    continue  # somebody changes it: the next round sees what it is then
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=folder)


def _remove_shallow(top: int, name: str) -> None:
    if _is_gone(top, name):
        return
    inner = _open_wide(top, name)
    try:
        for deeper in _some(inner):
            if not _is_gone(inner, deeper):
                os.close(_open_wide(inner, deeper))
                os.rename(deeper, f".{secrets.token_hex(8)}", src_dir_fd=inner, dst_dir_fd=top)
    finally:
        os.close(inner)
    _is_gone(top, name)


def _some(folder: int) -> list[str]:
    """Names in a folder, as many as are removed before the next look."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in itertools.islice(entries, _AT_ONCE)]


def _is_gone(folder: int, name: str) -> bool:
    """Whether a name is gone, now: a directory with something in it stays."""
    for remove in (os.unlink, os.rmdir):
        try:
            remove(name, dir_fd=folder)
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno not in (errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return True
    return False


def _open_wide(folder: int, name: str) -> int:
    """Open a directory, and let us in if it does not."""
    place = os.open(name, PLACE | os.O_NOFOLLOW, dir_fd=folder)
    try:
        status = os.fstat(place)
        if status.st_mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(f"/proc/self/fd/{place}", 0o700)  # noqa: PTH101 - a descriptor
        return os.open(".", FOLDER, dir_fd=place)
    finally:
        os.close(place)
