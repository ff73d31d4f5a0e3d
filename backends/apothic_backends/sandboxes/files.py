"""The files of a sandbox, from outside, while whoever is inside does with them what they like.

All that is done stays beneath the workspace: paths are checked as text, and opened by descriptor
(`beneath`). What is inside never makes us wait, and never lends a file from elsewhere: pipes,
devices, sockets and files with other names are refused.
"""

from __future__ import annotations

import errno
import os
import stat
import weakref
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from apothic_backends.model.errors import PathRefused
from apothic_backends.model.sandboxes import FileInfo, FileTooLarge
from apothic_backends.sandboxes import edits, trees
from apothic_backends.sandboxes.beneath import (
    FOLDER,
    MOST_LINKS,
    PLACE,
    check_plain,
    failed,
    link_at,
    open_beneath,
    open_plain,
    told,
)
from apothic_backends.sandboxes.changes import Watch
from apothic_backends.sandboxes.edits import Owner
from apothic_backends.sandboxes.paths import beneath, shown
from apothic_backends.sandboxes.trees import DEFAULT_LIMITS, Links, TreeLimits, Unpacked

MOST_READ = 256 << 20
"""The most bytes that are read at once."""
MOST_LISTED = 100_000
"""The most names of a directory that is listed."""

_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}


