"""The engine on SurrealDB, embedded (`surrealkv://`) or on a server (`ws://`).

It is used by strict rules, each from a failure that was measured: one writer and one operation at a
time; `query_raw`, whose every status is looked at; no predicate over a range; an fsync with each
commit; a lock of our own, because two that open one folder lose updates; a probe at the start,
which refuses an engine whose transactions do not hold; and a sum over all records with each commit,
because SurrealKV repairs a torn log in the middle of a transaction. The client lives on an asyncio
loop in a thread of its own, so that its calls hold up nobody else.

Embedded, the owner holds a lock that the kernel gives back. On a server it holds a lease, so that
whoever comes after a crash waits for its end.
"""

from __future__ import annotations

import asyncio
import os
import threading
from binascii import crc32
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from apothic_backends.model.errors import StoreCorrupt, StoreError, StoreFenced, StoreLocked
from apothic_emulator.stores.base import Change, Found
from apothic_emulator.stores.disk import full, has_no_room, writing
from apothic_emulator.stores.ownership import Ownership

LEASE_S = 10
"""How long the owner of a server's store is waited for after its last sign of life."""

_CONFLICTS = 5
_PAUSE_S = 0.05

_SCHEMA = """
DEFINE TABLE IF NOT EXISTS apothic_record SCHEMALESS;
DEFINE TABLE IF NOT EXISTS apothic_store SCHEMALESS;
"""
_PROBE = """
BEGIN; UPSERT apothic_store:probe SET torn = true; THROW "probe"; COMMIT;
"""
_PROBED = "SELECT * FROM apothic_store:probe"
_TAKE = """
BEGIN;
LET $head = (SELECT * FROM ONLY apothic_store:owner);
IF $head.until != NONE AND $head.until > time::now() { THROW "locked" };
UPSERT apothic_store:owner SET fence = ($head.fence ?? 0) + 1, commits = $head.commits ?? 0,
  sum = $head.sum ?? 0, until = $lease;
COMMIT;
"""
_HEAD = "SELECT * FROM apothic_store:owner"
_OWNED = """
LET $owned = (UPDATE apothic_store:owner SET commits += $more, sum = $sum, until = {until}
  WHERE fence = $fence);
IF array::len($owned) = 0 {{ THROW "fenced" }};
"""
_PUTS = """
FOR $put IN $puts { UPSERT type::thing("apothic_record", $put[0]) SET v = $put[1] };
FOR $key IN $drops { DELETE type::thing("apothic_record", $key) };
"""
_GIVE_BACK = "UPDATE apothic_store:owner SET until = NONE WHERE fence = $fence"
_ALL = "SELECT record::id(id) AS k, v FROM apothic_record"

T = TypeVar("T")


