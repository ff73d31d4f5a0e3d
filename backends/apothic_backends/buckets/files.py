"""A file of a bucket that somebody has open.

opened ──► read by ranges ──► first write ──► staged ──► flushed: the object is the file
(all of it is fetched)       │  ▲
└──┘ more is written
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import IO

from apothic_backends.buckets.bucket import Bucket, Object

_LEAST_AHEAD = 256 << 10
MOST_AHEAD = 8 << 20
"""Who reads on and on has twice as much fetched each time, up to this."""
_PIECE = 8 << 20

Upload = Callable[[str, Path], Object]
"""Makes a file an object under a name."""


class File:
    """What all who have the same name open share."""

    def __init__(self, bucket: Bucket, name: str, found: Object | None, staging: Path) -> None:
        self.name: str | None = name
        """None once it was removed: then it ends with the last who has it open."""
        self.opens = 0
        self.is_dirty = False
        self.lock = RLock()
        self._bucket = bucket
        self._object = found
        self._staging = staging
        self._stage: IO[bytes] | None = None
        self._ahead = (0, b"")
        self._step = _LEAST_AHEAD
        if found is None:
            self._stage = self._new_stage()
            self.is_dirty = True

    def _new_stage(self) -> IO[bytes]:
        return tempfile.TemporaryFile(dir=self._staging, buffering=0)

    @property
    def size(self) -> int:
        """In bytes."""
        if self._stage is not None:
            return os.fstat(self._stage.fileno()).st_size
        return self._object.size if self._object else 0

    @property
    def mtime(self) -> float:
        """When it was written, as a Unix time."""
        if self._stage is not None:
            return os.fstat(self._stage.fileno()).st_mtime
        return self._object.mtime if self._object else 0.0

    # --- bytes ----------------------------------------------------------------------------------

    def read(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes.

        Raises:
            BucketFailed: they cannot be had.
        """
        with self.lock:
            if self._stage is not None:
                return os.pread(self._stage.fileno(), size, offset)
            start, data = self._ahead
            end = min(offset + size, self.size)
            if not start <= offset <= end <= start + len(data):
                start, data = self._read_ahead(offset, end)
            return data[offset - start : max(0, end - start)]

    def _read_ahead(self, offset: int, end: int) -> tuple[int, bytes]:
        if offset >= end:
            return offset, b""
        start, data = self._ahead
        goes_on = bool(data) and start <= offset <= start + len(data)
        self._step = min(self._step * 2, MOST_AHEAD) if goes_on else _LEAST_AHEAD
        upto = min(max(end, offset + self._step), self.size)
        self._ahead = (offset, self._range(offset, upto))
        return self._ahead

    def _range(self, start: int, end: int) -> bytes:
        one = self._object
        assert one is not None
        return self._bucket.read(one.name, start, end, one.tag)

    def write(self, data: bytes, offset: int) -> int:
        """Write to the stage; how much.

        Raises:
            BucketFailed: what was there cannot be had.
        """
        with self.lock:
            self._fetch(self.size)
            self.is_dirty = True
            assert self._stage is not None
            done = 0
            while done < len(data):
                done += os.pwrite(self._stage.fileno(), data[done:], offset + done)
            return done

    def truncate(self, size: int) -> None:
        """Cut it off, or fill it up with zeros.

        Raises:
            BucketFailed: what was there cannot be had.
        """
        with self.lock:
            if size == self.size:
                return
            self._fetch(size)
            assert self._stage is not None
            os.ftruncate(self._stage.fileno(), size)
            self.is_dirty = True

    def _fetch(self, most: int) -> None:
        """Have a stage with what is there, of that as much as will be needed."""
        if self._stage is not None:
            return
        stage = self._new_stage()
        try:
            end = min(self.size, most)
            for start in range(0, end, _PIECE):
                piece = self._range(start, min(start + _PIECE, end))
                while piece:
                    piece = piece[stage.write(piece) :]
        except BaseException:
            stage.close()
            raise
        self._stage = stage
        self._ahead = (0, b"")

    # --- its object -----------------------------------------------------------------------------

    def flush(self, upload: Upload) -> bool:
        """Have the object be as the file is; whether it was not.

        Raises:
            BucketFailed: the bucket does not take it; it is tried again with the next flush.
        """
        with self.lock:
            if not self.is_dirty or self.name is None or self._stage is None:
                return False
            path = Path(f"/proc/self/fd/{self._stage.fileno()}")
            self._object = upload(self.name, path)
            self.is_dirty = False
            return True

    def rename(self, new: str, found: Object | None) -> None:
        """The object is called differently now; for who has the lock."""
        self.name = new
        self._object = found

    def remove(self) -> None:
        """The object is about to go: keep what is in it for who has it open.

        Raises:
            BucketFailed: that cannot be had.
        """
        with self.lock:
            self._fetch(self.size)
            self.name = None

    def close(self) -> None:
        """Have nothing of it left, once it is not being uploaded."""
        with self.lock:
            if self._stage is not None:
                self._stage.close()
            self._stage = None
            self.is_dirty = False
