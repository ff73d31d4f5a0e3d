"""The volumes of this user on this machine, and whether others are used."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from apothic_backends.connection import connect, connected
from apothic_backends.model.errors import HostGone, NotFound, UsageError, VolumeBusy
from apothic_backends.model.volumes import HOST, PORTABLE, VAST_LOCAL
from apothic_backends.registry import is_elsewhere
from apothic_backends.volumes import disk
from apothic_backends.volumes.paths import check_name
from apothic_backends.volumes.store import Held, Store, is_held, sweep

EPHEMERAL = "ephemeral-"
"""How the names of volumes begin that go with a block."""


class Volumes:
    """Where volumes are found by name. Others have volumes elsewhere with the same methods."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    @property
    def folder(self) -> Path:
        """Where they are; made when it is first used."""
        if self._folder is not None:
            return self._folder
        from apothic_backends.home import home  # where it is told, that counts  # noqa: PLC0415

        folder = home() / "volumes"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def names(self) -> list[str]:
        """What volumes there are."""
        self._sweep()
        return sorted(p.name for p in self.folder.iterdir() if (p / "volume.json").exists())

    def open(self, name: str, *, create: str | None = None) -> Store:
        """The volume of that name; with `create`, a new one of that kind if there is none.

        Raises:
            NotFound: there is none.
            UsageError: there is one of another kind.
        """
        path = self.folder / check_name(name)
        if not (path / "volume.json").exists():
            if create is None:
                known = self.names()
                raise NotFound(
                    f"there is no volume {name!r}; there are: {', '.join(known) or 'none'}. Make "
                    f"it with `apothic volume create {name}`, or say create_if_missing=True",
                    name=name,
                    known=known,
                )
            self._make(path, create)
        store = Store(path)
        kind = store.about()["kind"]
        if create is not None and kind != create:
            raise UsageError(f"volume {name!r} is there already, and is {kind}, not {create}")
        return store

    def settle(self, store: Store) -> None:
        """See to it that what a volume has is where it will be looked for.

        Raises:
            UsageError: it is in a bucket, and here is none.
        """
        kept = store.about().get("bucket")
        if kept is not None:
            raise elsewhere(store.name, kept, "on its disk")

    def _make(self, path: Path, kind: str) -> None:
        """Make a volume; of two at once, one is made."""
        coming = self.folder / f".{path.name}.{secrets.token_hex(4)}"
        with disk.told(f"volume {path.name} cannot be made"):
            coming.mkdir(mode=0o700)
            for name in ("manifests", "objects", "staging", "trees", "views"):
                (coming / name).mkdir(mode=0o700)
            about = {"format": 1, "kind": kind, "host": None, "id": secrets.token_hex(16)}
            disk.write_durably(coming / "volume.json", json.dumps(about).encode())
            try:
                disk.rename(coming, path)
            except OSError:
                disk.remove_tree(coming)
                if not (path / "volume.json").exists():
                    raise
            disk.sync_folder(self.folder)

    @contextmanager
    def ephemeral(self) -> Generator[Store]:
        """A volume that is gone with the block, or with the process."""
        self._sweep()
        name = f"{EPHEMERAL}{secrets.token_hex(6)}"
        keeper = Held(self._keeper(name))
        try:
            yield self.open(name, create=PORTABLE)
        finally:  # also while a worker has it mounted that waits for its next call
            self._delete(name, is_spared=lambda _: False)
            keeper.let_go()

    def _keeper(self, name: str) -> Path:
        return self.folder / f".{name}.keeper"

    def is_kept(self, name: str) -> bool:
        """Whether a program of this machine has an ephemeral volume for itself."""
        return self._keeper(name).exists()

    def _sweep(self) -> None:
        """Delete what programs have left that died."""
        for keeper in self.folder.glob(".ephemeral-*.keeper"):
            if not is_held(keeper):
                name = keeper.name[1:].removesuffix(".keeper")
                disk.remove_tree(self.folder / name)
                disk.remove_tree(keeper)

    def delete(self, name: str) -> None:
        """Delete a volume and all that is in it.

        Raises:
            NotFound: there is none.
            VolumeBusy: a living process has it mounted.
        """
        self._delete(name, is_spared=lambda store: sweep(store.folder / "views"))

    def _delete(self, name: str, is_spared: Callable[[Store], object]) -> None:
        store = self.open(name)
        leaving = self.folder / f".{name}.{secrets.token_hex(4)}"
        with store.locked():
            if is_spared(store):
                raise VolumeBusy(
                    f"volume {name} is mounted by a function that runs, or waits for its next "
                    "call; end its program first",
                    files=[],
                )
            disk.rename(store.folder, leaving)
        disk.remove_tree(leaving)

    def place(self, store: Store) -> None:
        """See to it that a volume which is bound to a host is used on that host.

        Raises:
            HostGone: it is on another one.
        """
        about = store.about()
        if about["kind"] != VAST_LOCAL:
            return
        here = os.environ.get(HOST) or "local"
        if about["host"] is None:
            with store.locked():
                store.describe(host=here)
        elif about["host"] != here:
            raise gone_from(store.name, about["host"], here)


def gone_from(volume: str, host: str, here: str) -> HostGone:
    """An error that says on which host a volume is."""
    return HostGone(
        f"volume {volume} is vast_local and lies on host {host!r}, which is not here: this is "
        f"{here!r}. Bring that host back, or copy what you need into a portable volume",
        host=host,
        volume=volume,
    )


def elsewhere(volume: str, bucket: str, looked: str) -> UsageError:
    """An error that says in which bucket a volume is."""
    return UsageError(
        f"what volume {volume} has is in the bucket {bucket}, and its control plane looks for it "
        f"{looked}: start that with the bucket of before (--volume-bucket)"
    )


_here = Volumes()


def volumes() -> Volumes:
    """Those of the backend if it has some elsewhere, else those of this machine.

    Here they are files, so asking for them opens no backend; it does where they are elsewhere.

    Raises:
        UsageError: they are elsewhere, and this process cannot ask for them.
    """
    backend = connected()
    if backend is None and is_elsewhere():
        backend = connect()
    elsewhere: Volumes | None = getattr(backend, "volumes", None)
    return elsewhere or _here
