"""The embedded engine: SQLite with a write-ahead log, and an fsync with each commit.

One connection writes and checkpoints, because two that do so at once can damage the file in
versions before 3.51.3 (sqlite.org/wal.html, "the WAL-reset bug"); others may read. Before the log
is folded into the file, the number of commits goes into the owner's file: if the log is damaged
after that, what is left is noticed to be too old.

Where a commit finds no room, the log is folded in, so that it begins at its start again, the
reserve is given up, and the commit is tried once more. Until there is room for a whole log the log
is folded in with each commit, so that it does not grow.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from apothic_backends.model.errors import (
    StoreCorrupt,
    StoreError,
    StoreFenced,
    StoreFull,
    StoreLocked,
)
from apothic_emulator.stores.base import LESS, Change, Found, way_out
from apothic_emulator.stores.disk import full, has_no_room, room_in, writing
from apothic_emulator.stores.ownership import Ownership
from apothic_emulator.stores.reserve import Reserve

FORMAT = 1
_APPLICATION = 1634758516
"""The letters "apot"."""

_LOG_BYTES = 16 << 20
"""Written to the log, about, before it is folded into the file."""

_COMMIT_BYTES = 2 * 4096
_BUSY_S = 5.0

_SCHEMA = """
BEGIN IMMEDIATE;
PRAGMA application_id = 1634758516;
PRAGMA user_version = 1;
CREATE TABLE head (fence INTEGER NOT NULL, commits INTEGER NOT NULL);
INSERT INTO head VALUES (0, 0);
CREATE TABLE records (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
COMMIT;
"""
_PUT = "INSERT INTO records VALUES {} ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_AT_ONCE = 256
"""Records of one statement; SQLite before 3.32 takes 999 variables."""

_DROP = "DELETE FROM records WHERE key = ?"
_COUNT = "UPDATE head SET commits = commits + 1 WHERE fence = ?"


class SqliteEngine:
    """Records in one file, with its log and its owner's file beside it."""

    durability = "disk"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ownership = Ownership(beside(path, ".owner"))
        self.reserve = Reserve(beside(path, ".reserve"))
        self._db: sqlite3.Connection | None = None
        self._fence = 0
        self._log_bytes = 0
        self._is_tight = False
        """Whether there is no room for a log."""

    @property
    def place(self) -> str:
        """The file."""
        return str(self.path)

    def open(self) -> int:
        """Take the lock, look the file over, and write down that it is ours."""
        with writing(self.path.parent):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.ownership.take()
        try:
            self._reach()
            self.reserve.take()
        except BaseException:
            self.close()
            raise
        return self._fence

    def _reach(self) -> None:
        """Open the file; it takes some room to say whose it is, which the reserve may have."""
        try:
            self._connect()
        except StoreFull:
            if not self.reserve.path.exists():
                raise
            self._disconnect()
            self.reserve.path.unlink()
            self._connect()

    def _connect(self) -> None:
        is_new = not self.path.exists() or not self.path.stat().st_size
        if is_new and self.ownership.commits:
            raise self._corrupt("it is gone, though it held something before")
        with writing(self.path):
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        try:
            db = self._db = sqlite3.connect(
                self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA wal_autocheckpoint = 0")
            if is_new or not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                db.executescript(_SCHEMA)
            self._look_over(db)
            db.execute("UPDATE head SET fence = fence + 1, commits = commits + 1")
            self._fence, commits = db.execute("SELECT fence, commits FROM head").fetchone()
        except (sqlite3.Error, OverflowError, TypeError, ValueError) as error:
            raise self._unreadable(error) from error
        with writing(self.path.parent):
            self.ownership.note(commits)
        self._checkpoint()

    def _look_over(self, db: sqlite3.Connection) -> None:
        """Find out whether the file is whole, and one of ours.

        Raises:
            StoreCorrupt: it is not.
        """
        if db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
            raise self._corrupt("it is not a store of Apothic")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version != FORMAT:
            raise self._corrupt(f"its format is {version}, and this version reads {FORMAT}")
        [first, *_] = db.execute("PRAGMA quick_check(1)").fetchone()
        if first != "ok":
            raise self._corrupt(str(first))
        heads = db.execute("SELECT commits FROM head").fetchall()
        if len(heads) != 1 or heads[0][0] < self.ownership.commits:
            raise self._corrupt(LESS)

    def load(self) -> Iterable[Found]:
        """All records."""
        try:
            if self._db is None:
                self._reach()  # the last commit went wrong: what counts is what the file says
            return self._owned().execute("SELECT key, value FROM records").fetchall()
        except (sqlite3.Error, OverflowError) as error:
            raise self._unreadable(error) from error

    def commit(self, changes: Sequence[Change]) -> None:
        """One transaction, and one fsync."""
        db = self._owned()
        try:
            self._write(db, changes)
        except sqlite3.Error as error:
            if not self._makes_room(db, error):
                raise self._failure(error) from error
            self._write_at_last(db, changes)
        self._log_bytes += _COMMIT_BYTES + sum(len(value or b"") for _, value in changes)
        if self._is_tight or self._log_bytes > _LOG_BYTES:
            self._fold()

    def _write_at_last(self, db: sqlite3.Connection, changes: Sequence[Change]) -> None:
        """Where there was no room before, and may be now."""
        try:
            self._write(db, changes)
        except sqlite3.Error as error:
            if not _rolled_back(db, error):
                self._disconnect()
            raise self._failure(error) from error

    def _write(self, db: sqlite3.Connection, changes: Sequence[Change]) -> None:
        puts = [change for change in changes if change[1] is not None]
        drops = [(key,) for key, value in changes if value is None]
        db.execute("BEGIN IMMEDIATE")
        is_ours = db.execute(_COUNT, (self._fence,)).rowcount == 1
        if is_ours:
            _put_all(db, puts)
            db.executemany(_DROP, drops)
        db.execute("COMMIT" if is_ours else "ROLLBACK")
        if not is_ours:
            raise StoreFenced(f"{self.path} belongs to somebody newer", path=str(self.path))

    def _makes_room(self, db: sqlite3.Connection, error: sqlite3.Error) -> bool:
        """After a commit that went wrong: whether that was for want of room, and there is more."""
        if not _rolled_back(db, error):
            self._disconnect()
            return False
        self._is_tight = True
        has_folded, has_given = self._fold(), self.reserve.give()
        return has_folded or has_given

    def close(self) -> None:
        """Fold the log into the file, and give the lock back."""
        self._disconnect()
        self.ownership.give_back()

    def _owned(self) -> sqlite3.Connection:
        if self._db is None:
            raise StoreError(f"{self.path} is not open", path=str(self.path))
        return self._db

    def _disconnect(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()

    # --- the log --------------------------------------------------------------------------------

    def _fold(self) -> bool:
        """Fold the log into the file; what is committed stays so if there is no room for that."""
        try:
            [commits] = self._owned().execute("SELECT commits FROM head").fetchone()
            self.ownership.note(commits)
            self._checkpoint()
            self._is_tight = self._is_tight and room_in(self.path.parent) < _LOG_BYTES
        except (sqlite3.Error, OSError):
            self._log_bytes = _LOG_BYTES // 2  # try again after as much again
            return False
        return True

    def _checkpoint(self) -> None:
        self._owned().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._log_bytes = 0

    # --- errors ---------------------------------------------------------------------------------

    def _corrupt(self, why: str) -> StoreCorrupt:
        return StoreCorrupt(
            f"{self.path} cannot be used: {why}. {way_out(self.place)}",
            path=str(self.path),
        )

    def _unreadable(self, error: Exception) -> StoreError:
        """What an error means while the file is opened and read."""
        if not isinstance(error, sqlite3.Error):
            return self._corrupt(str(error))
        code = _code(error)
        if code == sqlite3.SQLITE_BUSY:
            return StoreLocked(f"{self.path} is locked by another program", path=str(self.path))
        if code == sqlite3.SQLITE_FULL or not os.access(self.path, os.R_OK | os.W_OK):
            return self._failure(error)
        return self._corrupt(str(error))

    def _failure(self, error: sqlite3.Error) -> StoreError:
        """What an error means while the file is written."""
        code = _code(error)
        if code == sqlite3.SQLITE_FULL or (
            code == sqlite3.SQLITE_IOERR and has_no_room(self.path.parent)
        ):
            return full(self.path.parent, str(error))
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return self._corrupt(str(error))
        return StoreError(f"{self.path} cannot be written: {error}", path=str(self.path))


def _put_all(db: sqlite3.Connection, puts: Sequence[Change]) -> None:
    """Put many with one statement.

    Each statement lets go of the interpreter, and a busy event loop gives it back after 5 ms.
    """
    for first in range(0, len(puts), _AT_ONCE):
        some = puts[first : first + _AT_ONCE]
        rows = ", ".join(["(?, ?)"] * len(some))
        db.execute(_PUT.format(rows), list(chain.from_iterable(some)))


def _rolled_back(db: sqlite3.Connection, error: sqlite3.Error) -> bool:
    """Whether nothing has happened, for certain, and the connection can be used on.

    So it is when there was no room. A new connection would need room itself, to be opened.
    """
    if _code(error) != sqlite3.SQLITE_FULL:
        return False
    try:
        if db.in_transaction:
            db.execute("ROLLBACK")
    except sqlite3.Error:
        return False
    return True


def beside(path: Path, suffix: str) -> Path:
    """The file that goes with a store."""
    return path.with_name(path.name + suffix)


def _code(error: sqlite3.Error) -> int:
    """The primary result code."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