class Files:
    """The files beneath a folder, which is `prefix` inside the sandbox.

    Paths are absolute and beneath `prefix`, or relative to it. Links that stay beneath are
    followed, those that lead elsewhere are refused; absolute ones always are. New files belong to
    `owner`, a user and a group. Errors, each with `data["path"]`, are: `PathRefused`,
    `FileMissing`, `FileExists`, `IsADirectory`, `NotADirectory`, `DirectoryNotEmpty`,
    `FileTooLarge`, `FileRefused` (permissions; what is no file; a file with other names) and
    `FileFailed` (the disk).
    """

    def __init__(self, root: Path, prefix: str = "/workspace", owner: Owner = None) -> None:
        self._root = os.open(root, PLACE)
        weakref.finalize(self, os.close, self._root)  # once nothing that has begun uses it
        self._prefix = prefix
        self._owner = owner

    # --- looking ----------------------------------------------------------------------------------

    def stat(self, path: str) -> FileInfo:
        """What is at a path; of a link the link itself."""
        with self._named(path) as (folder, name):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            return _info(self._shown(path), status, folder, name)

    def list(self, path: str = "") -> list[FileInfo]:
        """What is in a directory, sorted by name."""
        above = self._shown(path)
        found: list[FileInfo] = []
        with told(path), self._folder(path, FOLDER) as folder, os.scandir(folder) as entries:
            for entry in entries:
                if len(found) == MOST_LISTED:
                    raise FileTooLarge(
                        f"{path!r} has more than {MOST_LISTED} names", path=path, limit=MOST_LISTED
                    )
                try:
                    status = entry.stat(follow_symlinks=False)
                    found.append(_info(f"{above}/{entry.name}", status, folder, entry.name))
                except FileNotFoundError:
                    continue  # removed meanwhile
        return sorted(found, key=lambda info: info.path)

    def read_bytes(self, path: str, offset: int = 0, limit: int | None = None) -> bytes:
        """The content of a file from an offset on: all of it, or `limit` bytes at most.

        Raises:
            FileTooLarge: there is no `limit`, and there are more than `MOST_READ`.
        """
        most = MOST_READ if limit is None else min(limit, MOST_READ)
        data = bytearray()
        with told(path):
            fd = self._open(path, os.O_RDONLY)
            try:
                while len(data) <= most:
                    piece = os.pread(fd, min(trees.CHUNK, most + 1 - len(data)), offset + len(data))
                    if not piece:
                        break
                    data += piece
            finally:
                os.close(fd)
        if limit is None and len(data) > MOST_READ:
            raise FileTooLarge(
                f"{path!r} has more than {MOST_READ} bytes; read it in parts (offset, limit)",
                path=path,
                limit_bytes=MOST_READ,
            )
        return bytes(data[:most])

    def read(self, path: str) -> Iterator[bytes]:
        """All of a file, piece by piece; it stays this one while it is read."""
        with told(path):
            file = os.fdopen(self._open(path, os.O_RDONLY), "rb", buffering=0)
        return _pieces(file)

    # --- changing ---------------------------------------------------------------------------------

    def write_bytes(
        self,
        path: str,
        data: bytes | Iterable[bytes],
        *,
        append: bool = False,
        mode: int | None = None,
    ) -> None:
        """Put a whole file in place in one step, or append to it; directories above are made.

        A new file has `mode`, 0o644 unless given; one that is replaced keeps its own.
        """
        pieces = (data,) if isinstance(data, bytes) else data
        with self._named(path, make=True, follow=True) as (folder, name):
            if append:
                self._append(folder, name, path, pieces, mode)
                return
            try:
                before = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                kept = 0o644
            else:
                check_plain(before, path)
                kept = before.st_mode
            edits.replace(folder, name, pieces, kept if mode is None else mode, self._owner)

    def _append(
        self, folder: int, name: str, path: str, pieces: Iterable[bytes], mode: int | None
    ) -> None:
        try:
            fd = edits.create(folder, name, 0o644 if mode is None else mode, self._owner)
        except FileExistsError:
            place = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            fd = open_plain(place, path, os.O_WRONLY | os.O_APPEND)
        try:
            edits.write_all(fd, pieces)
        finally:
            os.close(fd)

    def make_directory(self, path: str, *, parents: bool = True) -> None:
        """Make a directory, and with `parents` those above; then it may be there already.

        Raises:
            FileExists: something is there.
        """
        if parents:
            with told(path):
                os.close(self._place(self._beneath(path), make=True))
            return
        with self._named(path) as (folder, name):
            edits.make_folder(folder, name, self._owner)

    def remove(self, path: str, *, recursive: bool = False) -> None:
        """Remove a file, a link, or an empty directory; with `recursive` all that is in it, too.

        Links are removed, never followed.
        """
        with self._named(path) as (folder, name):
            self._check_not_all(name, path)
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                os.unlink(name, dir_fd=folder)
            elif recursive:
                edits.remove_tree(folder, name)
            else:
                os.rmdir(name, dir_fd=folder)

    def rename(self, old: str, new: str) -> None:
        """Give a file or a directory another path; a file or an empty directory is replaced."""
        with self._named(old) as (folder, before):
            self._check_not_all(before, old)
            os.stat(before, dir_fd=folder, follow_symlinks=False)  # what fails now is about `new`
            with self._named(new) as (into, name):
                self._check_not_all(name, new)
                os.rename(before, name, src_dir_fd=folder, dst_dir_fd=into)

    # --- trees ------------------------------------------------------------------------------------

    def pack(self, path: str = "", limits: TreeLimits = DEFAULT_LIMITS) -> Iterator[bytes]:
        """A tar of what is below a directory, piece by piece, for `unpack`."""
        with told(path), self._folder(path, FOLDER) as folder:
            yield from trees.pack(folder, limits)

    def unpack(
        self,
        path: str,
        chunks: Iterable[bytes],
        limits: TreeLimits = DEFAULT_LIMITS,
        *,
        links: Links = "refuse",
    ) -> Unpacked:
        """Make what a tar has below a directory, which is made if it is missing."""
        with told(path):
            folder = self._place(self._beneath(path), make=True)
            try:
                return trees.unpack(folder, chunks, limits, owner=self._owner, links=links)
            finally:
                os.close(folder)

    def watch(self, path: str = "") -> Watch:
        """What changes from now on in a directory and below, or of a file."""
        return Watch(self._root, self._beneath(path), self._prefix)

    # --- opening ----------------------------------------------------------------------------------

    def _beneath(self, path: str) -> str:
        return beneath(path, self._prefix)

    def _shown(self, path: str) -> str:
        return shown(self._beneath(path), self._prefix)

    def _open(self, path: str, flags: int) -> int:
        """Open a plain file."""
        return open_plain(open_beneath(self._root, self._beneath(path), os.O_PATH), path, flags)

    @contextmanager
    def _folder(self, path: str, flags: int) -> Generator[int]:
        fd = open_beneath(self._root, self._beneath(path), flags)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def _named(
        self, path: str, *, make: bool = False, follow: bool = False
    ) -> Generator[tuple[int, str]]:
        """The directory of a name, open, and the name, which is "." for the workspace itself.

        With `follow` it is where the links at the path lead, and with `make` the directory is made.
        """
        with told(path):
            at = self._beneath(path)
            for _ in range(MOST_LINKS):
                above, _, name = at.rpartition("/")
                folder = self._place(above, make=make)
                try:
                    target = link_at(folder, name) if follow else None
                    if target is None:
                        yield folder, name or "."
                        return
                finally:
                    os.close(folder)
                at, make = _after(above, target), False
            raise failed(errno.ELOOP)

    def _place(self, at: str, *, make: bool) -> int:
        """Open a directory as a place for names."""
        try:
            return open_beneath(self._root, at, PLACE)
        except FileNotFoundError:
            if not make:
                raise
        here, missing = self._nearest(at.split("/"))
        try:
            for name in missing:
                deeper = self._step(here, name)
                os.close(here)
                here = deeper
        except BaseException:
            os.close(here)
            raise
        return here

    def _nearest(self, parts: list[str]) -> tuple[int, list[str]]:
        """The deepest directory of a path that is there, and the names that are missing below."""
        for depth in range(len(parts) - 1, 0, -1):
            try:
                return open_beneath(self._root, "/".join(parts[:depth]), PLACE), parts[depth:]
            except FileNotFoundError:
                continue
        return open_beneath(self._root, "", PLACE), parts

    def _step(self, here: int, name: str) -> int:
        """Make a directory, and open it; what somebody else puts there is not followed."""
        try:
            edits.make_folder(here, name, self._owner)
        except FileExistsError:
            pass  # made meanwhile
        return os.open(name, PLACE | os.O_NOFOLLOW, dir_fd=here)

    def _check_not_all(self, name: str, path: str) -> None:
        if name == ".":
            raise PathRefused(f"{self._prefix} itself stays where it is", path=path)


def _pieces(file: FileIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(trees.CHUNK):
            yield piece


def _after(above: str, target: str) -> str:
    """The path that a link leads to."""
    if target.startswith("/"):
        raise failed(errno.EXDEV)
    if target.rpartition("/")[2] in ("", ".", ".."):
        raise failed(errno.EISDIR)
    return f"{above}/{target}" if above else target


def _info(path: str, status: os.stat_result, folder: int, name: str) -> FileInfo:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "other")
    target = link_at(folder, name) if kind == "symlink" else None
    size = status.st_size if kind == "file" else 0
    return FileInfo(path, kind, size, status.st_mtime, status.st_mode & 0o777, target)
