"""A version as a folder: hard links to the contents, which nobody may write to."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from apothic_backends.volumes import content, disk
from apothic_backends.volumes.manifest import FILE, FOLDER, Entries, Entry, Manifest
from apothic_backends.volumes.store import Store


def tree_of(store: Store, version: Manifest) -> Path:
    """The folder of a version, made if nobody has before. The caller holds the store's lock."""
    final = store.folder / "trees" / str(version.rev)
    if not final.is_dir():
        coming = store.folder / "staging" / secrets.token_hex(8)
        coming.mkdir(mode=0o700)
        try:
            _Linking(store).fill(coming, version.entries)
            coming.rename(final)
        except OSError:
            disk.remove_tree(coming)
            if not final.is_dir():
                raise
    return final


def copy_of(store: Store, entries: Entries, folder: Path) -> None:
    """Fill a folder with copies that may be written to."""
    _Copying(store).fill(folder, entries)


class _Copying:
    """Fills folders."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def fill(self, folder: Path, entries: Entries) -> None:
        """Put entries into an empty folder."""
        for path in sorted(entries):
            self._put(folder / path, entries[path])
        for path in sorted(entries, reverse=True):  # folders last: filling them sets their times
            entry = entries[path]
            if entry.kind == FOLDER:
                (folder / path).chmod(entry.mode)
                os.utime(folder / path, ns=(entry.mtime_ns, entry.mtime_ns))

    def _put(self, path: Path, entry: Entry) -> None:
        if entry.kind == FOLDER:
            path.mkdir(mode=0o700)
        elif entry.kind == FILE:
            self.put_file(path, entry)
        else:
            path.symlink_to(entry.content)
            times = (entry.mtime_ns, entry.mtime_ns)
            os.utime(path, ns=times, follow_symlinks=False)

    def put_file(self, path: Path, entry: Entry) -> None:
        """Put one file in place."""
        with self.store.opened(entry) as source:
            target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                content.clone(source, target)
                os.fchmod(target, entry.mode)
                os.utime(target, ns=(entry.mtime_ns, entry.mtime_ns))
            finally:
                os.close(target)


class _Linking(_Copying):
    """Links each content once and copies it further on, for two names of one file are not two.

    (`shutil.copyfile` and `cp` refuse to copy a file to itself.)
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._linked: set[str] = set()

    def put_file(self, path: Path, entry: Entry) -> None:
        """Link it if it may be, else copy it."""
        source = self.store.path_of(entry.content)
        if entry.content not in self._linked:
            self._linked.add(entry.content)
            status = source.stat()
            if (status.st_mode & 0o777, status.st_mtime_ns) == (entry.mode, entry.mtime_ns):
                try:
                    path.hardlink_to(source)
                except OSError:
                    pass  # too many links, or none on this file system
                else:
                    return
        super().put_file(path, entry)


def sweep_trees(store: Store, used: set[str], newest: int) -> None:
    """Remove the folders of versions that no view stands on. The caller is alone."""
    for tree in (store.folder / "trees").iterdir():
        if tree.name not in used and tree.name != str(newest):
            disk.remove_tree(tree)
