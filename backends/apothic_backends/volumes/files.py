"""The files of a volume from outside, without a view: each change is a version of its own."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from apothic_backends.model.errors import FileRefused, PathRefused, VolumeConflict
from apothic_backends.model.volumes import VolumeFile
from apothic_backends.volumes import content, disk
from apothic_backends.volumes.manifest import FILE, FOLDER, LINK, Changes, Entries, Entry, Manifest
from apothic_backends.volumes.paths import follow, inside, parents
from apothic_backends.volumes.scan import Found, below
from apothic_backends.volumes.store import Staged, Store

Make = Callable[[Manifest], Changes]


def shown(path: str, entry: Entry) -> VolumeFile:
    """An entry for people."""
    leads = entry.content if entry.kind == LINK else None
    size = entry.size if entry.kind == FILE else 0
    mtime = entry.mtime_ns / 1e9
    return VolumeFile(path, entry.kind, size, mtime, entry.mode, entry.rev, leads)


class Upload:
    """Files on their way into a volume; they are there all at once, when it ends."""

    def __init__(self, staged: Staged) -> None:
        self._staged = staged
        self.entries: dict[str, Entry] = {}
        self.folders: set[str] = set()
        self.leaves: set[str] = set()

    def put_file(self, source: str | os.PathLike[str] | BinaryIO, path: str) -> None:
        """Put a file, or what a binary file object gives, at a path.

        Raises:
            FileRefused: the source is no plain file.
        """
        if isinstance(source, str | os.PathLike):
            fd = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise FileRefused(f"{source} is no file", files=[os.fspath(source)])
                self.put(_in(path, Path(source).name), self._staged.take(fd))
            finally:
                os.close(fd)
        else:
            self.put(inside(path), self._read(source))

    def _read(self, source: BinaryIO) -> Entry:
        coming = self._staged.new()
        with coming.open("xb") as file:
            while piece := source.read(content.CHUNK):
                file.write(piece)
        fd = os.open(coming, os.O_RDONLY | os.O_CLOEXEC)
        try:
            disk.sync(fd)
            digest, size = content.hash_of(fd)
            entry = Entry(FILE, 0o644, os.fstat(fd).st_mtime_ns, size, digest)
        finally:
            os.close(fd)
        self._staged.keep(coming, entry)
        return entry

    def put_directory(self, source: str | os.PathLike[str], path: str = "/") -> None:
        """Put all that is below a folder below a path. Links are kept as links.

        Raises:
            FileRefused: there are pipes, devices or sockets in it.
        """
        at = inside(path)
        fd = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found, _ = below(fd, self._take)
        finally:
            os.close(fd)
        if at:
            self.put(at, Entry(FOLDER, 0o755))
        for name, entry in found.items():
            self.put(f"{at}/{name}" if at else name, entry)

    def _take(self, found: Found) -> Entry:
        fd = found.open()
        try:
            return self._staged.take(fd)
        finally:
            os.close(fd)

    def put(self, path: str, entry: Entry) -> None:
        """Put what is staged at a path.

        Raises:
            PathRefused: something else of this upload is in the way.
        """
        if not path:
            raise IsADirectoryError(21, "a file needs a name", "/")
        above = parents(path)
        if not self.leaves.isdisjoint(above) or (entry.kind != FOLDER and path in self.folders):
            raise PathRefused(f"{path!r} goes through what is no folder", path=path)
        self.folders.update(above)
        (self.folders if entry.kind == FOLDER else self.leaves).add(path)
        self.entries[path] = entry


def _in(path: str, name: str) -> str:
    """Where a file goes: to the path, or with its own name into what ends in a slash."""
    at = inside(path)
    if path.endswith("/") or not at:
        return f"{at}/{name}" if at else name
    return at


class Files:
    """What can be done to the files of one volume."""

    def __init__(self, store: Store) -> None:
        self.store = store

    # --- looking --------------------------------------------------------------------------------

    def stat(self, path: str) -> VolumeFile:
        """What is at a path, links followed on the way but not at its end.

        Raises:
            FileNotFoundError: nothing is.
        """
        version = self.store.read()
        at = follow(inside(path), version.target, last=False)
        return shown(at, _entry(version, at))

    def exists(self, path: str) -> bool:
        """Whether something is at a path."""
        try:
            self.stat(path)
        except FileNotFoundError:
            return False
        return True

    def listdir(self, path: str = "/", *, recursive: bool = False) -> list[VolumeFile]:
        """What is in a folder, or with `recursive` all below it; of a file, itself.

        Raises:
            FileNotFoundError: there is nothing at the path.
        """
        version = self.store.read()
        at = follow(inside(path), version.target)
        if _entry(version, at).kind != FOLDER:
            return [shown(at, version.entries[at])]
        return [
            shown(name, entry)
            for name, entry in sorted(version.entries.items())
            if _is_below(name, at) and (recursive or name.rpartition("/")[0] == at)
        ]

    def read(self, path: str) -> Iterator[bytes]:
        """The content of a file, piece by piece; it stays this one while it is read.

        Raises:
            FileNotFoundError: there is none.
            IsADirectoryError: it is a folder.
        """
        with self.store.locked(shared=True):
            version = self.store.read_held()
            at = follow(inside(path), version.target)
            entry = _entry(version, at)
            if entry.kind != FILE:
                raise IsADirectoryError(21, "it is a folder", path)
            return _Reading(self.store.open(entry))

    def put_file(
        self, source: str | os.PathLike[str] | BinaryIO, path: str, *, force: bool = False
    ) -> None:
        """Put one file, as `Upload.put_file` does."""
        with self.upload(force=force) as upload:
            upload.put_file(source, path)

    def put_directory(
        self, source: str | os.PathLike[str], path: str = "/", *, force: bool = False
    ) -> None:
        """Put a folder, as `Upload.put_directory` does."""
        with self.upload(force=force) as upload:
            upload.put_directory(source, path)

    # --- changing -------------------------------------------------------------------------------

    @contextmanager
    def upload(self, *, force: bool = False) -> Generator[Upload]:
        """Put files there, all at once at the end of the block.

        Raises:
            FileExistsError: one is there already, and `force` does not say to replace it.
        """
        with self.store.staging() as staged:
            coming = Upload(staged)
            yield coming

            def make(version: Manifest) -> Changes:
                return {
                    _landing(version, path, entry, force=force): entry
                    for path, entry in coming.entries.items()
                }

            self._edit(make, staged)

    def copy(self, sources: list[str], path: str) -> None:
        """Copy files and folders within the volume: into a folder, or one to another name."""

        def make(version: Manifest) -> Changes:
            at = follow(inside(path), version.target)
            there = version.entries.get(at)
            into = not at or path.endswith("/") or (there is not None and there.kind == FOLDER)
            if len(sources) > 1 and not into:
                raise NotADirectoryError(20, "several files need a folder", path)
            changes: dict[str, Entry | None] = {}
            for source in sources:
                start = follow(inside(source), version.target)
                goal = "/".join(filter(None, [at, start.rpartition("/")[2]])) if into else at
                changes |= _moved(version, start, goal)
            return changes

        self._edit(make)

    def rename(self, old: str, new: str) -> None:
        """Give a file or a folder another path; what is there is replaced.

        Raises:
            FileNotFoundError: there is nothing at `old`.
        """

        def make(version: Manifest) -> Changes:
            start = follow(inside(old), version.target, last=False)
            goal = follow(inside(new), version.target, last=False)
            gone = _tree(version, start) | _tree(version, goal, missing_ok=True)
            return dict.fromkeys(gone) | _moved(version, start, goal)

        self._edit(make)

    def remove(self, path: str, *, recursive: bool = False) -> None:
        """Take a file away, or with `recursive` a folder. Of a link the link itself.

        Raises:
            FileNotFoundError: there is nothing.
            IsADirectoryError: it is a folder, and `recursive` does not say so.
        """

        def make(version: Manifest) -> Changes:
            at = follow(inside(path), version.target, last=False)
            if _entry(version, at).kind == FOLDER and not recursive:
                raise IsADirectoryError(21, "a folder is removed with recursive=True", path)
            return dict.fromkeys(_tree(version, at))

        self._edit(make)

    def _edit(self, make: Make, staged: Staged | None = None) -> None:
        if staged is None:
            with self.store.staging() as nothing:
                self._edit(make, nothing)
            return
        while True:
            version = self.store.read()
            changes = make(version)
            _check_folders(version, changes)
            try:
                self.store.commit(staged, changes, version.entries)
            except VolumeConflict:
                continue  # somebody was faster: what is meant is what is there now
            return


class _Reading:
    """A file that is open until it has been read, or nobody wants more."""

    def __init__(self, fd: int) -> None:
        self._file = os.fdopen(fd, "rb", buffering=0)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = self._file.read(content.CHUNK) if not self._file.closed else b""
        if not piece:
            self._file.close()
            raise StopIteration
        return piece


def _landing(version: Manifest, path: str, entry: Entry, *, force: bool) -> str:
    """Where something that is put arrives, through the links on its way."""
    at = follow(path, version.target, last=False)
    there = version.entries.get(at)
    if there is None or there.kind == entry.kind == FOLDER:
        return at
    if there.kind == FOLDER:
        raise IsADirectoryError(21, "there is a folder already", path)
    if not force:
        raise FileExistsError(17, "it is there already; force=True replaces it", path)
    return at


def _check_folders(version: Manifest, changes: Changes) -> None:
    """See to it that nothing is put below a file."""
    for path, ours in changes.items():
        for above in parents(path) if ours is not None else ():
            there = version.entries.get(above)
            if there is not None and there.kind != FOLDER and above not in changes:
                raise NotADirectoryError(20, "it is no folder", above)


def _entry(version: Manifest, at: str) -> Entry:
    found = version.entries.get(at) if at else Entry(FOLDER, 0o755)
    if found is None:
        raise FileNotFoundError(2, "there is no such file in the volume", at)
    return found


def _is_below(path: str, folder: str) -> bool:
    return not folder or path.startswith(f"{folder}/")


def _tree(version: Manifest, at: str, *, missing_ok: bool = False) -> dict[str, Entry]:
    """What is at a path, and below it."""
    if not missing_ok:
        _entry(version, at)
    entries: Entries = version.entries
    return {path: e for path, e in entries.items() if path == at or _is_below(path, at)}


def _moved(version: Manifest, start: str, goal: str) -> dict[str, Entry]:
    """The tree at one path as it is at another."""
    if not start or not goal or _is_below(goal, start):
        raise FileExistsError(17, "a folder cannot be put into itself", goal)
    return {goal + path.removeprefix(start): e for path, e in _tree(version, start).items()}
