"""A program that kills itself at one point of its last commit: `python -m tests.stores.cutting`.

It says each commit that was acknowledged, as `tests.stores.writer` does.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apothic_emulator.stores import blobs
from apothic_emulator.stores.opening import open_store
from apothic_emulator.stores.store import LARGE, Store
from tests.stores.writer import changes

WHOLE = 5
"""Commits before the last one."""

SQLITE = {
    "before BEGIN": 0,
    "after BEGIN": 0,
    "after UPDATE head": 0,
    "after INSERT": 0,
    "before COMMIT": 0,
    "after COMMIT": 1,
    "before PRAGMA wal_checkpoint": 1,
    "after PRAGMA wal_checkpoint": 1,
}
"""The points, and how many of the commit that is cut off are there afterwards."""

POSTGRES = {"before the statement": 0, "after the statement": 1}

BLOB = ("before the rename", "after the rename")


def die(*_: object) -> None:
    """End as a power cut ends programs: with nothing done any more."""
    os.kill(os.getpid(), signal.SIGKILL)


class Cut:
    """A connection that dies before or after one kind of statement."""

    def __init__(self, db: Any, point: str) -> None:
        self._db = db
        self._when, _, self._what = point.partition(" ")

    def execute(self, sql: str, *how: Any) -> Any:
        """Do it, and die with it if it is that."""
        is_it = sql.startswith(self._what)
        if is_it and self._when == "before":
            die()
        found = self._db.execute(sql, *how)
        if is_it:
            die()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


def prepare(store: Store, point: str) -> None:
    """See to it that the next commit dies at a point."""
    engine: Any = store.engine
    if point in SQLITE:
        engine._db = Cut(engine._db, point)
        engine._log_bytes = 1 << 30  # the log is folded in after this commit
    elif point in POSTGRES:
        send: Callable[[Any], None] = engine._commit

        def commit(batch: Any) -> None:
            if point.startswith("before"):
                die()
            send(batch)
            die()

        engine._commit = commit
    elif point == BLOB[0]:
        Path.replace = die  # type: ignore[assignment, method-assign]
    else:
        blobs.fsync_folder = die


def main(point: str, url: str, folder: str, namespace: str) -> None:
    """Commit, and die."""
    store = open_store(url, Path(folder), namespace)
    store.open()
    store.load()
    for n in range(1, WHOLE + 1):
        store.commit(changes(n))
        os.write(1, b"%d\n" % n)
    prepare(store, point)
    last = changes(WHOLE + 1)
    store.commit([*last, ("large", bytes(LARGE + 1))] if point in BLOB else last)
    os.write(1, b"too far\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
