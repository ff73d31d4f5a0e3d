"""The volumes of a control plane for whoever is on another machine: found, read, filled, committed.

They lie where workers of this machine have them, too, and a commit from elsewhere is made as one of
theirs is. All that is said is looked at before it is a path.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from apothic_backends.commands.volumes import (
    CommitVolume,
    DropVolume,
    FindMissing,
    FindVolume,
    GetManifest,
    GetPieces,
    GetVolumeUse,
    ListVolumes,
    PlaceVolume,
    PutPieces,
)
from apothic_backends.model.errors import (
    ApothicError,
    InternalError,
    InvalidOption,
    NotFound,
    VolumeBusy,
    VolumeConflict,
)
from apothic_backends.model.payloads import Payload
from apothic_backends.model.volumes import MOST_PIECE, Pieces, VolumeHead
from apothic_backends.volumes import changes as texts
from apothic_backends.volumes.incoming import GRACE_S, RAW, Arrived, Incoming, given
from apothic_backends.volumes.local import EPHEMERAL, PORTABLE, VAST_LOCAL, Volumes
from apothic_backends.volumes.store import FAIL, LAST_WRITE_WINS, Store

_THREADS = 4
_MOST_HOST = 255


class Desk:
    """Volumes in a folder; without one, in this user's home."""

    def __init__(self) -> None:
        self.volumes = Volumes()
        self.is_mounted: Callable[[str], bool] = lambda _: False
        """Whether a worker on another machine has a volume mounted."""
        self.on_drop: Callable[[str], object] = lambda _: None
        """Hears which volume is about to be deleted."""
        self._incoming = Incoming()
        self._threads = ThreadPoolExecutor(_THREADS, "apothic-volumes")
        self._rules: dict[type, Callable[[Any], object]] = {
            ListVolumes: lambda _: tuple(self.volumes.names()),
            FindVolume: self._find,
            PlaceVolume: self._place,
            DropVolume: self._drop,
            GetManifest: self._manifest,
            GetPieces: self._pieces,
            FindMissing: lambda asked: self._incoming.missing(self._open(asked), asked.contents),
            PutPieces: self._put,
            CommitVolume: self._commit,
            GetVolumeUse: lambda asked: self._open(asked).used_bytes(),
        }

    def keep_in(self, folder: Path) -> None:
        """Have the volumes there."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.volumes = Volumes(folder)

    def keep_in_bucket(self, folder: Path, bucket: Any) -> None:
        """Have their contents in a `Bucket`, and all else there."""
        from apothic_backends.volumes.bucketed import BucketVolumes  # for few  # noqa: PLC0415

        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.volumes = BucketVolumes(folder, bucket)

    def carry_out(self, command: Any, token: Any) -> None:
        """Do what is asked on a thread, because disks may be slow, and answer as the core would."""
        self._threads.submit(self.answer, command, token)

    def answer(self, command: Any, token: Any) -> None:
        """The same on this thread."""
        try:
            reply = self._rules[type(command)](command)
        except ApothicError as error:
            token.fail(error)
        except Exception as error:  # noqa: BLE001 - whoever asks would wait for ever
            told = f"{type(command).__name__} has failed: {error!r:.200}"
            token.fail(InternalError(told))
        else:
            token.complete(reply)

    def tidy(self, now: float) -> None:
        """Remove what programs elsewhere have left that died; `now` is Unix time."""
        for name in self.volumes.names():
            store = self.volumes.open(name)
            self._incoming.tidy(store, now)
            is_left = name.startswith(EPHEMERAL) and not self.volumes.is_kept(name)
            if is_left and store.folder.stat().st_mtime + GRACE_S < now:
                with suppress(VolumeBusy):
                    self._drop(DropVolume(name))

    def _open(self, asked: Any) -> Store:
        """The volume that is meant.

        Raises:
            NotFound: it is not there any more, though another may be.
        """
        store = self.volumes.open(asked.name)
        if _id_of(store) != asked.volume_id:
            raise NotFound(
                f"volume {asked.name} was deleted, and is another one now",
                name=asked.name,
                known=[],
            )
        return store

    def _find(self, asked: FindVolume) -> VolumeHead:
        if asked.create not in (None, PORTABLE, VAST_LOCAL):
            raise InvalidOption(f"there are no volumes of kind {asked.create!r:.40}")
        store = self.volumes.open(asked.name, create=asked.create)
        self.volumes.settle(store)
        return self._told(store)

    def _told(self, store: Store) -> VolumeHead:
        volume_id, about = _id_of(store), store.about()
        while True:
            rev, digest = store.head()
            path = store.folder / "manifests" / str(rev)
            with suppress(FileNotFoundError):
                size = path.stat().st_size if rev else 0
                kind, host = about["kind"], about["host"]
                return VolumeHead(store.name, volume_id, kind, host, rev, digest, size)
            if store.head()[0] == rev:
                store.read()  # which says that it is lost

    def host_of(self, name: str) -> str | None:
        """On which host a volume lies; None if it is not there, or has not been mounted yet."""
        try:
            found: str | None = self.volumes.open(name).about()["host"]
        except NotFound:
            return None
        return found

    def _place(self, asked: PlaceVolume) -> VolumeHead:
        store = self._open(asked)
        if not 0 < len(asked.host) <= _MOST_HOST:
            raise InvalidOption(f"a host has a name of up to {_MOST_HOST} letters")
        with store.locked():
            if store.about()["host"] is None:
                store.describe(host=asked.host)
        return self._told(store)

    def _drop(self, asked: DropVolume) -> None:
        if self.is_mounted(asked.name):
            raise VolumeBusy(
                f"volume {asked.name} is mounted by a function on another machine, or its worker "
                "waits for the next call; stop that first",
                files=[],
            )
        self.volumes.open(asked.name)  # there is one, or nobody hears of it
        self.on_drop(asked.name)
        self.volumes.delete(asked.name)

    def _manifest(self, asked: GetManifest) -> Payload:
        store = self._open(asked)
        path = store.folder / "manifests" / str(asked.rev)
        try:
            with path.open("rb") as file:
                file.seek(max(0, asked.at))
                data = file.read(max(1, min(asked.most, MOST_PIECE)))
        except FileNotFoundError:
            raise VolumeConflict(
                f"version {asked.rev} of volume {asked.name} has been replaced",
                files=[],
                volume=asked.name,
            ) from None
        return Payload(data, codec=RAW)

    def _pieces(self, asked: GetPieces) -> Pieces:
        return given(self._open(asked), asked.wanted)

    def _put(self, asked: PutPieces) -> None:
        self._incoming.put(self._open(asked), asked.pieces, asked.data.data)

    def _commit(self, asked: CommitVolume) -> VolumeHead:
        if asked.on_conflict not in (FAIL, LAST_WRITE_WINS):
            raise InvalidOption(f"no conflict can be solved by {asked.on_conflict!r:.40}")
        store = self._open(asked)
        changes, known = texts.decode(asked.changes.data)
        made = store.commit(
            Arrived(store, changes),
            changes,
            known,
            on_conflict=asked.on_conflict,
            fence=asked.fence,
            token=asked.token,
        )
        head = self._told(store)
        digest = head.digest if head.rev == made.rev else ""
        told: VolumeHead = head.replace(rev=made.rev, digest=digest)
        return told


def _id_of(store: Store) -> str:
    """What names this volume, and no other of the same name; one of old has got none yet."""
    found: str | None = store.about().get("id")
    if found is None:
        with store.locked():
            found = store.about().get("id")
            if found is None:
                store.describe(id=secrets.token_hex(16))
                found = store.about()["id"]
    return str(found)
