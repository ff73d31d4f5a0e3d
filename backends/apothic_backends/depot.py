"""Archives of code on this machine, by their digest, and the trees that they are unpacked to.

    ARCHIVES/DIGEST            an archive, whole; never changed
    ARCHIVES/.DIGEST.part      one that is on its way in
    HOME/trees/BOOT/DIGEST/    its files, read-only, for executors to run in
    HOME/trees/BOOT/DIGEST.lock  held by every process that runs in it

An entry gets its final name by a rename, when it is whole. A tree is not synced to the disk: it is
as good as the boot that it was made in, and the next one unpacks it again. Standard library only:
workers use it, too.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import threading
from collections.abc import Container, Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NoReturn

from apothic_backends.archives import MOST_BYTES, listed, unpack
from apothic_backends.model.archives import MOST_PIECE, check_digest
from apothic_backends.model.errors import (
    ArchiveRefused,
    NotFound,
    StoreError,
    StoreFull,
)
from apothic_backends.volumes.disk import remove_tree

MOST_COMING = 16
"""Archives that may be on their way in; beyond, the oldest has to begin anew."""

GRACE_S = 24 * 3600.0
"""An archive is kept for so long after it was put, or somebody asked whether it is there."""

UNUSED_S = 7 * 24 * 3600.0
"""A tree that nobody has used for so long is removed when another one is made."""

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class _Coming:
    """An archive that is on its way in."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self.total = hashlib.sha256()
        self.length = 0
        self.file: BinaryIO = path.open("wb")

    def add(self, data: bytes) -> None:
        self.file.write(data)
        self.total.update(data)
        self.length += len(data)

    def close(self) -> None:
        with suppress(OSError):  # it could not be written, and is not wanted any more
            self.file.close()
        self.path.unlink(missing_ok=True)


