"""Volumes whose contents are in a bucket, as a control plane has them; manifests are on its disk.

    PREFIX/ID/DIGEST          a content of volume ID
    PREFIX/ID/DIGEST.sparse   one with holes: a line with its size and where data is, and the data

What a volume has had before it had a bucket is brought there at its first use. From then on a
content is in the bucket before a version has it, and goes with the last that had it. What lies in
`objects` is a copy, which makes room for others when the disk is nearly full.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from apothic_backends.buckets.bucket import Bucket
from apothic_backends.model.errors import VolumeDamaged
from apothic_backends.volumes import content, disk
from apothic_backends.volumes.local import Volumes, elsewhere
from apothic_backends.volumes.manifest import Manifest
from apothic_backends.volumes.store import Store, contents_of

KEEP_FREE = 1 << 30
"""Bytes of the disk that copies leave free."""

_HOLEY = ".sparse"
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class BucketStore(Store):
    """One volume."""

    def __init__(self, folder: Path, bucket: Bucket, locks: dict[str, threading.Lock]) -> None:
        super().__init__(folder)
        self._bucket = bucket
        self._locks = locks
        self._id = str(self.about()["id"])

    def has(self, digest: str) -> bool:
        """Whether it has a content."""
        return super().has(digest) or digest in contents_of(self.read())

    def open_content(self, digest: str) -> int:
        """Open a content, fetched from the bucket if it is not here.

        Raises:
            FileNotFoundError: there is none.
            BucketFailed: it cannot be had.
        """
        while True:
            with suppress(FileNotFoundError):
                return super().open_content(digest)
            with self._locks[digest]:
                if not self.path_of(digest).exists():
                    self._fetch(digest)

    def _fetch(self, digest: str) -> None:
        entries = self.read().entries.values()
        self.make_room(max((it.size for it in entries if it.content == digest), default=0))
        with self.staging() as staged:
            path, packed = staged.new(), staged.new()
            if self._bucket.fetch(self._key(digest), path):
                parts = None
            elif self._bucket.fetch(self._key(digest) + _HOLEY, packed):
                parts = _unpack(packed, path)
            else:
                raise FileNotFoundError(2, "it is not in the bucket", digest)
            fd = os.open(path, _FLAGS)
            try:
                whole = [(0, os.fstat(fd).st_size)] if os.fstat(fd).st_size else []
                if content.hash_of(fd, parts=whole if parts is None else parts)[0] != digest:
                    raise VolumeDamaged(f"the bucket has something else than {digest}")
            finally:
                os.close(fd)
            self._at(digest)
            disk.rename(path, self.path_of(digest))

    def make_room(self, nbytes: int) -> None:
        """Have room for so much more: copies go that were not read for longest."""
        free = _free(self.folder) - nbytes - KEEP_FREE
        if free >= 0:
            return
        copies = [(path.stat(), path) for path in self.folder.parent.glob("*/objects/*/*")]
        for status, path in sorted(copies, key=lambda it: it[0].st_atime_ns):
            if free >= 0:
                return
            path.unlink(missing_ok=True)
            free += status.st_blocks * 512

    def bring(self, place: str) -> None:
        """Have all that the newest version has in the bucket, if it was only here before."""
        with self.locked():
            if self.about().get("bucket") is None:
                for digest in contents_of(self.read_held()):
                    if self.path_of(digest).exists():
                        self._put_away(digest, self.path_of(digest))
                self.describe(bucket=place)

    # --- committing -----------------------------------------------------------------------------

    def _put_away(self, digest: str, path: Path) -> None:
        fd = os.open(path, _FLAGS)
        try:
            size = os.fstat(fd).st_size
            parts = content.extents(fd, size)
            text = content.written(parts, size)
            if not text:
                self._bucket.store(self._key(digest), path)
                return
            packed = path.with_name(f"{path.name}.packed")  # whoever commits has the lock
            packed.unlink(missing_ok=True)
            _pack(fd, f"{size} {text}\n", parts, packed)
            self._bucket.store(self._key(digest) + _HOLEY, packed)
            packed.unlink()
        finally:
            os.close(fd)

    def _throw_away(self, digest: str) -> None:
        super()._throw_away(digest)
        for key in (self._key(digest), self._key(digest) + _HOLEY):
            self._bucket.delete(key)

    def _collect(self, head: Manifest) -> None:
        super()._collect(head)
        self.drop_all_but({self._key(digest) for digest in contents_of(head)})

    def drop_all_but(self, wanted: set[str]) -> None:
        """Have nothing else in the bucket."""
        for it in list(self._bucket.list(self._id)):
            if it.name.removesuffix(_HOLEY) not in wanted:
                self._bucket.delete(it.name)

    def _key(self, digest: str) -> str:
        return f"{self._id}/{digest}"


class BucketVolumes(Volumes):
    """All volumes of an account."""

    def __init__(self, folder: Path, bucket: Bucket) -> None:
        super().__init__(folder)
        self._bucket = bucket
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def open(self, name: str, *, create: str | None = None) -> BucketStore:
        """The volume of that name; with `create`, a new one of that kind if there is none."""
        found = super().open(name, create=create)
        return BucketStore(found.folder, self._bucket, self._locks)

    def settle(self, store: Store) -> None:
        """See to it that what a volume has is in the bucket.

        Raises:
            UsageError: it is in another one.
            BucketFailed: it cannot be put there.
        """
        kept, place = store.about().get("bucket"), self._bucket.place
        named = f"{place.bucket_name}/{place.prefix}".rstrip("/")
        if kept is None:
            BucketStore(store.folder, self._bucket, self._locks).bring(named)
        elif kept != named:
            raise elsewhere(store.name, kept, f"in the bucket {named}")

    def delete(self, name: str) -> None:
        """Delete a volume and all that is in it."""
        store = self.open(name)
        super().delete(name)
        store.drop_all_but(set())


def _pack(fd: int, head: str, parts: list[tuple[int, int]], packed: Path) -> None:
    """Write the data of a file one after the other, and where it belongs before it."""
    with packed.open("xb") as file:
        file.write(head.encode("ascii"))
        for start, end in parts:
            for at in range(start, end, content.CHUNK):
                file.write(os.pread(fd, min(content.CHUNK, end - at), at))


def _unpack(packed: Path, path: Path) -> list[tuple[int, int]]:
    """Put it where it belongs; gives where there is data."""
    with packed.open("rb") as file, path.open("xb") as whole:
        size, text = file.readline().decode("ascii").split()
        parts = content.parsed(text, int(size))
        for start, end in parts:
            for at in range(start, end, content.CHUNK):
                content.write_at(whole.fileno(), file.read(min(content.CHUNK, end - at)), at)
        whole.truncate(int(size))
    packed.unlink()
    return parts


def _free(folder: Path) -> int:
    told = os.statvfs(folder)
    return told.f_bavail * told.f_frsize
