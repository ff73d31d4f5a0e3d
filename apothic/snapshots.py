"""Snapshots: the files of a sandbox at one moment, kept on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from apothic._twins import work
from apothic._values import Value, refuse, text
from apothic.filesystem import SandboxFiles
from apothic_backends.model.errors import NotFound

_ID = re.compile(r"sn-[0-9a-f]{64}\Z")
_PIECE = 1 << 20


class Snapshot(Value):
    """The files of a sandbox at one moment: `box.snapshot()`, `workspace.create(snapshot=it)`.

    They are kept on this machine, below `APOTHIC_HOME`, until `delete()`; the same files are kept
    once. A handle: `Snapshot(snapshot_id)` is the same one.
    """

    snapshot_id: str

    def __init__(self, snapshot_id: str) -> None:
        if not _ID.match(text("snapshot_id", snapshot_id)):
            refuse("snapshot_id", snapshot_id, "'sn-' and 64 hexadecimal digits")
        super().__init__(snapshot_id=snapshot_id)

    @property
    def path(self) -> str:
        """The tar file that has them."""
        return str(self._file())

    @property
    def nbytes(self) -> int:
        """How large that is.

        Raises:
            NotFound: it is not on this machine (any more).
        """
        with self._opened() as file:
            return os.fstat(file.fileno()).st_size

    def delete(self) -> None:
        """Keep it no longer. Safe to repeat."""
        self._file().unlink(missing_ok=True)

    def _file(self) -> Any:
        from apothic_backends.home import home  # with a snapshot  # noqa: PLC0415

        folder = home() / "snapshots"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / f"{self.snapshot_id}.tar"

    def _opened(self) -> Any:
        try:
            return self._file().open("rb")
        except FileNotFoundError:
            raise NotFound(
                f"there is no snapshot {self.snapshot_id} on this machine (any more); take another "
                "one with box.snapshot()",
                snapshot_id=self.snapshot_id,
            ) from None


async def taken(files: SandboxFiles) -> Snapshot:
    """A snapshot of all files of a sandbox."""
    from hashlib import sha256  # with a snapshot  # noqa: PLC0415

    with await files._held("pack", "") as held:  # noqa: SLF001 - what trees come by, too
        total = sha256()
        for piece in _pieces(held):
            total.update(piece)
        snapshot = Snapshot(f"sn-{total.hexdigest()}")
        held.seek(0)
        await work(lambda: _keep(snapshot.path, _pieces(held)))
    return snapshot


def _keep(path: str, pieces: Iterator[bytes]) -> None:
    from apothic._trees import write_file  # brings much  # noqa: PLC0415

    write_file(path, pieces)


async def restore(snapshot: Snapshot | None, link: Any) -> None:
    """Put the files of a snapshot into a new sandbox, which is ended again if they do not go in."""
    if snapshot is None:
        return
    try:
        with snapshot._opened() as file:  # noqa: SLF001 - of this module
            await SandboxFiles(link)._stage(_pieces(file), "unpack", "")  # noqa: SLF001 - as above
    except BaseException:
        await link.stop(wait=False)
        raise


def _pieces(file: Any) -> Iterator[bytes]:
    return iter(lambda: file.read(_PIECE), b"")
