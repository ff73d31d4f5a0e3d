"""Large values as files beside the store, each under the hash of what it holds.

A file is whole and durable before the commit that names it. What no record names any more goes with
the commit that named it last; what a crash has left is collected when the store is loaded.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Set as AbstractSet
from pathlib import Path

from apothic_backends.model.errors import StoreCorrupt
from apothic_emulator.stores.disk import fsync_folder, writing

_DIGEST_LENGTH = 64


def is_digest(name: str) -> bool:
    """Whether this can be the name of a file of ours."""
    return len(name) == _DIGEST_LENGTH and not set(name) - set("0123456789abcdef")


class Blobs:
    """The files of one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, data: bytes) -> str:
        """Keep the data; gives the name under which it is found.

        Raises:
            StoreFull: there is no room.
        """
        digest = hashlib.sha256(data).hexdigest()
        path = self.folder / digest
        with writing(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if path.exists():
                return digest
            beside = self.folder / f"{digest}.part"
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            fsync_folder(self.folder)
        return digest

    def get(self, digest: str) -> bytes:
        """What was kept under that name.

        Raises:
            StoreCorrupt: it is missing, or not what was kept.
        """
        path = self.folder / digest
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StoreCorrupt(f"{path}, which a record names, cannot be read: {error}") from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise StoreCorrupt(f"{path} does not hold what was written to it", path=str(path))
        return data

    def drop(self, digest: str) -> None:
        """Nobody names it any more."""
        (self.folder / digest).unlink(missing_ok=True)

    def keep_only(self, named: AbstractSet[str]) -> None:
        """Collect what no record names."""
        if not self.folder.is_dir():
            return
        for path in list(self.folder.iterdir()):
            if path.name not in named:
                path.unlink(missing_ok=True)
