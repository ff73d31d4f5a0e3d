"""The engine for production: PostgreSQL through psycopg 3.

Ownership is a session's advisory lock on the store's name, which the server gives back as soon as
that session ends, and a fence that every commit checks: an owner that was cut off and comes back
is refused. A commit is one statement, so one round trip, and it counts itself: if the connection
breaks under it, the count says whether it was carried out.
"""

from __future__ import annotations

import os
import re
import threading
from binascii import crc32
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import errors

from apothic_backends.model.errors import StoreError, StoreFenced, StoreFull, StoreLocked
from apothic_backends.remote.running import beginning
from apothic_emulator.stores.base import Change, Found
from apothic_emulator.stores.ownership import Owner, name_of, this_process

_SCHEMA = """
CREATE TABLE IF NOT EXISTS apothic_stores (
  store text PRIMARY KEY, fence bigint NOT NULL, commits bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS apothic_records (
  store text NOT NULL, key text NOT NULL, value bytea NOT NULL, PRIMARY KEY (store, key)
);
"""
_LOCK = "SELECT pg_try_advisory_lock(hashtextextended('apothic:' || %s, 0))"
_OWNER = """
SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND datname = current_database()
  AND (classid::bigint << 32 | objid::bigint) = hashtextextended('apothic:' || %s, 0)
"""
"""How the session calls itself that holds the lock, for those who may see that."""
_NAME = re.compile(r"apothic (\d+) ([0-9a-f]{8}) (\S+)")
_SCHEMA_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('apothic schema', 0))"
_TAKE = """
INSERT INTO apothic_stores VALUES (%s, 1, 0)
ON CONFLICT (store) DO UPDATE SET fence = apothic_stores.fence + 1 RETURNING fence, commits
"""
_COMMIT = """
WITH owned AS (
  UPDATE apothic_stores SET commits = commits + 1
  WHERE store = %(store)s AND fence = %(fence)s RETURNING 1
), dropped AS (
  DELETE FROM apothic_records USING owned WHERE store = %(store)s AND key = ANY(%(drops)s::text[])
), kept AS (
  INSERT INTO apothic_records
  SELECT %(store)s, key, value
  FROM owned, unnest(%(keys)s::text[], %(values)s::bytea[]) AS put(key, value)
  ON CONFLICT (store, key) DO UPDATE SET value = excluded.value
)
SELECT count(*) FROM owned
"""
_ALL = "SELECT key, value FROM apothic_records WHERE store = %s"
_HEAD = "SELECT fence, commits FROM apothic_stores WHERE store = %s"
_PAUSES_S = (0.0, 0.5, 2.0)
"""Before each new try to reach a server that has gone away."""

_FREED_S = (0.0, 0.05, 0.15, 0.3)
"""Before each try to get the lock: a server notices a moment later that its owner was killed.

Not while it is known that the owner lives, on this machine."""

_CONNECT_S = 10
_ROWS = 2000
"""Fetched at once."""


