"""Contents on their way into a volume from other machines, and out to them.

    incoming/.DIGEST.part   pieces of it have come
    incoming/DIGEST         it is whole, and is what it says; a commit takes it

What no commit has taken is kept for a day after it was last put or asked for: no upload takes that
long between two of its pieces.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from apothic_backends.model.errors import UsageError, VolumeConflict, VolumeDamaged
from apothic_backends.model.payloads import Payload
from apothic_backends.model.volumes import MOST_PIECE, MOST_PIECES, Piece, Pieces
from apothic_backends.volumes import content, disk
from apothic_backends.volumes.changes import is_digest
from apothic_backends.volumes.manifest import FILE, Changes
from apothic_backends.volumes.store import Staged, Store

GRACE_S = 24 * 3600.0
RAW = "bytes"
"""How pieces are encoded: not at all."""

_MOST_SIZE = 1 << 50


class _Coming:
    """What has come of a content."""

    def __init__(self) -> None:
        self.parts: list[tuple[int, int]] | None = None
        self.spans: list[tuple[int, int]] = []

    def add(self, start: int, end: int) -> None:
        """Note that these bytes are there."""
        spans: list[tuple[int, int]] = []
        for span in sorted([*self.spans, (start, end)]):
            if spans and span[0] <= spans[-1][1]:
                spans[-1] = spans[-1][0], max(spans[-1][1], span[1])
            else:
                spans.append(span)
        self.spans = spans

    def is_whole(self) -> bool:
        """Whether all of its data is there."""
        return self.parts is not None and all(
            any(start <= part[0] and part[1] <= end for start, end in self.spans)
            for part in self.parts
        )


class Incoming:
    """What is on its way into the volumes of one control plane; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._coming: dict[Path, _Coming] = {}

    def missing(self, store: Store, contents: Iterable[str]) -> tuple[str, ...]:
        """Which of these a volume has not."""
        found: list[str] = []
        for digest in contents:
            _check(digest)
            path = _folder(store) / digest
            try:
                os.utime(path)  # whoever asks counts on it
            except FileNotFoundError:
                if not store.has(digest):
                    found.append(digest)
        return tuple(found)

    def put(self, store: Store, pieces: tuple[Piece, ...], data: bytes) -> None:
        """Take pieces.

        Raises:
            UsageError: they cannot be meant.
            VolumeDamaged: a content is not what it says, and nothing of it is kept.
            VolumeFailed: the disk does not take it.
        """
        if sum(piece.length for piece in pieces) != len(data) or len(data) > 2 * MOST_PIECE:
            raise UsageError("pieces whose lengths are not those of their bytes")
        folder, view, at = _folder(store), memoryview(data), 0
        with disk.told(f"volume {store.name} cannot be written to"):
            store.make_room(len(data))
            folder.mkdir(mode=0o700, exist_ok=True)
            for piece in pieces:
                parts = _parts(piece)
                self._put(folder, piece, parts, view[at : at + piece.length])
                at += piece.length

    def _put(
        self, folder: Path, piece: Piece, parts: list[tuple[int, int]], data: memoryview
    ) -> None:
        final, part = folder / piece.content, folder / f".{piece.content}.part"
        if final.exists():
            return
        fd = self._open(part, final)
        try:
            content.write_at(fd, data, piece.at)
            with self._lock:
                coming = self._coming.setdefault(final, _Coming())  # of a plane before: unknown
                if piece.parts or coming.parts is None:
                    coming.parts = parts
                coming.add(piece.at, piece.at + piece.length)
                if not coming.is_whole():
                    return
                whole = self._coming.pop(final).parts or []
            self._finish(fd, part, final, whole, piece.size)
        finally:
            os.close(fd)

    def _open(self, part: Path, final: Path) -> int:
        """Open what has come so far; what is known of one that has gone meanwhile is forgotten."""
        flags = os.O_RDWR | os.O_CLOEXEC
        with self._lock:
            with suppress(FileNotFoundError):
                return os.open(part, flags)
            self._coming[final] = _Coming()
            return os.open(part, flags | os.O_CREAT, 0o600)

    def _finish(
        self, fd: int, part: Path, final: Path, parts: list[tuple[int, int]], size: int
    ) -> None:
        """It is all there: look whether it is what it was said to be."""
        os.ftruncate(fd, size)
        if content.hash_of(fd, parts=parts)[0] != final.name:
            part.unlink(missing_ok=True)
            raise VolumeDamaged(f"what came is not the content {final.name[:12]}")
        disk.sync(fd)
        with suppress(FileNotFoundError):  # somebody has put the same
            disk.rename(part, final)

    def tidy(self, store: Store, now: float) -> None:
        """Remove what nobody has committed; `now` is Unix time."""
        with suppress(FileNotFoundError):
            for path in list(_folder(store).iterdir()):
                if path.stat().st_mtime + GRACE_S < now:
                    path.unlink(missing_ok=True)


