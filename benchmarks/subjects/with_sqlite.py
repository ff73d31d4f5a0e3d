"""SQLite as it comes, a commit for each write."""

from __future__ import annotations

import sqlite3
import tempfile

from work import RECORD


class Sqlite:
    """Rows of a table, a commit each: `synchronous=FULL`, write-ahead log."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._db = sqlite3.connect(f"{self._folder.name}/bare.db", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("CREATE TABLE queue (n INTEGER PRIMARY KEY, item BLOB NOT NULL)")

    def write(self, n: int) -> None:
        """One write, acknowledged."""
        self._db.execute("INSERT INTO queue (item) VALUES (?)", (RECORD % n,))

    async def write_async(self, n: int) -> None:
        """The same: it has no other way."""
        self.write(n)

    def close(self) -> None:
        """Stop."""
        self._db.close()


def open_subject(workers: int) -> Sqlite:
    """Make the file."""
    del workers
    return Sqlite()