class PostgresEngine:
    """Records of one store in a table that all stores of a database share."""

    durability = "server"

    def __init__(self, url: str, store: str) -> None:
        self._url = url
        self._store = store
        self._db: psycopg.Connection[tuple[Any, ...]] | None = None
        self._fence = 0
        self._commits = 0

    @property
    def place(self) -> str:
        """Server, database and store; no password."""
        parts = urlsplit(self._url)
        return f"postgresql://{parts.hostname or ''}{parts.path}, store {self._store!r}"

    def open(self) -> int:
        """Take the lock and a new fence."""
        try:
            db = self._connect()
            with db.transaction():
                db.execute(_SCHEMA_LOCK)
                db.execute(_SCHEMA)
            self._fence, self._commits = _row(db.execute(_TAKE, (self._store,)))
        except psycopg.Error as error:
            self.close()
            raise self._failure(error) from error
        return self._fence

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a session that holds the lock.

        Raises:
            StoreLocked: another session does.
        """
        pid, host = this_process().values()
        db = psycopg.connect(
            self._url,
            autocommit=True,
            connect_timeout=_CONNECT_S,
            application_name=f"apothic {pid} {_mark(pid)} {host}",
        )
        self._db = db
        db.execute("SET synchronous_commit = on")
        for pause_s in _FREED_S:
            threading.Event().wait(pause_s)
            if _row(db.execute(_LOCK, (self._store,)))[0]:
                return db
            if _is_another_that_lives(self._holder(db)):
                break
        raise self._locked(db)

    def _holder(self, db: psycopg.Connection[tuple[Any, ...]]) -> re.Match[str] | None:
        """What the session that has the lock says of its process."""
        row = db.execute(_OWNER, (self._store,)).fetchone()
        return _NAME.fullmatch(row[0] or "") if row is not None else None

    def _locked(self, db: psycopg.Connection[tuple[Any, ...]]) -> StoreLocked:
        """The error for a store that another session owns."""
        said = self._holder(db)
        self._hang_up()
        owner: Owner = {} if said is None else {"pid": int(said[1]), "host": said[3]}
        return StoreLocked(
            f"{self.place} is in use by {name_of(owner)}. End that first, or give this one a state "
            "of its own: APOTHIC_NAMESPACE=other",
            owner=owner,
        )

    def load(self) -> Iterable[Found]:
        """All records, fetched in portions."""
        try:
            db = self._db
            if db is None or db.closed:
                db = self._take_up()
            with db.transaction(), db.cursor(name="apothic_load") as cursor:
                cursor.itersize = _ROWS
                cursor.execute(_ALL, (self._store,), binary=True)
                return [(key, bytes(value)) for key, value in cursor]
        except psycopg.Error as error:
            raise self._failure(error) from error

    def commit(self, changes: Sequence[Change]) -> None:
        """One statement; sent again if the connection broke before it was carried out."""
        before = self._commits
        for pause_s in (*_PAUSES_S, None):
            try:
                if self._db is None or self._db.closed:
                    self._take_up()
                    if self._commits > before:
                        return  # it was carried out, and only the answer was lost
                self._commit(changes)
            except psycopg.Error as error:
                if pause_s is None or not self._is_cut:
                    raise self._failure(error) from error
                threading.Event().wait(pause_s)
            else:
                self._commits += 1
                return

    @property
    def _is_cut(self) -> bool:
        return self._db is None or self._db.closed

    def _commit(self, changes: Sequence[Change]) -> None:
        said = {
            "store": self._store,
            "fence": self._fence,
            "drops": [key for key, value in changes if value is None],
            "keys": [key for key, value in changes if value is not None],
            "values": [value for _, value in changes if value is not None],
        }
        assert self._db is not None
        if not _row(self._db.execute(_COMMIT, said, binary=True))[0]:
            raise self._fenced()

    def _take_up(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Go on after the connection broke, if nobody else has had the store meanwhile.

        Raises:
            StoreFenced: somebody has.
        """
        self._hang_up()
        if not self._fence:
            raise StoreError(f"{self.place} is not open")
        try:
            db = self._connect()
            fence, self._commits = _row(db.execute(_HEAD, (self._store,)))
        except StoreLocked:
            raise self._fenced() from None
        if fence != self._fence:
            self._hang_up()
            raise self._fenced()
        return db

    def close(self) -> None:
        """End the session, and with it the ownership."""
        self._fence = 0
        self._hang_up()

    def _hang_up(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def _fenced(self) -> StoreFenced:
        return StoreFenced(f"{self.place} belongs to somebody newer")

    def _failure(self, error: psycopg.Error) -> StoreError:
        why = str(error).strip() or type(error).__name__
        if isinstance(error, errors.DiskFull):
            return StoreFull(f"the server has no room left for {self.place}: {why}")
        return StoreError(f"{self.place} cannot be used: {why}")


def _mark(pid: int) -> str:
    """What tells a process of this machine from all others of its number, before it and since."""
    return f"{crc32((beginning(pid) or '').encode()):08x}"


def _is_another_that_lives(said: re.Match[str] | None) -> bool:
    """Whether that is a process of this machine that goes on, and not this one.

    A session of this one may be what a connection that was cut has left.
    """
    if said is None or int(said[1]) == os.getpid():
        return False
    return beginning(int(said[1])) is not None and said[2] == _mark(int(said[1]))


def _row(cursor: psycopg.Cursor[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The one row that a statement gives."""
    row = cursor.fetchone()
    assert row is not None
    return row