class SurrealEngine:
    """Records in one table of one database."""

    def __init__(
        self,
        url: str,
        namespace: str,
        database: str,
        place: str,
        *,
        user: str | None = None,
        password: str | None = None,
    ) -> None:
        self._url, self._namespace, self._database = url, namespace, database
        self.place = place
        self._credentials = {"username": user, "password": password} if user else None
        self._path = Path(url.removeprefix("surrealkv://")) if "kv://" in url else None
        self.durability = "disk" if self._path is not None else "server"
        until = "NONE" if self._path is not None else f"time::now() + {LEASE_S}s"
        self._take = _TAKE.replace("$lease", until)
        self._owned = _OWNED.format(until=until)
        self._ownership: Ownership | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._db: Any = None
        self._one_at_a_time = asyncio.Lock()
        self._fence = 0
        self._sum = 0
        """Of all records, as the store holds them."""
        self._sums: dict[str, int] | None = None
        """Of each record; None before they are loaded."""
        self._heart: asyncio.Task[None] | None = None

    def open(self) -> int:
        """Take the lock or the lease."""
        try:
            if self._path is not None:
                with writing(self._path.parent):
                    self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    ownership = Ownership(self._path.with_name(self._path.name + ".owner"))
                    ownership.take()
                    self._ownership = ownership
            self._start_loop()
            self._wait(self._connect())
        except BaseException:
            self.close()
            raise
        return self._fence

    async def _connect(self) -> None:
        try:
            # It reads this as it is imported.
            os.environ.setdefault("SURREAL_SYNC_DATA", "true")
            from surrealdb import AsyncSurreal  # 300 ms  # noqa: PLC0415

            db: Any = AsyncSurreal(self._url)
            await db.connect()
            self._db = db
            if self._credentials is not None:
                await db.signin(self._credentials)
            await db.use(self._namespace, self._database)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # a panic of the engine is no Exception
            raise self._unreadable(f"{type(error).__name__}: {error}") from error
        try:
            await self._ask(_SCHEMA)
            await self._probe()
            await self._ask(self._take)
            [head] = await self._ask(_HEAD)
        except _Refused as error:
            raise self._refusal(error) from error
        self._fence, self._sum, self._sums = head["fence"], head["sum"], None
        if self._ownership is not None:
            if head["commits"] < self._ownership.commits:
                raise self._unreadable("it holds less than it did before: a log was lost")
            self._ownership.note(head["commits"])
        else:
            self._heart = asyncio.ensure_future(self._beat())

    async def _probe(self) -> None:
        """See to it that what is thrown out of a transaction leaves nothing behind."""
        try:
            await self._ask(_PROBE)
        except _Refused:
            pass
        if await self._ask(_PROBED):
            raise StoreError(f"{self.place}: its transactions do not hold, so it is not used")

    async def _beat(self) -> None:
        """Renew the lease while nothing is committed."""
        while True:
            await asyncio.sleep(LEASE_S / 3)
            try:
                await self._ask(
                    f"BEGIN; {self._owned} COMMIT;", fence=self._fence, more=0, sum=self._sum
                )
            except Exception:  # noqa: BLE001 - the next commit says what is wrong
                return

    def load(self) -> Iterable[Found]:
        """All records."""
        if self._db is None:
            raise StoreError(f"{self.place} is not open")
        try:
            [head] = self._wait(self._ask(_HEAD))
            rows = self._wait(self._ask(_ALL))
        except _Refused as error:
            raise self._refusal(error) from error
        found = [(row["k"], bytes(row["v"])) for row in rows]
        sums = {key: _sum_of(key, value) for key, value in found}
        self._sum = head["sum"]
        if _joined(sums.values()) != self._sum:
            raise self._unreadable("half of a commit is missing")
        self._sums = sums
        return found

    def commit(self, changes: Sequence[Change]) -> None:
        """One transaction."""
        if self._sums is None:
            self.load()
        assert self._sums is not None
        after = {key: 0 if value is None else _sum_of(key, value) for key, value in changes}
        total = _joined([self._sum, *(self._sums.get(key, 0) for key in after), *after.values()])
        try:
            self._wait(
                self._ask(
                    f"BEGIN; {self._owned} {_PUTS} COMMIT;",
                    fence=self._fence,
                    more=1,
                    sum=total,
                    puts=[[key, value] for key, value in changes if value is not None],
                    drops=[key for key, value in changes if value is None],
                )
            )
        except _Refused as error:
            raise self._refusal(error) from error
        self._sum = total
        for key, one in after.items():
            if one:
                self._sums[key] = one
            else:
                self._sums.pop(key, None)

    def close(self) -> None:
        """Give ownership back, and end the loop."""
        if self._loop is not None:
            try:
                self._wait(self._disconnect())
            finally:
                loop, self._loop = self._loop, None
                loop.call_soon_threadsafe(loop.stop)
        if self._ownership is not None:
            self._ownership.give_back()
            self._ownership = None

    async def _disconnect(self) -> None:
        if self._heart is not None:
            self._heart.cancel()
            self._heart = None
        db, self._db = self._db, None
        if db is None:
            return
        try:
            if self._ownership is None and self._fence:
                await db.query_raw(_GIVE_BACK, {"fence": self._fence})
            await db.close()
        except Exception:  # noqa: BLE001, S110 - it is gone anyway
            pass

    # --- the loop -------------------------------------------------------------------------------

    def _start_loop(self) -> None:
        self._loop = loop = asyncio.new_event_loop()
        self._one_at_a_time = asyncio.Lock()

        def run() -> None:
            loop.run_forever()
            loop.close()

        threading.Thread(target=run, name="apothic-surrealdb", daemon=True).start()

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            coroutine.close()
            raise StoreError(f"{self.place} is not open")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _ask(self, query: str, **about: Any) -> Any:
        """The result of the last statement.

        Raises:
            _Refused: one of them was not carried out, or the connection is gone.
        """
        for _ in range(_CONFLICTS):
            async with self._one_at_a_time:
                if self._db is None:
                    raise _Refused("there is no connection")
                try:
                    said: Any = await self._db.query_raw(query, about)
                except Exception as error:
                    raise _Refused(f"{type(error).__name__}: {error}") from error
            wrong = _wrong(said)
            if wrong is None:
                return said["result"][-1]["result"]
            if "conflict" not in wrong:
                raise _Refused(wrong)
            await asyncio.sleep(_PAUSE_S)
        raise _Refused("others write to it all the time")

    # --- errors ---------------------------------------------------------------------------------

    def _unreadable(self, why: str) -> StoreError:
        if self._path is None:
            return StoreError(f"{self.place} cannot be reached: {why}")
        return StoreCorrupt(
            f"{self.place} cannot be used: {why}. Go back to a copy with `apothic state load`, or "
            "begin anew with `apothic state reset`",
            path=str(self._path),
        )

    def _refusal(self, error: _Refused) -> StoreError:
        why = str(error)
        if "occurred: fenced" in why:
            return StoreFenced(f"{self.place} belongs to somebody newer")
        if "occurred: locked" in why:
            return StoreLocked(
                f"{self.place} is in use by another control plane. End that first; if it was "
                f"killed, its lease ends within {LEASE_S} s",
                owner={},
            )
        if self._path is not None and has_no_room(self._path.parent):
            return full(self._path.parent, why)
        return StoreError(f"{self.place} cannot be used: {why}")


def _sum_of(key: str, value: bytes) -> int:
    """A number that is never 0, which stands for none."""
    return crc32(value, crc32(key.encode())) | 1 << 32


def _joined(sums: Iterable[int]) -> int:
    """One sum of many, whatever their order; what comes in twice goes out again."""
    total = 0
    for one in sums:
        total ^= one
    return total


class _Refused(Exception):
    """What the database said instead of carrying a query out."""


def _wrong(said: Any) -> str | None:
    """Why something in a query was not carried out; None if all was."""
    if "error" in said:
        return str(said["error"])
    results = cast("list[dict[str, Any]]", said["result"])
    wrong = [str(one["result"]) for one in results if one["status"] != "OK"]
    told = [why for why in wrong if "not executed" not in why]
    return (told or wrong)[0] if wrong else None