class Archives:
    """The archives in a folder; from any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._coming: dict[str, _Coming] = {}
        self._lock = threading.Lock()

    def path(self, digest: str) -> Path:
        """Where the archive of that digest is, or would be."""
        return self.folder / check_digest(digest)

    def has(self, digest: str) -> bool:
        """Whether it is there, whole; if so it stays for a while, as whoever asks counts on it."""
        path = self.path(digest)
        with self._lock:
            return path.is_file() and _touched(path)

    def put(self, digest: str, size: int, at: int, data: bytes) -> int:
        """Take a piece of an archive; how many bytes of it are there, from where to go on.

        A piece that does not begin there changes nothing, so it can be sent again.

        Raises:
            ArchiveRefused: it is none, or not the one of this digest; nothing of it is kept.
            StoreError: the disk does not take it.
        """
        path = self.path(digest)
        if not 0 < size <= MOST_BYTES or len(data) > MOST_PIECE or at + len(data) > size:
            raise ArchiveRefused(
                f"an archive has up to {MOST_BYTES >> 20} MiB and comes in pieces of up to "
                f"{MOST_PIECE >> 20} MiB"
            )
        with self._lock, _told(path):
            if path.is_file() and _touched(path):
                return size
            coming = self._begun(path, size)
            if at != coming.length:
                return coming.length
            try:
                coming.add(data)
            except OSError:
                self._coming.pop(digest).close()
                raise
            if coming.length == size:
                self._finish(path, self._coming.pop(digest))
            return coming.length

    def _begun(self, path: Path, size: int) -> _Coming:
        coming = self._coming.get(path.name)
        if coming is not None and coming.size == size:
            return coming
        for digest in [path.name, *self._coming][: 1 if len(self._coming) < MOST_COMING else 2]:
            if digest in self._coming:
                self._coming.pop(digest).close()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        coming = self._coming[path.name] = _Coming(part, size)
        return coming

    def _finish(self, path: Path, coming: _Coming) -> None:
        """It is all there: look whether it is what it was said to be, and keep it."""
        try:
            coming.file.flush()
            if coming.total.hexdigest() != path.name:
                raise ArchiveRefused(f"what came is not the archive {path.name[:12]}")
            with coming.path.open("rb") as file:
                listed(file)
            os.fsync(coming.file.fileno())
            coming.path.rename(path)
        finally:
            coming.close()

    def get(self, digest: str, at: int, most: int = MOST_PIECE) -> bytes:
        """A piece of an archive; empty at its end.

        Raises:
            NotFound: it is not there.
        """
        path = self.path(digest)
        with _told(path):
            try:
                file = path.open("rb")
            except FileNotFoundError:
                raise not_here(digest) from None
            with file:
                file.seek(max(0, at))
                return file.read(max(1, min(most, MOST_PIECE)))

    def keep_only(self, digests: Iterable[str]) -> None:
        """Remove every other archive; somebody who is the only user of the folder may ask."""
        kept = {check_digest(digest) for digest in digests}
        with self._lock, suppress(FileNotFoundError):
            for path in list(self.folder.iterdir()):
                if path.name not in kept:
                    path.unlink()

    def remove_unneeded(self, needed: Container[str], now: float) -> None:
        """Remove those that are not needed, unless somebody may be about to need them.

        `now` is Unix time. Whoever registers a function has asked for its archive before.
        """
        with self._lock:
            for path, used_at, _ in self._entries():
                name = path.name.strip(".").partition(".")[0]
                if name not in needed and name not in self._coming and used_at + GRACE_S < now:
                    path.unlink(missing_ok=True)

    def make_room(self, most: int, trees: Trees, kept: str) -> None:
        """Remove the archives, and trees, that were not used for longest: `most` bytes may stay.

        What somebody runs in is not removed, nor is the one that is `kept`. Many processes may be
        at it at the same time.
        """
        found = [entry for entry in self._entries() if not entry[0].name.startswith(".")]
        found.sort(key=lambda entry: max(entry[1], trees.used_at(entry[0].name)))
        total = sum(size for *_, size in found)
        for path, _, size in found:
            if total <= most:
                return
            if path.name != kept and trees.drop(path.name):
                path.unlink(missing_ok=True)
                total -= size

    def _entries(self) -> list[tuple[Path, float, int]]:
        """What lies there, when each was last asked for, and its size."""
        found: list[tuple[Path, float, int]] = []
        with suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                with suppress(FileNotFoundError):  # somebody was faster
                    about = path.stat()
                    found.append((path, about.st_mtime, about.st_size))
        return found

    def close(self) -> None:
        """Let go of what has not come to its end."""
        with self._lock:
            while self._coming:
                self._coming.popitem()[1].close()


def _touched(path: Path) -> bool:
    """Note that an archive is asked for; True."""
    with suppress(OSError):  # then it counts as old, and nobody needs it more than the disk
        os.utime(path)
    return True


def not_here(digest: str) -> NotFound:
    """What to say of an archive that is not there."""
    return NotFound(f"the archive {digest[:12]} is not here; deploy again", digest=digest)


@contextmanager
def _told(path: Path) -> Generator[None]:
    """Tell of a disk that does not do what it should.

    Raises:
        StoreError: it does not.
    """
    try:
        yield
    except OSError as error:
        _tell(path, error)


def _tell(path: Path, error: OSError) -> NoReturn:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise StoreFull(f"there is no room for {path}") from error
    raise StoreError(f"{path} cannot be used: {error.strerror or error}") from error


# --- trees --------------------------------------------------------------------------------------


class Trees:
    """The unpacked archives below a folder, which many processes share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / _boot()

    def open(self, digest: str, archive: Path) -> Path:
        """The tree of an archive, made if it is not there; it stays while this process lives.

        Raises:
            NotFound: it is not there, and the archive is not either.
            ArchiveRefused: the archive is damaged.
            StoreError: the disk does not take it.
        """
        tree = self.folder / check_digest(digest)
        with _told(tree):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._hold(tree)
            os.utime(_lock_of(tree))
            if not tree.is_dir():
                self._make(tree, archive)
        return tree

    def _hold(self, tree: Path) -> int:
        """Keep others from removing it, for as long as this process lives."""
        while True:
            fd = os.open(_lock_of(tree), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_SH)
            if os.fstat(fd).st_nlink:
                return fd
            os.close(fd)  # it was removed while we waited for it

    def _make(self, tree: Path, archive: Path) -> None:
        """Unpack it beside its place, and put it there if nobody was faster."""
        self._remove_unused(_lock_of(tree).stat().st_mtime)
        coming = tree.with_name(f".{tree.name}.{os.urandom(4).hex()}")
        try:
            coming.mkdir(mode=0o700)
            with archive.open("rb") as file:
                unpack(file, coming, tree.name)
            coming.rename(tree)
        except FileNotFoundError:
            raise not_here(tree.name) from None
        except OSError as error:
            if not tree.is_dir():
                _tell(tree, error)
        finally:
            remove_tree(coming)

    def _remove_unused(self, now: float) -> None:
        """Remove what nobody has used for long, and nobody uses; and what was never finished."""
        for path in self.folder.parent.glob("*/*"):
            with suppress(OSError):
                is_old = now - path.stat().st_mtime > UNUSED_S
                if is_old and path.suffix == ".lock":
                    self._remove(path)
                elif is_old and path.name.startswith("."):
                    remove_tree(path)

    def used_at(self, digest: str) -> float:
        """When a tree was last opened; long ago if it never was."""
        try:
            return _lock_of(self.folder / digest).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def drop(self, digest: str) -> bool:
        """Remove a tree; False if somebody runs in it, or is about to."""
        try:
            self._remove(_lock_of(self.folder / digest))
        except FileNotFoundError:
            return True
        except BlockingIOError:
            return False
        return True

    def _remove(self, lock: Path) -> None:
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_tree(lock.with_suffix(""))
            lock.unlink()
        finally:
            os.close(fd)


def _lock_of(tree: Path) -> Path:
    return tree.with_name(f"{tree.name}.lock")


def _boot() -> str:
    """Which boot of the machine this is; one name for all where nobody can tell."""
    try:
        return _BOOT.read_text("ascii").strip()
    except OSError:
        return "any"
