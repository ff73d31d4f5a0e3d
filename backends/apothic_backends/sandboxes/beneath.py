"""Open what is beneath a folder, whatever others put in its way meanwhile.

A path is relative to an open folder. A link on it is followed where it leads to something beneath
that folder; a link that leads out, an absolute one, or one of those in `/proc` that lead to what is
open, is an error. Nothing is opened that would make us wait or would notice: what a name stands for
is looked at first, and only plain files are opened, by what was looked at and not by their name.

There are two ways: the kernel does it in one step (`openat2`, Linux 5.6), or we go one folder at a
time, each by descriptor, and look at each link ourselves.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import Any

from apothic_backends.model.errors import ApothicError, FileRefused, PathRefused
from apothic_backends.model.sandboxes import (
    DirectoryNotEmpty,
    FileExists,
    FileFailed,
    FileMissing,
    FileTooLarge,
    IsADirectory,
    NotADirectory,
)

PLACE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
"""To open a folder as a place where names are, even if it may not be listed."""
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
"""To open a folder whose names are read."""
MOST_LINKS = 40
"""Links on the way of a path, as in the kernel."""

_OPENAT2 = 437
_NO_MAGIC_LINKS, _NO_LINKS, _BENEATH = 0x02, 0x04, 0x08
_HOW = struct.Struct("=QQQ")
_TRIES = 64
_AGAIN = (errno.EAGAIN, errno.EINTR)
_KINDS: dict[int, tuple[type[ApothicError], str]] = {
    errno.ENOENT: (FileMissing, "there is nothing at {}"),
    errno.EEXIST: (FileExists, "there is something at {} already"),
    errno.EISDIR: (IsADirectory, "{} is a directory"),
    errno.ENOTDIR: (NotADirectory, "{} is no directory, or leads through what is none"),
    errno.ENOTEMPTY: (DirectoryNotEmpty, "{} is not empty; recursive=True removes what is in it"),
    errno.EXDEV: (PathRefused, "{} leads out of where the files of the sandbox are"),
    errno.ELOOP: (PathRefused, "{} leads through links that are not followed"),
    errno.ENAMETOOLONG: (PathRefused, "{} is longer than paths may be"),
    errno.EINVAL: (PathRefused, "{} cannot be meant: it leads into itself, or is no name"),
    errno.EACCES: (FileRefused, "{} may not be touched: permission denied"),
    errno.EPERM: (FileRefused, "{} may not be touched: permission denied"),
    errno.EFBIG: (FileTooLarge, "{} is larger than files may be"),
}


@contextmanager
def told(path: str) -> Generator[None]:
    """Raise what the system says about a path as an error of ours."""
    try:
        yield
    except ApothicError:
        raise
    except OSError as error:
        number = error.errno
        if number is None:
            raise  # of something else: what is written comes from elsewhere
        kind, text = _KINDS.get(number, (FileFailed, f"{{}}: {os.strerror(number)}"))
        message = text.format(repr(path))
        data = {"files": [path]} if kind is FileRefused else {"path": path}
        raise kind(message, errno=number, **data) from error


def failed(number: int) -> OSError:
    """An error as the system would raise it."""
    return OSError(number, os.strerror(number))


# --- opening --------------------------------------------------------------------------------------


def open_beneath(root: int, path: str, flags: int, *, follow: bool = True) -> int:
    """Open what is at a path beneath an open folder: `PLACE`, `FOLDER` or `os.O_PATH`.

    With `follow` links are followed that stay beneath, else there may be none on the way.

    Raises:
        OSError: EXDEV for what leads out, ELOOP for links that are not followed, and as always.
    """
    path = path or "."
    if "\0" in path:
        raise failed(errno.EINVAL)
    if path.startswith("/"):
        raise failed(errno.EXDEV)
    by = _by_kernel if is_kernel_able() else _by_steps
    return by(root, path, flags | os.O_CLOEXEC, follow=follow)


@cache
def is_kernel_able() -> bool:
    """Whether the kernel has `openat2`, and lets us use it."""
    root = os.open("/", PLACE)
    try:
        os.close(_openat2(root, ".", PLACE, _BENEATH))
    except OSError:
        return False
    finally:
        os.close(root)
    return True


@cache
def _syscall() -> Any:
    return ctypes.CDLL(None, use_errno=True).syscall


def _openat2(root: int, path: str, flags: int, resolve: int) -> int:
    how = _HOW.pack(flags, 0, resolve)
    number, size = ctypes.c_long(_OPENAT2), ctypes.c_size_t(len(how))
    fd = _syscall()(number, ctypes.c_int(root), os.fsencode(path), how, size)
    if fd < 0:
        raise failed(ctypes.get_errno())
    return fd


def _by_kernel(root: int, path: str, flags: int, *, follow: bool) -> int:
    resolve = _BENEATH | _NO_MAGIC_LINKS | (0 if follow else _NO_LINKS)
    for _ in range(_TRIES):
        try:
            return _openat2(root, path, flags, resolve)
        except OSError as error:
            if error.errno not in _AGAIN:
                raise
    return _by_steps(root, path, flags, follow=follow)


def _by_steps(root: int, path: str, flags: int, *, follow: bool) -> int:
    """Go from folder to folder; `..` leads back to where we came from, and never above the root."""
    came = [os.dup(root)]
    ahead = _parts(path)
    links = 0
    try:
        while ahead:
            part = ahead.pop()
            if part == "..":
                if len(came) == 1:
                    raise failed(errno.EXDEV)
                os.close(came.pop())
                continue
            target = link_at(came[-1], part)
            if target is None:
                if not ahead:
                    return os.open(part, flags | os.O_NOFOLLOW, dir_fd=came[-1])
                came.append(os.open(part, PLACE | os.O_NOFOLLOW, dir_fd=came[-1]))
                continue
            links += 1
            _check_link(target, links if follow else MOST_LINKS + 1)
            ahead += _parts(target)
        return os.open(".", flags, dir_fd=came[-1])
    finally:
        for fd in came:
            os.close(fd)


def _check_link(target: str, links: int) -> None:
    if links > MOST_LINKS:
        raise failed(errno.ELOOP)
    if target.startswith("/"):
        raise failed(errno.EXDEV)


def _parts(path: str) -> list[str]:
    """The names of a path, the first one last."""
    return [part for part in path.split("/") if part not in ("", ".")][::-1]


def link_at(folder: int, name: str) -> str | None:
    """Where the link of a name in an open folder leads; None if it is none, or nothing is there."""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
        return None


# --- plain files ----------------------------------------------------------------------------------


def check_plain(status: os.stat_result, path: str, names: int = 1) -> None:
    """See to it that something is a plain file, and has no more names than are known.

    Raises:
        OSError: it is a directory or a link.
        FileRefused: it is something else, or another name may be of a file elsewhere.
    """
    if stat.S_ISDIR(status.st_mode):
        raise failed(errno.EISDIR)
    if stat.S_ISLNK(status.st_mode):
        raise failed(errno.ELOOP)
    if not stat.S_ISREG(status.st_mode):
        raise FileRefused(f"{path!r} is a pipe, a device or a socket, no file", files=[path])
    if status.st_nlink > names:
        raise FileRefused(
            f"{path!r} has other names (hard links), which may be elsewhere; copy it to a new file",
            files=[path],
        )


def open_plain(place: int, path: str, flags: int, names: int = 1) -> int:
    """Open what an `O_PATH` descriptor stands for, if it is a plain file; the descriptor is closed.

    Raises:
        OSError, FileRefused: it is none.
    """
    try:
        check_plain(os.fstat(place), path, names)
        return os.open(f"/proc/self/fd/{place}", flags | os.O_CLOEXEC | os.O_NOCTTY)
    finally:
        os.close(place)
