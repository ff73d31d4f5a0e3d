"""A bucket as a file system: what each operation of the kernel's comes to.

The names of the operations and their arguments are libfuse's. What a bucket cannot do is an
`OSError`, whose number the caller gets; the words are kept in `failures`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import wraps
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar, cast

from apothic_backends.buckets.bucket import Bucket, Object
from apothic_backends.buckets.files import File, Upload
from apothic_backends.buckets.tree import FOLDER, Tree, parent
from apothic_backends.model.errors import BucketFailed

Operation = TypeVar("Operation", bound=Callable[..., Any])
MOST_COPIED = 5 << 30
"""S3 copies no object larger than that in one request (Amazon S3 API reference, CopyObject)."""
_BLOCK = 4096
_ROOM = 1 << 38
"""Blocks that `df` shows: a bucket has no end."""
_LONGEST = 1024
"""Bytes in a key (Amazon S3 user guide, object keys)."""
_NOREPLACE = 1
_MOST_NOTED = 10


def _translated(operation: Operation) -> Operation:
    """Raise the operating system's error for what a bucket says."""

    @wraps(operation)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return operation(*args, **kwargs)
        except BucketFailed as error:
            number = int(error.data.get("errno", errno.EIO))
            args[0].note(error.message)
            raise OSError(number, error.message) from error

    return cast("Operation", call)