class Arrived(Staged):
    """What a commit from another machine may take."""

    def __init__(self, store: Store, changes: Changes) -> None:
        folder = _folder(store)
        super().__init__(folder)
        for entry in changes.values():
            if entry is None or entry.kind != FILE or entry.content in self.files:
                continue
            path = folder / entry.content
            with suppress(FileNotFoundError):
                path.chmod(entry.mode)
                os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))
                self.files[entry.content] = path


def given(store: Store, wanted: tuple[Piece, ...]) -> Pieces:
    """Pieces of what a volume has, as far as there is data in them.

    Raises:
        UsageError: they cannot be meant.
        VolumeConflict: one is not there any more (`data["contents"]`).
        VolumeDamaged: one is lost.
    """
    if sum(piece.length for piece in wanted) > 2 * MOST_PIECE or len(wanted) > MOST_PIECES:
        raise UsageError("too much is asked for at once")
    pieces: list[Piece] = []
    data: list[bytes] = []
    for piece in wanted:
        _check(piece.content)
        try:
            fd = store.open_content(piece.content)
        except FileNotFoundError:
            raise _gone(store, piece.content) from None
        try:
            _read(fd, piece, pieces, data)
        finally:
            os.close(fd)
    return Pieces(tuple(pieces), Payload(b"".join(data), codec=RAW))


def _read(fd: int, wanted: Piece, pieces: list[Piece], data: list[bytes]) -> None:
    size = os.fstat(fd).st_size
    parts = content.extents(fd, size)
    if wanted.at == 0 and (text := content.written(parts, size)):
        pieces.append(Piece(wanted.content, 0, 0, size, text))
    for start, end in parts:
        at, until = max(start, wanted.at), min(end, wanted.at + wanted.length)
        if at < until:
            data.append(os.pread(fd, until - at, at))
            pieces.append(Piece(wanted.content, at, len(data[-1]), size))
    if not size:
        pieces.append(Piece(wanted.content))


def _gone(store: Store, digest: str) -> Exception:
    entries = store.read().entries.values()
    if any(entry.content == digest for entry in entries):
        return VolumeDamaged(f"volume {store.name} has lost {digest}")
    return VolumeConflict(
        f"volume {store.name} has been changed since, and does not have {digest[:12]} any more; "
        "look at what is there now",
        files=[],
        volume=store.name,
        contents=[digest],
    )


def _folder(store: Store) -> Path:
    return store.folder / "incoming"


def _check(digest: str) -> None:
    if not is_digest(digest):
        raise UsageError(f"{digest!r:.100} names no content")


def _parts(piece: Piece) -> list[tuple[int, int]]:
    """Where its content has data, as the piece has it."""
    _check(piece.content)
    try:
        parts = content.parsed(piece.parts, piece.size)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if min(piece.at, piece.length) < 0 or not piece.at + piece.length <= piece.size <= _MOST_SIZE:
        raise UsageError(f"a piece that is none of a content of {piece.size} bytes")
    return parts
