"""What one process sees of a volume, and what it has written since.

    opened ──► used ──► commit ──► moved to the newest version ──► used ... ──► closed
                 │                    ▲
                 └──── discarded ─────┘

A view is a folder that its process holds by a lock. It stands on the tree of one version, over
which an overlay puts `upper`; or it is a copy in `copy`. What a dead process has held is swept away
when the next view is opened.
"""

from __future__ import annotations

import os
from pathlib import Path

from apothic_backends.model.errors import FileRefused, NotFound
from apothic_backends.volumes import disk
from apothic_backends.volumes.content import hash_of
from apothic_backends.volumes.manifest import FILE, FOLDER, Changes, Entries, Entry, Manifest
from apothic_backends.volumes.scan import Found, below, changes_of
from apothic_backends.volumes.store import (
    FAIL,
    Staged,
    Store,
    listed,
    permissions,
    sweep,
)
from apothic_backends.volumes.trees import copy_of, sweep_trees, tree_of

_TICK_NS = 20_000_000
"""File systems count time in steps of up to 10 ms."""


class View:
    """One process's view of a volume, or of a folder in it."""

    def __init__(
        self, store: Store, sub_path: str = "", *, is_copy: bool = False, read_only: bool = False
    ) -> None:
        self.store = store
        self.sub_path = sub_path
        self.is_copy = is_copy
        self.read_only = read_only
        self.rev = 0
        """The version that it stands on."""
        self.known: Entries = {}
        """What it had when nothing was changed in it."""
        self._seen: dict[str, tuple[tuple[int, ...], Entry]] = {}
        """Files as they were when they were last read, of which the volume has the content."""
        self._read: dict[str, tuple[tuple[int, ...], Entry]] = {}
        """The same of the look that is under way."""
        self._settled_ns = 0
        """What was changed before that is not changed again at what looks like the same time."""
        with store.locked():
            self._sweep()
        self._held = store.hold("views")
        self.folder = self._held.path
        self._turn = 0
        self._at: Path | None = None
        """Where the copy is, if it may be nowhere else."""
        self._layer = self.folder / "layer0"
        try:
            self.move()
        except BaseException:
            self.close()
            raise

    def _sweep(self) -> None:
        alive = sweep(self.store.folder / "views", take_back)
        used = {(view / "rev").read_text() for view in alive if (view / "rev").exists()}
        sweep_trees(self.store, used, self.store.rev)
        self.store.forget()

    # --- where it is ----------------------------------------------------------------------------

    @property
    def lower(self) -> Path:
        """The version that it stands on, for an overlay."""
        tree = self.store.folder / "trees" / str(self.rev)
        return tree / self.sub_path if self._has_lower else self._layer / "empty"

    @property
    def upper(self) -> Path:
        """What was written over it."""
        return self._layer / "upper"

    @property
    def work(self) -> Path:
        """A folder that overlays need for themselves."""
        return self._layer / "work"

    @property
    def copy(self) -> Path:
        """The copy."""
        return self._at or self._layer / "copy"

    @property
    def scratch(self) -> Path:
        """An empty folder, for whoever needs one."""
        path = self.folder / "scratch"
        path.mkdir(exist_ok=True)
        return path

    def note(self, path: str) -> None:
        """Have this link, or this empty folder, removed with the view, by whomever that is."""
        with (self.folder / "notes").open("a", errors="surrogateescape") as notes:
            notes.write(f"{path}\n")

    @property
    def is_newest(self) -> bool:
        """Whether it stands on the newest version."""
        return self.store.rev == self.rev

    def move(self, *, keep: bool = False) -> None:
        """Stand on the newest version with nothing written; what shows it is not there meanwhile.

        With `keep`, files that are open stay, though nobody finds them any more.

        Raises:
            NotFound: the folder of the volume is not there.
        """
        with disk.told(f"volume {self.store.name} cannot be shown"):
            if not keep and self._layer.is_dir():
                disk.remove_tree(self._layer)
            self._turn += 1
            self._layer = self.folder / f"layer{self._turn}"
            for name in ("copy",) if self.is_copy else ("upper", "work", "empty"):
                (self._layer / name).mkdir(mode=0o755, parents=True)
            with self.store.locked(shared=True):
                version = self.store.read_whole()
                self._has_lower = self._check_sub_path(version)
                self._stand_on(version)
                if self.is_copy:
                    if self._at is not None:
                        disk.clear(self._at)
                    copy_of(self.store, self.known, self.copy)
                else:
                    tree_of(self.store, version)
        self._seen = {}

    def become_copy(self, at: Path | None = None) -> None:
        """Be a copy from here on, as no overlay can be had; in that folder if in no other."""
        self.is_copy = True
        self._at = at
        self.move()

    def _stand_on(self, version: Manifest) -> None:
        self.rev = version.rev
        self.known = _under(self.sub_path, version.entries)
        (self.folder / "rev").write_text(str(version.rev))

    def _check_sub_path(self, version: Manifest) -> bool:
        if not self.sub_path:
            return True
        found = version.entries.get(self.sub_path)
        if found is None and self.read_only:
            raise NotFound(
                f"volume {self.store.name} has no folder {self.sub_path!r}", name=self.sub_path
            )
        if found is not None and found.kind != FOLDER:
            raise NotFound(
                f"{self.sub_path!r} in volume {self.store.name} is a {found.kind}, no folder",
                name=self.sub_path,
            )
        return found is not None

    # --- what was written -----------------------------------------------------------------------

    def has_changes(self) -> bool:
        """Whether something may have been written: a look that costs next to nothing."""
        if self.is_copy:
            return bool(self.known) or any(self.copy.iterdir())
        return any(self.upper.iterdir())

    def is_dirty(self) -> bool:
        """Whether something was written that is not committed."""
        if not self.has_changes():
            return False
        with self.store.staging() as staged:
            return bool(self.changes(staged))

    def commit(self, *, is_free: bool = False, on_conflict: str = FAIL, fence: int = 0) -> int:
        """Make a version of what was written here and what others have committed since; its number.

        With `is_free` nobody can write any more: what an overlay has is taken and not copied,
        and `move` has to follow.

        Raises:
            VolumeConflict: others have changed the same files since.
            FileRefused: there are files that no volume keeps, or none may be written here.
            VolumeFailed: the disk does not take it.
        """
        if not self.has_changes() and not fence:
            return self.rev
        with self.store.staging() as staged:
            changes = self.changes(staged, is_free=is_free)
            if self.read_only and changes:
                raise FileRefused(
                    f"volume {self.store.name} is mounted read-only; these were changed, and are "
                    f"thrown away: {listed([*changes])}",
                    files=[*changes],
                )
            if not changes and not fence:
                self._seen |= self._read
                return self.rev
            made = self.store.commit(
                staged,
                {self.whole(path): entry for path, entry in changes.items()},
                {self.whole(path): entry for path, entry in self.known.items()},
                on_conflict=on_conflict,
                fence=fence,
            )
        self._seen |= self._read
        now = _under(self.sub_path, made.entries)
        known = {path: entry for path, entry in self.known.items() if path not in changes}
        for path, ours in changes.items():
            if ours is not None:  # what is here, also where the version has what others have made
                theirs = now.get(path)
                known[path] = theirs if theirs is not None and theirs.is_like(ours) else ours
        self.known = known
        return made.rev

    def changes(self, staged: Staged, *, is_free: bool = False) -> Changes:
        """What was written, its contents brought into `staged`."""
        taken = self._taken if is_free and not self.is_copy else self._copied

        def take(found: Found) -> Entry:
            return taken(found, staged)

        self._settled_ns = self._now_ns() - _TICK_NS
        self._read = {}
        fd = disk.open_folder(self.copy if self.is_copy else self.upper)
        try:
            there, gone = below(fd, take, is_layer=not self.is_copy)
        finally:
            os.close(fd)
        return changes_of(self.known, there, None if self.is_copy else gone)

    def whole(self, path: str) -> str:
        """A path here as the volume has it."""
        return f"{self.sub_path}/{path}" if self.sub_path else path

    def _now_ns(self) -> int:
        """The time as the file system sees it."""
        mark = self.folder / "rev"
        os.utime(mark)
        return mark.stat().st_ctime_ns

    def _copied(self, found: Found, staged: Staged) -> Entry:
        """Copy a file into what is staged, unless it is as it was."""
        status = found.status
        mark = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        seen = self._seen.get(found.path)
        if seen is not None and seen[0] == mark:
            return seen[1]
        fd = found.open()
        try:
            entry = self._unchanged(fd, self.known.get(found.path)) or staged.take(fd)
        finally:
            os.close(fd)
        if status.st_ctime_ns < self._settled_ns:
            self._read[found.path] = mark, entry
        return entry

    @staticmethod
    def _unchanged(fd: int, known: Entry | None) -> Entry | None:
        """What is known of a file, if that is what it is."""
        status = os.fstat(fd)
        if known is None or known.kind != FILE or known.size != status.st_size:
            return None
        is_same = (permissions(status.st_mode), status.st_mtime_ns) == (known.mode, known.mtime_ns)
        return known if is_same and hash_of(fd)[0] == known.content else None

    def _taken(self, found: Found, staged: Staged) -> Entry:
        """Move a file that nobody has open into what is staged."""
        if found.status.st_nlink > 1 or found.path in self._seen:
            return self._copied(found, staged)
        fd = found.open()
        try:
            digest, size = hash_of(fd)
            disk.sync(fd)
            for name in os.listxattr(fd):
                os.removexattr(fd, name)
        finally:
            os.close(fd)
        mode = permissions(found.status.st_mode)
        entry = Entry(FILE, mode, found.status.st_mtime_ns, size, digest)
        path = staged.new()
        disk.before("rename")
        os.rename(found.name, path, src_dir_fd=found.folder)
        staged.keep(path, entry)
        return entry

    def close(self) -> None:
        """Throw it away; the version that it stood on stays until the next view is opened."""
        take_back(self.folder)
        self._held.let_go()


def take_back(folder: Path) -> None:
    """Remove what a view has left elsewhere."""
    try:
        noted = (folder / "notes").read_text(errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return
    for path in map(Path, reversed(noted)):
        try:
            if not path.is_symlink():
                path.rmdir()
            elif path.readlink().is_relative_to(folder):
                path.unlink()
        except OSError:
            continue  # it is somebody else's by now


def _under(sub_path: str, entries: Entries) -> dict[str, Entry]:
    """Entries below a folder, by their paths from there."""
    if not sub_path:
        return dict(entries)
    start = f"{sub_path}/"
    return {p.removeprefix(start): entry for p, entry in entries.items() if p.startswith(start)}
