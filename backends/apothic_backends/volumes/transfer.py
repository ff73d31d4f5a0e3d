"""Files of a volume onto the disk of whoever asks for them; no link there is ever followed."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from apothic_backends.model.errors import PathRefused
from apothic_backends.volumes import content
from apothic_backends.volumes.disk import open_folder
from apothic_backends.volumes.manifest import FILE, FOLDER, Entry, Manifest
from apothic_backends.volumes.paths import follow, inside
from apothic_backends.volumes.store import Store


def get(store: Store, path: str, goal: Path) -> list[str]:
    """Copy a file or a folder to the disk: to that name, or into that folder if there is one.

    Raises:
        FileNotFoundError: there is no such file in the volume.
        PathRefused: something that is in the way there is a link.
    """
    with store.locked(shared=True):
        version = store.read_held()
        at = follow(inside(path), version.target)
        entry = version.entries.get(at) if at else Entry(FOLDER, 0o755)
        if entry is None:
            raise FileNotFoundError(2, "there is no such file in the volume", path)
        if goal.is_dir() and at:
            goal = goal / at.rpartition("/")[2]
        goal.parent.mkdir(parents=True, exist_ok=True)
        above = os.open(goal.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return _Getting(store, version).put(above, goal.name, at, entry)
        finally:
            os.close(above)


class _Getting:
    def __init__(self, store: Store, version: Manifest) -> None:
        self.store = store
        self.entries = version.entries
        self.inside: dict[str, list[str]] = {}
        for path in sorted(version.entries):
            self.inside.setdefault(path.rpartition("/")[0], []).append(path)

    def put(self, folder: int, name: str, path: str, entry: Entry) -> list[str]:
        if entry.kind == FOLDER:
            return self._put_folder(folder, name, path, entry)
        coming = f".{name[:200]}.{secrets.token_hex(4)}"
        if entry.kind == FILE:
            self._put_file(folder, coming, entry)
        else:
            os.symlink(entry.content, coming, dir_fd=folder)
        os.rename(coming, name, src_dir_fd=folder, dst_dir_fd=folder)
        return [path]

    def _put_folder(self, folder: int, name: str, path: str, entry: Entry) -> list[str]:
        try:
            os.mkdir(name, 0o700, dir_fd=folder)
        except FileExistsError:
            made = False
        else:
            made = True
        try:
            inner = open_folder(name, folder)
        except (NotADirectoryError, OSError) as error:
            raise PathRefused(f"{name!r} is in the way, and is no folder", path=name) from error
        try:
            put = [path] if path else []
            for below in self.inside.get(path, ()):
                last = below.rpartition("/")[2]
                put += self.put(inner, last, below, self.entries[below])
            if made:
                os.fchmod(inner, entry.mode)
        finally:
            os.close(inner)
        return put

    def _put_file(self, folder: int, name: str, entry: Entry) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        target = os.open(name, flags, 0o600, dir_fd=folder)
        try:
            with self.store.opened(entry) as source:
                content.clone(source, target)
            os.fchmod(target, entry.mode)
            os.utime(target, ns=(entry.mtime_ns, entry.mtime_ns))
        except BaseException:
            os.unlink(name, dir_fd=folder)
            raise
        finally:
            os.close(target)
