"""Volumes of a control plane on another machine: the same methods, over its commands.

    volumes/.far/ID/   manifests, objects, trees, views, staging: as of a volume that is here

What is there is a copy: the newest version is asked for each time, and a commit is made where the
volume is. Contents are fetched when a view needs them, and those that are here are not fetched
again. A program that mounts nothing keeps none.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from apothic_backends.commands.base import Command
from apothic_backends.commands.volumes import (
    CommitVolume,
    DropVolume,
    FindVolume,
    GetVolumeUse,
    ListVolumes,
    PlaceVolume,
)
from apothic_backends.model.errors import HostGone, NotFound, VolumeConflict
from apothic_backends.model.payloads import Payload
from apothic_backends.model.volumes import HOST, LOCAL_FOLDER, LOCAL_VOLUME, VAST_LOCAL, VolumeHead
from apothic_backends.registry import FAR, HERE
from apothic_backends.volumes import changes as texts, disk
from apothic_backends.volumes.carrying import Carrier, Start
from apothic_backends.volumes.incoming import RAW
from apothic_backends.volumes.local import EPHEMERAL, PORTABLE, Volumes, gone_from
from apothic_backends.volumes.manifest import (
    FILE,
    Changes,
    Entries,
    Entry,
    Manifest,
    decode,
    digest_of,
    encode,
    merge,
    without_touches,
)
from apothic_backends.volumes.paths import check_name
from apothic_backends.volumes.store import EMPTY, FAIL, Staged, Store, sweep

UNUSED_S = 7 * 24 * 3600.0
"""What was copied of a volume goes when nobody here has used it for so long."""

_KINDS = ("manifests", "objects", "staging", "trees", "views")
_TRIES = 5


class FarStore(Store):
    """A volume that is elsewhere."""

    def __init__(self, folder: Path, head: VolumeHead, start: Start, *, keeps: bool) -> None:
        """With `keeps`, contents that were here stay here while a version has them."""
        super().__init__(folder)
        self.name = head.name
        self.volume_id, self.kind = head.volume_id, head.kind
        self._start = start
        self._keeps = keeps
        self._carrier = Carrier(start, self.name, self.volume_id)
        self._known = EMPTY
        """The version that was read last."""
        self._digest = ""
        for kind in _KINDS:
            (folder / kind).mkdir(mode=0o700, parents=True, exist_ok=True)

    def _ask(self, command: Command[Any]) -> Any:
        return self._start(command).wait()

    def _now(self) -> VolumeHead:
        head: VolumeHead = self._ask(FindVolume(self.name))
        if head.volume_id != self.volume_id:
            raise NotFound(
                f"volume {self.name} was deleted, and is another one now", name=self.name, known=[]
            )
        return head

    # --- reading --------------------------------------------------------------------------------

    def head(self) -> tuple[int, str]:
        """The number of the newest version, and the digest of its manifest."""
        head = self._now()
        return head.rev, head.digest

    def read_held(self) -> Manifest:
        """The newest version, for whoever has the lock."""
        while True:
            head = self._now()
            if not head.rev:
                return EMPTY
            if head.digest == self._digest:
                return self._known
            data = self._manifest(head)
            if data is not None:
                where = f"version {head.rev} of volume {self.name}"
                version = texts.checked(decode(data, head.digest, where), where)
                self._know(version, head.digest)
                return self._known

    def _know(self, version: Manifest, digest: str) -> None:
        self._known, self._digest = version, digest

    def _manifest(self, head: VolumeHead) -> bytes | None:
        """The bytes of a manifest; None if it is not the newest any more."""
        path = self.folder / "manifests" / str(head.rev)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            data = b""
        if digest_of(data) == head.digest:
            return data
        try:
            data = self._carrier.manifest(head)
        except VolumeConflict:
            return None
        self._note(path, data)
        return data

    def _note(self, path: Path, data: bytes) -> None:
        """Have a manifest here, for the next process."""
        coming = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        coming.write_bytes(data)
        with suppress(FileNotFoundError):  # somebody tidies up
            coming.rename(path)

    def read_whole(self) -> Manifest:
        """The newest version, with all of its contents on this disk."""
        while True:
            version = self.read_held()
            try:
                self._bring(version.entries.values())
            except VolumeConflict:
                continue  # it was replaced meanwhile; what has come is of use still
            return version

    def _bring(self, entries: Iterable[Entry]) -> None:
        files = {entry.content: entry for entry in entries if entry.kind == FILE}
        here = {digest for digest in files if self.path_of(digest).exists()}
        wanted = {digest: entry.size for digest, entry in files.items() if digest not in here}
        if not wanted:
            return
        with self.staging() as staged:
            for digest, path in self._carrier.get(wanted, staged.new):
                entry = files[digest]
                path.chmod(entry.mode)
                os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))
                self._keep(digest, path)

    def _keep(self, digest: str, path: Path) -> None:
        self._at(digest)
        disk.rename(path, self.path_of(digest))

    def open(self, entry: Entry) -> int:
        """Open the content of a file for reading; its descriptor.

        Raises:
            VolumeConflict: it is not there any more.
        """
        with suppress(FileNotFoundError):
            return self.open_content(entry.content)
        with self.staging() as staged:
            wanted = {entry.content: entry.size}
            (_, path) = next(iter(self._carrier.get(wanted, staged.new)))
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)

    # --- committing -----------------------------------------------------------------------------

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
        """Have the next version made, as `Store.commit` does where the volume is."""
        token = token or secrets.token_hex(16)
        told = Payload(texts.encode(changes, known), codec=RAW)
        wish = CommitVolume(self.name, self.volume_id, told, token, on_conflict, fence)
        head = self._commit(wish, staged)
        before = self._known
        changed = without_touches(known, before.entries, changes)
        guess = merge(before, changed, fence, token)
        data = encode(guess) if guess.rev == head.rev else b""
        if digest_of(data) == head.digest:
            self._know(guess, head.digest)
            self._note(self.folder / "manifests" / str(head.rev), data)
        if self._keeps:
            for digest, path in staged.files.items():
                self._keep(digest, path)
        version = self._known if head.digest == self._digest else self.read_held()
        return version._replace(rev=head.rev)

    def _commit(self, wish: CommitVolume, staged: Staged) -> VolumeHead:
        for left in reversed(range(_TRIES)):
            self._carrier.put(staged.files)
            try:
                head: VolumeHead = self._ask(wish)
            except VolumeConflict as error:  # of contents: the grace for those has ended
                if not left or not staged.files.keys() & set(error.data.get("contents", ())):
                    raise
            else:
                return head
        raise AssertionError("the last try returns or raises")

    # --- about it -------------------------------------------------------------------------------

    def about(self) -> dict[str, Any]:
        """What kind it is, and the host that it is bound to."""
        head = self._now()
        return {"kind": head.kind, "host": head.host}

    def used_bytes(self) -> int:
        """What the contents take on the disk of the control plane."""
        return int(self._ask(GetVolumeUse(self.name, self.volume_id)))

    def forget(self) -> None:
        """Remove what the newest version that is known here does not have."""
        with suppress(FileNotFoundError):  # somebody else has just made, or renamed, it
            self._collect(self._known if self._digest else self.read_held())
        os.utime(self.folder)
        unused_at = self.folder.stat().st_mtime - UNUSED_S
        for other in self.folder.parent.iterdir():
            if other.stat().st_mtime < unused_at and not sweep(other / "views"):
                disk.remove_tree(other)


class FarVolumes(Volumes):
    """Those of a control plane; `start` asks it, and `keeps` is for whoever mounts some."""

    def __init__(self, start: Start, folder: Path | None = None, *, keeps: bool) -> None:
        super().__init__(folder)
        self._start = start
        self._keeps = keeps

    def _ask(self, command: Command[Any]) -> Any:
        return self._start(command).wait()

    def names(self) -> list[str]:
        """What volumes there are."""
        return list(self._ask(ListVolumes()))

    def open(self, name: str, *, create: str | None = None) -> Store:
        """The volume of that name; with `create`, a new one of that kind if there is none.

        Raises:
            NotFound: there is none.
            UsageError: there is one of another kind; or it is called what cannot be a folder.
        """
        head: VolumeHead = self._ask(FindVolume(check_name(name), create))
        if head.kind == VAST_LOCAL and self._keeps:
            return self._pinned(head)
        folder = self.folder / ".far" / check_name(head.volume_id)
        return FarStore(folder, head, self._start, keeps=self._keeps)

    def _pinned(self, head: VolumeHead) -> Store:
        """A volume that lies on this machine from its first use on.

        Raises:
            HostGone: it is on another one, or on none that stays.
        """
        folder = self.folder / ".local"
        if os.environ.get(FAR, HERE) != HERE:
            folder = _rented(head)
        here = os.environ.get(HOST) or os.uname().nodename
        head = self._ask(PlaceVolume(head.name, head.volume_id, here))
        if head.host != here:
            raise gone_from(head.name, str(head.host), here)
        folder.mkdir(mode=0o700, exist_ok=True)
        store = Volumes(folder).open(head.volume_id, create=PORTABLE)
        store.name = head.name
        return store

    def place(self, store: Store) -> None:
        """See to it that a volume which is bound to a host is used on that host.

        Raises:
            HostGone: this is another one.
        """
        if isinstance(store, FarStore) and store.kind == VAST_LOCAL:
            host = store.about()["host"] or "the one where a function mounts it first"
            raise gone_from(store.name, str(host), os.uname().nodename)

    @contextmanager
    def ephemeral(self) -> Generator[Store]:
        """A volume that is gone with the block."""
        name = f"{EPHEMERAL}{secrets.token_hex(6)}"
        try:
            yield self.open(name, create=PORTABLE)
        finally:
            self._ask(DropVolume(name))

    def delete(self, name: str) -> None:
        """Delete a volume and all that is in it.

        Raises:
            NotFound: there is none.
            VolumeBusy: a function has it mounted.
        """
        self._ask(DropVolume(check_name(name)))


def _rented(head: VolumeHead) -> Path:
    """Where the volume is that lies on the host of this rented machine.

    Raises:
        HostGone: it is another one, or none is there.
    """
    name, folder = os.environ.get(LOCAL_VOLUME), Path(os.environ.get(LOCAL_FOLDER, ""))
    if name != head.name:
        raise HostGone(
            f"volume {head.name} is vast_local, and is not mounted on this machine, whose disk "
            "goes when it is given back. Have functions that mount it say so, by "
            f"Volume.create({head.name!r}, backend='vast_local'): then machines are rented with it",
            host=head.host or "",
            volume=head.name,
        )
    if not folder.is_dir():  # nobody else makes it
        raise HostGone(
            f"the provider of this machine was to have volume {head.name} at {folder}, and has not",
            host=head.host or "",
            volume=head.name,
        )
    return folder / ".apothic"
