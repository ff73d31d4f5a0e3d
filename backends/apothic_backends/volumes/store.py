"""One volume on a disk: its newest version, and the way from one version to the next.

    staging ──► objects ──► manifests/N+1 ──► HEAD
    (copied)    (renamed)   (written)         (renamed: from here on N+1 is the newest)

Everything before the last step is invisible, and everything is on the disk before the next step.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apothic_backends.model.errors import BucketFailed, Fenced, VolumeConflict, VolumeDamaged
from apothic_backends.volumes import content, disk
from apothic_backends.volumes.manifest import (
    FILE,
    Changes,
    Entries,
    Entry,
    Manifest,
    conflicts,
    decode,
    digest_of,
    encode,
    merge,
    without_touches,
)

FAIL, LAST_WRITE_WINS = "fail", "last_write_wins"
EMPTY = Manifest()


class Staged:
    """Contents on their way in, by hash; what is not committed is thrown away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, Path] = {}

    def new(self) -> Path:
        """Where to write the next."""
        return self.folder / secrets.token_hex(8)

    def keep(self, path: Path, entry: Entry) -> None:
        """What was written there has that content; one of each is enough."""
        if entry.content in self.files:
            path.unlink()
            return
        path.chmod(entry.mode)
        os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))
        self.files[entry.content] = path

    def take(self, source: int) -> Entry:
        """Copy a file that is open; what it was when it was read."""
        status = os.fstat(source)
        path = self.new()
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            digest, size = content.copy(source, target)
            disk.sync(target)
        finally:
            os.close(target)
        entry = Entry(FILE, permissions(status.st_mode), status.st_mtime_ns, size, digest)
        self.keep(path, entry)
        return entry