class Served:
    """The operations on one bucket."""

    use_ns = True
    flag_nopath = flag_nullpath_ok = True  # by handle where there is one, for a removed file too

    def __init__(
        self, bucket: Bucket, tree: Tree, staging: Path, before_upload: Callable[[], None]
    ) -> None:
        self._bucket = bucket
        self._tree = tree
        self._staging = staging
        self._before_upload = before_upload
        """Does not come back if what is to go up may not be whole."""
        self._open: dict[str, File] = {}
        self._handles: dict[int, File] = {}
        self._folders: dict[int, str] = {}
        self._last = 0
        self._lock = Lock()
        """For who has what open: held for a moment, and got after a file's own lock, if at all."""
        self._owner = {"st_uid": os.getuid(), "st_gid": os.getgid()}
        self.failures: dict[str, None] = {}
        """What went wrong, in words, since somebody has last asked."""
        self.lost: dict[str, str] = {}
        """What was written and is not in the bucket, by name, and why."""

    def note(self, why: str) -> None:
        """Keep what went wrong, as long as it is not too much."""
        if len(self.failures) < _MOST_NOTED:
            self.failures[why] = None

    # --- names ----------------------------------------------------------------------------------

    def _find(self, name: str) -> Object:
        found = self._tree.find(name)
        if found is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return found

    @_translated
    def getattr(self, path: str | None, fh: int | None = None) -> dict[str, Any]:
        """What is there."""
        file = self._handles.get(fh) if fh else None
        if file is None and path is not None:
            file = self._open.get(_name(path))
        if file is not None:
            return self._status(file.size, file.mtime)
        found = self._find(_name(path or "/"))
        if found is FOLDER:
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2, **self._owner}
        return self._status(found.size, found.mtime)

    def _status(self, size: int, mtime: float) -> dict[str, Any]:
        then = int(mtime * 1e9)
        return {
            "st_mode": stat.S_IFREG | 0o644,
            "st_nlink": 1,
            "st_size": size,
            "st_blocks": -(-size // 512),
            "st_mtime": then,
            "st_ctime": then,
            "st_atime": then,
            **self._owner,
        }

    def opendir(self, path: str) -> int:
        """Open a folder; its handle."""
        with self._lock:
            self._last += 1
            self._folders[self._last] = _name(path)
            return self._last

    def releasedir(self, path: str | None, fh: int) -> None:
        """Nobody reads a folder by this handle any more."""
        with self._lock:
            del self._folders[fh]

    @_translated
    def readdir(self, path: str | None, fh: int) -> Iterator[tuple[str, dict[str, int], int]]:
        """What is in a folder."""
        kinds = [(".", FOLDER), ("..", FOLDER), *self._list(self._folders[fh]).items()]
        return iter(
            [
                (one, {"st_mode": stat.S_IFDIR if kind is FOLDER else stat.S_IFREG}, 0)
                for one, kind in kinds
            ]
        )

    def _list(self, folder: str) -> dict[str, Object]:
        found = self._tree.list(folder)
        with self._lock:
            here = [one for one in self._open if parent(one) == folder]
        return found | {one.rpartition("/")[2]: Object(one, 0, "") for one in here}

    @_translated
    def statfs(self, path: str) -> dict[str, int]:
        """How much room there is."""
        files = {"f_files": _ROOM, "f_ffree": _ROOM, "f_favail": _ROOM, "f_namemax": _LONGEST}
        blocks = {"f_blocks": _ROOM, "f_bfree": _ROOM, "f_bavail": _ROOM}
        return {"f_bsize": _BLOCK, "f_frsize": _BLOCK, **blocks, **files}

    # --- files ----------------------------------------------------------------------------------

    @_translated
    def open(self, path: str, flags: int) -> int:
        """Open a file; its handle."""
        name = _name(path)
        found = None if name in self._open else self._find_file(name)
        with self._lock:
            file = self._open.get(name)
            if file is None:  # or closed a moment ago, so that we know it
                found = found or self._find_file(name)
                file = self._open[name] = File(self._bucket, name, found, self._staging)
            handle = self._handle(file)
        if flags & os.O_TRUNC:
            file.truncate(0)
        return handle

    def _find_file(self, name: str) -> Object:
        found = self._find(name)
        if found is FOLDER:
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        return found

    @_translated
    def create(self, path: str, mode: int, flags: int = 0) -> int:
        """Make a file; its handle."""
        name = _name(path)
        with self._lock:
            file = self._open[name] = File(self._bucket, name, None, self._staging)
            return self._handle(file)

    def _handle(self, file: File) -> int:
        self._last += 1
        self._handles[self._last] = file
        file.opens += 1
        return self._last

    @_translated
    def read(self, path: str | None, size: int, offset: int, fh: int) -> bytes:
        """Bytes of a file."""
        return self._handles[fh].read(size, offset)

    @_translated
    def write(self, path: str | None, data: bytes, offset: int, fh: int) -> int:
        """Write bytes of a file."""
        return self._handles[fh].write(data, offset)

    @_translated
    def truncate(self, path: str | None, length: int, fh: int | None = None) -> None:
        """Change how long a file is."""
        if fh:
            self._handles[fh].truncate(length)
            return
        handle = self.open(path or "/", os.O_TRUNC if not length else 0)
        try:
            self._handles[handle].truncate(length)
            self.flush(path, handle)
        finally:
            self.release(path, handle)

    @_translated
    def flush(self, path: str | None, fh: int) -> None:
        """Somebody closes a file: the bucket has it from now on."""
        self._flush(self._handles[fh])

    def _flush(self, file: File) -> None:
        name = file.name or ""
        try:
            is_new = file.flush(self._upload)
        except (BucketFailed, OSError) as error:
            self.lost[name] = str(error)
            raise
        if is_new:
            self.lost.pop(name, None)

    @property
    def _upload(self) -> Upload:
        def upload(name: str, source: Path) -> Object:
            self._before_upload()
            tag = self._bucket.store(name, source)
            status = source.stat()
            made = Object(name, status.st_size, tag, status.st_mtime)
            self._tree.put(name, made)
            return made

        return upload

    @_translated
    def fsync(self, path: str | None, datasync: int, fh: int) -> None:
        """The same while it stays open."""
        self._flush(self._handles[fh])

    def release(self, path: str | None, fh: int) -> None:
        """Nobody has it open by this handle any more."""
        with self._lock:
            file = self._handles.pop(fh)
            file.opens -= 1
            is_last = not file.opens
            if is_last and file.name is not None and self._open.get(file.name) is file:
                del self._open[file.name]
        if is_last:
            file.close()

    def flush_all(self) -> None:
        """Have everything in the bucket that was written, closed or not; failures are `lost`."""
        with self._lock:
            files = [*self._open.values()]
        for file in files:
            try:
                self._flush(file)
            except (BucketFailed, OSError):
                continue  # it is told with `lost`

    # --- what changes names ---------------------------------------------------------------------

    @_translated
    def unlink(self, path: str) -> None:
        """Delete an object."""
        self._detach(_name(path))
        self._delete(_name(path))

    def _detach(self, name: str) -> None:
        """Who has it open keeps what is in it."""
        file = self._open.get(name)
        if file is not None:
            file.remove()
            with self._lock:
                if self._open.get(name) is file:
                    del self._open[name]
        self.lost.pop(name, None)

    def _delete(self, name: str) -> None:
        self._bucket.delete(name)
        self._tree.forget(name)

    @_translated
    def mkdir(self, path: str, mode: int) -> None:
        """Have a folder, which others see once something is in it."""
        self._tree.make(_name(path))

    @_translated
    def rmdir(self, path: str) -> None:
        """Have an empty folder no more."""
        if self._list(_name(path)):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        self._tree.remove(_name(path))

    @_translated
    def rename(self, old: str, new: str, flags: int = 0) -> None:
        """Copy and delete, object by object."""
        if flags & ~_NOREPLACE:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        before, after = _name(old), _name(new)
        there = self._tree.find(after)
        if there is not None and flags & _NOREPLACE:
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        found = None if before in self._open else self._find(before)
        if found is not FOLDER:
            self._move(before, after, found.size if found else 0)
            return
        if there is not None and self._list(after):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        for name, size in self._inside(before).items():
            self._move(name, after + name[len(before) :], size)
        self._tree.move(before, after)

    def _inside(self, folder: str) -> dict[str, int]:
        """The files below a folder, new ones that are open included, and how large they are."""
        sizes = {one.name: one.size for one in self._bucket.list(folder)}
        with self._lock:
            sizes |= dict.fromkeys(self._open, 0)
        return {name: size for name, size in sizes.items() if name.startswith(f"{folder}/")}

    def _move(self, old: str, new: str, size: int) -> None:
        file = self._open.get(old)
        with file.lock if file else nullcontext():  # what is written meanwhile goes to the new name
            if file is not None:
                self._flush(file)
                size = file.size
            self._detach(new)
            self._copy(old, new, size)
            self._tree.forget(new)
            if file is not None:
                self._renamed(file, old, new)
        self._delete(old)

    def _renamed(self, file: File, old: str, new: str) -> None:
        """Have an open file be of another name."""
        found = self._bucket.head(new)
        with self._lock:
            if self._open.get(old) is file:  # and was not closed
                file.rename(new, found)
                self._open[new] = self._open.pop(old)

    def _copy(self, old: str, new: str, size: int) -> None:
        if size <= MOST_COPIED:
            self._bucket.copy(old, new)
            return
        spare = self._staging / f"copy-{os.urandom(8).hex()}"
        try:
            self._bucket.fetch(old, spare)
            self._bucket.store(new, spare)
        finally:
            spare.unlink(missing_ok=True)

    # --- what an object has not -----------------------------------------------------------------

    def chmod(self, path: str | None, mode: int) -> None:
        """Rights are those of all files here; whoever sets them need not fail for that."""

    def chown(self, path: str | None, uid: int, gid: int) -> None:
        """The same."""

    def utimens(self, path: str | None, times: object = None) -> None:
        """The same: an object is as old as its upload."""

    def symlink(self, target: str, source: str) -> None:
        """No object can be one."""
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    link = symlink

    def mknod(self, path: str, mode: int, dev: int) -> None:
        """No object can be one."""
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def _name(path: str) -> str:
    """The name below the prefix.

    Raises:
        OSError: no key can be called that.
    """
    name = path[1:]
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise OSError(errno.EILSEQ, os.strerror(errno.EILSEQ)) from None
    if size > _LONGEST:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    return name
