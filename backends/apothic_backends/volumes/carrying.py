"""Contents on their way between this machine and its control plane: some pieces at a time.

So many bytes are under way that neither the line nor the disk is idle, and no more. Small contents
travel together. One thread does it all, because a worker has no other before its mounts are there.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from apothic_backends.commands.base import Command
from apothic_backends.commands.volumes import FindMissing, GetManifest, GetPieces, PutPieces
from apothic_backends.model.errors import VolumeDamaged
from apothic_backends.model.payloads import Payload
from apothic_backends.model.volumes import MOST_PIECE, MOST_PIECES, Piece, Pieces, VolumeHead
from apothic_backends.ticket import Ticket
from apothic_backends.volumes import content, disk
from apothic_backends.volumes.incoming import RAW

WINDOW = 8
"""How many messages of up to 1 MiB are under way."""

_MOST_ASKED = 1000

Start = Callable[[Command[Any]], Ticket[Any]]


class Carrier:
    """Carries the contents of one volume."""

    def __init__(self, start: Start, name: str, volume_id: str) -> None:
        self._start = start
        self._its: dict[str, Any] = {"name": name, "volume_id": volume_id}

    def manifest(self, head: VolumeHead) -> bytes:
        """The manifest of a version, which may have been replaced meanwhile."""
        starts = range(0, head.size, MOST_PIECE)
        asks = (GetManifest(**self._its, rev=head.rev, at=at) for at in starts)
        return b"".join(payload.data for payload in self._replies(asks))

    # --- out ------------------------------------------------------------------------------------

    def put(self, files: Mapping[str, Path]) -> None:
        """Bring contents there that are not."""
        named = list(files)
        groups = (named[at : at + _MOST_ASKED] for at in range(0, len(named), _MOST_ASKED))
        asks = (FindMissing(**self._its, contents=tuple(group)) for group in groups)
        missing = [digest for found in self._replies(asks) for digest in found]
        for _ in self._replies(self._puts((digest, files[digest]) for digest in missing)):
            pass

    def _puts(self, files: Iterable[tuple[str, Path]]) -> Iterator[PutPieces]:
        pieces: list[Piece] = []
        data: list[bytes] = []
        for piece, read in _cut(files):
            if pieces and (_is_full(pieces) or _sum(pieces) + piece.length > MOST_PIECE):
                yield self._put(pieces, data)
                pieces, data = [], []
            pieces.append(piece)
            data.append(read)
        if pieces:
            yield self._put(pieces, data)

    def _put(self, pieces: list[Piece], data: list[bytes]) -> PutPieces:
        payload = Payload(b"".join(data), codec=RAW)
        return PutPieces(**self._its, pieces=tuple(pieces), data=payload)

    # --- in -------------------------------------------------------------------------------------

    def get(
        self, wanted: Mapping[str, int], into: Callable[[], Path]
    ) -> Iterator[tuple[str, Path]]:
        """Fetch contents of these sizes, each to a file of its own; which is which.

        Raises:
            VolumeConflict: one is not there any more (`data["contents"]`).
            VolumeDamaged: what came is not what was asked for.
        """
        coming: dict[str, _Arriving] = {}
        try:
            for reply in self._replies(self._gets(wanted, coming)):
                yield from _take(reply, coming, into)
        finally:
            for one in coming.values():
                one.close()

    def _gets(self, wanted: Mapping[str, int], coming: Mapping[str, _Arriving]) -> Iterator[Any]:
        small: list[Piece] = []
        for digest, size in wanted.items():
            if size > MOST_PIECE:
                yield from self._ranges(digest, size, coming)
                continue
            if small and (_is_full(small) or _sum(small) + size > MOST_PIECE):
                yield GetPieces(**self._its, wanted=tuple(small))
                small = []
            small.append(Piece(digest, 0, size))
        if small:
            yield GetPieces(**self._its, wanted=tuple(small))

    def _ranges(self, digest: str, size: int, coming: Mapping[str, _Arriving]) -> Iterator[Any]:
        """A large one piece by piece; where it has holes is known once the first piece is here."""
        at = 0
        while at < size:
            one = coming.get(digest)
            if one is not None:
                at = one.next_data(at)
                if at >= size:
                    return
            yield GetPieces(**self._its, wanted=(Piece(digest, at, min(MOST_PIECE, size - at)),))
            at += MOST_PIECE

    def _replies(self, asks: Iterable[Command[Any]]) -> Iterator[Any]:
        """The replies to commands in their order, the next of which are under way meanwhile."""
        waiting: deque[Ticket[Any]] = deque()
        try:
            for ask in asks:
                waiting.append(self._start(ask))
                if len(waiting) >= WINDOW:
                    yield waiting.popleft().wait()
            while waiting:
                yield waiting.popleft().wait()
        finally:
            for ticket in waiting:
                ticket.cancel()


class _Arriving:
    """A content on its way to this disk."""

    def __init__(self, digest: str, size: int, parts: str, path: Path) -> None:
        self.digest, self.path = digest, path
        self._size, self._parts = size, content.parsed(parts, size)
        self._left = sum(end - start for start, end in self._parts)
        self._total = content.begun(size, self._parts)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def next_data(self, at: int) -> int:
        """Where there is data from there on; its size if there is none."""
        starts = (max(start, at) for start, end in self._parts if at < end)
        return next(starts, self._size)

    def add(self, at: int, data: memoryview) -> None:
        """Take what comes next."""
        content.write_at(self._fd, data, at)
        self._total.update(data)
        self._left -= len(data)

    def is_whole(self) -> bool:
        """Whether that was the last.

        Raises:
            VolumeDamaged: it is not what was asked for.
        """
        if self._left:
            return False
        os.ftruncate(self._fd, self._size)
        if self._total.hexdigest() != self.digest:
            raise VolumeDamaged(f"what came is not the content {self.digest[:12]}")
        return True

    def close(self) -> None:
        """Nothing more comes."""
        os.close(self._fd)


def _take(
    reply: Pieces, coming: dict[str, _Arriving], into: Callable[[], Path]
) -> Iterator[tuple[str, Path]]:
    view, at = memoryview(reply.data.data), 0
    for piece in reply.pieces:
        digest = piece.content
        with disk.told("what a volume has cannot be kept"):
            if digest not in coming:
                coming[digest] = _Arriving(digest, piece.size, piece.parts, into())
            coming[digest].add(piece.at, view[at : at + piece.length])
            at += piece.length
            if not coming[digest].is_whole():
                continue
        done = coming.pop(digest)
        done.close()
        yield digest, done.path


def _cut(files: Iterable[tuple[str, Path]]) -> Iterator[tuple[Piece, bytes]]:
    """Files in pieces."""
    for digest, path in files:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            parts = content.extents(fd, size)
            text = content.written(parts, size)
            if text or not size:
                yield Piece(digest, 0, 0, size, text), b""
            for start, end in parts:
                for at in range(start, end, MOST_PIECE):
                    data = os.pread(fd, min(MOST_PIECE, end - at), at)
                    yield Piece(digest, at, len(data), size), data
        finally:
            os.close(fd)


def _sum(pieces: list[Piece]) -> int:
    return sum(piece.length for piece in pieces)


def _is_full(pieces: list[Piece]) -> bool:
    return len(pieces) >= MOST_PIECES
