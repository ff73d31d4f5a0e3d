"""Which files and folders a bucket has, asked for when somebody wants to know, and kept a moment.

An object is a file, and hides a folder of the same name. A folder is there while something is below
it; one that was made here, too, until something is put into it or it is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import RLock

from apothic_backends.buckets.bucket import Bucket, Object

KEPT_S = 1.0
"""How long what others do in the bucket may go unseen."""
_MOST_KEPT = 50_000

FOLDER = Object("", 0, "/")
"""What is found where a folder is."""


class Tree:
    """The names below the prefix of one bucket."""

    def __init__(self, bucket: Bucket, clock: Callable[[], float]) -> None:
        self._bucket = bucket
        self._clock = clock
        self._kept: dict[str, tuple[float, Object | None]] = {}
        self._made: set[str] = set()
        self._hidden: set[str] = set()
        """Folders that were removed here, and of which a marker may be left."""
        self._changes = 0
        """How often something was changed here: an answer that was on its way then is not kept."""
        self._lock = RLock()

    # --- asking ---------------------------------------------------------------------------------

    def find(self, name: str) -> Object | None:
        """What is there: an object, `FOLDER`, or nothing.

        Raises:
            BucketFailed: that cannot be asked.
        """
        with self._lock:
            if not name or name in self._made:
                return FOLDER
            until, found = self._kept.get(name, (0.0, None))
            if until > self._clock():
                return found
            before = self._changes
        found = self._bucket.head(name)
        if found is None and self._is_folder(name):
            found = FOLDER
        self._learn(before, {name: found})
        return found

    def list(self, folder: str) -> dict[str, Object]:
        """What is in a folder, by the last part of its name.

        Raises:
            BucketFailed: that cannot be asked.
        """
        before = self._changes
        objects, folders = self._bucket.children(folder)
        seen = [name for name in folders if name not in self._hidden or self._is_folder(name)]
        with self._lock:
            found = dict.fromkeys(seen, FOLDER) | {one.name: one for one in objects}
            found |= {name: FOLDER for name in self._made if parent(name) == folder}
        self._learn(before, found)
        return {name.rpartition("/")[2]: one for name, one in found.items()}

    def _is_folder(self, name: str) -> bool:
        return self._bucket.has_below(name, besides_marker=name in self._hidden)

    def _learn(self, before: int, found: Mapping[str, Object | None]) -> None:
        with self._lock:
            if before == self._changes:
                for name, one in found.items():
                    self._keep(name, one)

    def _keep(self, name: str, found: Object | None) -> None:
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[name] = (self._clock() + KEPT_S, found)

    # --- what was done here ---------------------------------------------------------------------

    def put(self, name: str, found: Object) -> None:
        """An object was written."""
        with self._lock:
            self._changes += 1
            self._keep(name, found)

    def forget(self, name: str) -> None:
        """An object is another one, or gone; the folders that it is in stay, as everywhere else."""
        with self._lock:
            self._changes += 1
            self._kept.pop(name, None)
            while name := parent(name):
                self.make(name)

    def make(self, folder: str) -> None:
        """Have an empty folder."""
        with self._lock:
            self._changes += 1
            self._made.add(folder)
            self._hidden.discard(folder)
            self._kept.pop(folder, None)

    def remove(self, folder: str) -> None:
        """Have an empty folder no more."""
        with self._lock:
            self._changes += 1
            self._made.discard(folder)
            self._hidden.add(folder)
            self._kept.pop(folder, None)

    def move(self, old: str, new: str) -> None:
        """A folder is called differently now, and those in it that were made here."""
        with self._lock:
            for kept in [one for one in self._kept if _is_in(one, old)]:
                del self._kept[kept]
            for made in [one for one in self._made if _is_in(one, old)]:
                self._made.discard(made)
                self.make(new + made[len(old) :])
            self.make(new)
            self.remove(old)


def parent(name: str) -> str:
    """The name of the folder that it is in."""
    return name.rpartition("/")[0]


def _is_in(name: str, folder: str) -> bool:
    return name.startswith(f"{folder}/")