class Store:
    """A volume that is there. Any number of processes may have one for the same folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name

    def path_of(self, digest: str) -> Path:
        """Where a content is."""
        return self.folder / "objects" / digest[:2] / digest[2:]

    # --- reading --------------------------------------------------------------------------------

    @contextmanager
    def locked(self, *, shared: bool = False) -> Generator[None]:
        """Keep the newest version the newest, or alone, make another one."""
        fd = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    @property
    def rev(self) -> int:
        """The number of the newest version; 0 before the first commit."""
        return self.head()[0]

    def head(self) -> tuple[int, str]:
        """The number of the newest version, and the digest of its manifest."""
        try:
            words = (self.folder / "HEAD").read_text("ascii").split()
        except FileNotFoundError:
            return 0, ""
        if len(words) != 2 or not words[0].isdigit():  # noqa: PLR2004 - a number and a digest
            raise VolumeDamaged(f"HEAD of volume {self.name} is garbled; restore it from a copy")
        return int(words[0]), words[1]

    def read(self) -> Manifest:
        """The newest version.

        Raises:
            VolumeDamaged: it is not as it was written.
        """
        with self.locked(shared=True):
            return self.read_held()

    def read_held(self) -> Manifest:
        """The newest version, for whoever has the lock."""
        rev, digest = self.head()
        if not rev:
            return EMPTY
        path = self.folder / "manifests" / str(rev)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise VolumeDamaged(
                f"version {rev} of volume {self.name} is missing; restore the volume from a copy"
            ) from None
        return decode(data, digest, f"version {rev} of volume {self.name}")

    def read_whole(self) -> Manifest:
        """The same, with all of its contents on this disk."""
        return self.read_held()

    def forget(self) -> None:
        """Remove what is here of older versions, for whoever is alone: a commit has done that."""

    def has(self, digest: str) -> bool:
        """Whether it has a content."""
        return self.path_of(digest).exists()

    def open_content(self, digest: str) -> int:
        """Open a content for reading; its descriptor."""
        return os.open(self.path_of(digest), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def make_room(self, nbytes: int) -> None:
        """Have room for so much more, where that can be."""

    def open(self, entry: Entry) -> int:
        """Open the content of a file for reading; its descriptor."""
        path = self.path_of(entry.content)
        try:
            return self.open_content(entry.content)
        except FileNotFoundError:
            raise VolumeDamaged(f"volume {self.name} has lost {path.name}") from None

    @contextmanager
    def opened(self, entry: Entry) -> Generator[int]:
        """The content of a file, open for reading."""
        fd = self.open(entry)
        try:
            yield fd
        finally:
            os.close(fd)

    # --- committing -----------------------------------------------------------------------------

    @contextmanager
    def staging(self) -> Generator[Staged]:
        """Where contents are written before a commit takes them; what it does not take goes.

        Raises:
            VolumeFailed: the disk does not take them.
        """
        with disk.told(f"volume {self.name} cannot be written to"):
            held = self.hold("staging")
            try:
                yield Staged(held.path)
            finally:
                held.let_go()

    def hold(self, kind: str) -> Held:
        """A new folder below `kind` that is this process's until it is let go, or dies."""
        with self.locked(shared=True):  # whoever sweeps is alone meanwhile
            return Held(self.folder / kind / secrets.token_hex(8))

    def commit(
        self,
        staged: Staged,
        changes: Changes,
        known: Entries,
        *,
        on_conflict: str = FAIL,
        fence: int = 0,
        token: str = "",
    ) -> Manifest:
        """Make the next version out of the newest and these changes to what was `known`.

        A token names the commit: one that was made already is not made again.

        Raises:
            VolumeConflict: others have changed the same since, or a content is not there, or not
                any more (`data["contents"]`); the newest stays as it is.
            Fenced: a higher fence has been seen.
            PathRefused: a link leads out.
            VolumeFailed: the disk does not take it; the newest stays as it is.
        """
        with disk.told(f"volume {self.name} cannot be written to"), self.locked():
            head = self.read_held()
            if token and token in dict(head.done):
                return head._replace(rev=dict(head.done)[token])
            changes = without_touches(known, head.entries, changes)
            self._check(head, changes, known, on_conflict, fence)
            made = merge(head, changes, fence, token)
            if made.entries == head.entries and made.fence == head.fence:
                return head
            if (self.folder / "unclean").exists():
                self._collect(head)  # a commit was killed half-way, and left what nobody wants
            self._check_there(staged, contents_of(made) - contents_of(head))
            self._write(staged, head, made)
            return made

    def _check(
        self, head: Manifest, changes: Changes, known: Entries, on_conflict: str, fence: int
    ) -> None:
        if fence and fence < head.fence:
            raise Fenced(
                f"volume {self.name} has been written to under fence {head.fence}, and this commit "
                f"is under {fence}: the lock was lost meanwhile, and nothing was written",
                fence=fence,
                present=head.fence,
            )
        if on_conflict == LAST_WRITE_WINS:
            return
        files = conflicts(known, head.entries, changes)
        if files:
            raise VolumeConflict(
                f"others have changed {listed(files)} of volume {self.name} since; nothing was "
                "written. Run again on what is there now, or commit with "
                'on_conflict="last_write_wins"',
                files=files,
                volume=self.name,
            )

    def _check_there(self, staged: Staged, new: set[str]) -> None:
        """See to it that no version has what is not there: it may have gone with the one before."""
        gone = [it for it in new - staged.files.keys() if not self.path_of(it).exists()]
        if gone:
            raise VolumeConflict(
                f"volume {self.name} has {len(gone)} of the contents no more; nothing was written",
                files=[],
                volume=self.name,
                contents=gone,
            )

    def _write(self, staged: Staged, head: Manifest, made: Manifest) -> None:
        unclean = self.folder / "unclean"
        unclean.touch()
        self._bring_in(staged)
        data = encode(made)
        disk.write_durably(self.folder / "manifests" / str(made.rev), data)
        head_line = f"{made.rev} {digest_of(data)}\n"
        disk.write_durably(self.folder / "HEAD", head_line.encode("ascii"))
        try:
            for digest in contents_of(head) - contents_of(made):
                self._throw_away(digest)
            disk.remove(self.folder / "manifests" / str(head.rev))
            disk.remove(unclean)
        except (OSError, BucketFailed):
            pass  # the next commit finds it unclean

    def _bring_in(self, staged: Staged) -> None:
        shards: set[Path] = set()
        for digest, path in staged.files.items():
            final = self.path_of(digest)
            if final.exists():
                continue
            self._put_away(digest, path)
            if final.parent not in shards:
                self._at(digest)
            shards.add(final.parent)
            disk.rename(path, final)
        for shard in shards:
            disk.sync_folder(shard)
        if shards:
            disk.sync_folder(self.folder / "objects")

    def _at(self, digest: str) -> None:
        """Have the folder in which a content is."""
        folder = self.path_of(digest).parent
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)

    def _put_away(self, digest: str, path: Path) -> None:
        """Keep a content elsewhere, too, before any version has it."""

    def _throw_away(self, digest: str) -> None:
        """No version has a content any more."""
        disk.remove(self.path_of(digest))

    def _collect(self, head: Manifest) -> None:
        """Throw away what the newest version does not have."""
        wanted = contents_of(head)
        for shard in (self.folder / "objects").iterdir():
            for path in shard.iterdir():
                if shard.name + path.name not in wanted:
                    path.unlink()
        for path in (self.folder / "manifests").iterdir():
            if path.name != str(head.rev):
                path.unlink()
        sweep(self.folder / "staging")

    # --- about it -------------------------------------------------------------------------------

    def about(self) -> dict[str, Any]:
        """What `volume.json` says."""
        try:
            told: dict[str, Any] = json.loads((self.folder / "volume.json").read_text())
        except (FileNotFoundError, ValueError):
            raise VolumeDamaged(f"volume {self.name} has no readable volume.json") from None
        return told

    def describe(self, **changes: Any) -> None:
        """Change what `volume.json` says."""
        told = {**self.about(), **changes}
        disk.write_durably(self.folder / "volume.json", json.dumps(told).encode())

    def used_bytes(self) -> int:
        """What the contents take on the disk: holes in files take nothing."""
        objects = self.folder / "objects"
        return sum(path.stat().st_blocks * 512 for path in objects.glob("*/*"))


def contents_of(manifest: Manifest) -> set[str]:
    """The contents that a version has."""
    return {entry.content for entry in manifest.entries.values() if entry.kind == FILE}


class Held:
    """A folder that is one process's as long as it lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=0o700)
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def let_go(self) -> None:
        """Remove it."""
        disk.remove_tree(self.path)
        os.close(self._fd)


def sweep(folder: Path, bury: Callable[[Path], None] | None = None) -> list[Path]:
    """Remove what dead processes have held in a folder, and `bury` each; those that are alive."""
    alive: list[Path] = []
    for held in folder.iterdir() if folder.is_dir() else ():
        if is_held(held):
            alive.append(held)
            continue
        if bury is not None:
            bury(held)
        disk.remove_tree(held)
    return alive


def is_held(folder: Path) -> bool:
    """Whether a living process holds it."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)


def permissions(mode: int) -> int:
    """What is kept of a mode: who may read, write and execute."""
    return stat.S_IMODE(mode) & 0o777


def listed(files: list[str], most: int = 5) -> str:
    """Some names, for a message."""
    shown = ", ".join(map(repr, files[:most]))
    return shown if len(files) <= most else f"{shown} and {len(files) - most} more"
