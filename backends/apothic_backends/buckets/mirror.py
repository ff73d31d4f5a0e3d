"""A directory that has the objects of a bucket in it, and what is written there goes back.

    fill ──► calls write ──► push ──► calls write ──► push ...

Everything below the prefix is fetched before the first call, so it is bounded. After a call that
has succeeded, what is new or different goes up, and what was removed is deleted; after one that
has failed, it is fetched again. Renaming is both, and not atomic. Where two write the same object
the last one wins, as S3 has it; what others write later is not seen.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from apothic_backends.buckets.bucket import Bucket, Object
from apothic_backends.model.errors import BucketFailed

MOST_BYTES = 4 << 30
MOST_OBJECTS = 50_000
_THREADS = 8


class Seen(NamedTuple):
    """A file as it was when it last agreed with its object."""

    size: int
    mtime_ns: int
    inode: int


class Mirror:
    """One directory and one bucket."""

    def __init__(self, bucket: Bucket, folder: Path) -> None:
        self._bucket = bucket
        self._folder = folder
        self._seen: dict[str, Seen] = {}

    def fill(self, most_bytes: int = MOST_BYTES, most_objects: int = MOST_OBJECTS) -> int:
        """Fetch everything; how many files there are.

        Raises:
            BucketFailed: it is too much, or cannot be had.
        """
        found = self._bounded(most_bytes, most_objects)
        self._fetch(one.name for one in found)
        return len(self._seen)

    def changes(self) -> tuple[list[str], list[str]]:
        """What was written, and what was removed, since it last agreed with the bucket.

        Raises:
            BucketFailed: something is there that no object can be.
        """
        here = dict(self._files())
        written = [name for name, seen in here.items() if self._seen.get(name) != seen]
        return sorted(written), sorted(self._seen.keys() - here.keys())

    def push(self) -> int:
        """Have the bucket agree with the directory; how many objects that concerned.

        Raises:
            BucketFailed: it does not take something; what went up before that stays.
        """
        written, removed = self.changes()
        _each(self._push, written)
        _each(self._drop, removed)
        return len(written) + len(removed)

    def pull(self) -> None:
        """Have the directory agree with the bucket again where it was changed.

        Raises:
            BucketFailed: an object cannot be had.
        """
        written, removed = self.changes()
        for name in written:
            (self._folder / name).unlink()
        self._fetch(name for name in [*written, *removed] if name in self._seen)

    # --- objects --------------------------------------------------------------------------------

    def _bounded(self, most_bytes: int, most_objects: int) -> list[Object]:
        found: list[Object] = []
        size = 0
        for one in self._bucket.list():
            found.append(one)
            size += one.size
            if size > most_bytes or len(found) > most_objects:
                raise BucketFailed(
                    f"bucket {self._bucket.place.shown} has more than {most_objects} objects or "
                    f"{most_bytes >> 20} MiB, too much to be fetched before a call; choose a "
                    "longer prefix",
                    errno=errno.EFBIG,
                )
        return found

    def _fetch(self, names: Iterable[str]) -> None:
        wanted = sorted(names)
        folders = {parent for name in wanted for parent in Path(name).parents}
        for folder in sorted(folders):
            (self._folder / folder).mkdir(exist_ok=True)
        _each(self._fetch_one, [name for name in wanted if Path(name) not in folders])

    def _fetch_one(self, name: str) -> None:
        path = self._folder / name
        if self._bucket.fetch(name, path):
            self._seen[name] = _seen(path.stat())
        else:  # what marks a folder in some consoles is listed like an empty object
            self._seen.pop(name, None)
            path.mkdir(exist_ok=True)

    def _push(self, name: str) -> None:
        path = self._folder / name
        before = _seen(path.stat())
        self._bucket.store(name, path)
        self._seen[name] = before  # what is written meanwhile goes up next time

    def _drop(self, name: str) -> None:
        self._bucket.delete(name)
        del self._seen[name]

    # --- files ----------------------------------------------------------------------------------

    def _files(self) -> Iterator[tuple[str, Seen]]:
        for folder, _, names in os.walk(self._folder):
            for name in names:
                path = Path(folder, name)
                found = path.lstat()
                inside = path.relative_to(self._folder).as_posix()
                if not stat.S_ISREG(found.st_mode):
                    raise BucketFailed(
                        f"{inside!r} is no plain file, and a bucket "
                        f"({self._bucket.place.shown}) can hold nothing else; remove it",
                        errno=errno.EPERM,
                    )
                yield inside, _seen(found)


def _seen(found: os.stat_result) -> Seen:
    return Seen(found.st_size, found.st_mtime_ns, found.st_ino)


def _each(do: Callable[[str], Any], names: list[str]) -> None:
    """Do it with all, several at a time; the first error is raised once the others are done."""
    if len(names) <= 1:
        for name in names:
            do(name)
        return
    with ThreadPoolExecutor(_THREADS, "apothic-bucket") as pool:
        for done in [pool.submit(do, name) for name in names]:
            done.result()
