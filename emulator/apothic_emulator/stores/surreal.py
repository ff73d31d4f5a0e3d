"""The engine on SurrealDB, embedded (`surrealkv://`) or on a server (`ws://`).

It is used by strict rules, each from a failure that was measured: one writer and one operation at a
time; `query_raw`, whose every status is looked at; no predicate over a range; an fsync with each
commit; a lock of our own, because two that open one folder lose updates; a probe at the start,
which refuses an engine whose transactions do not hold; and a sum over all records with each commit,
because SurrealKV repairs a torn log in the middle of a transaction.

Embedded, the owner holds a lock that the kernel gives back. On a server it holds a lease, so that
whoever comes after a crash waits for its end. When the connection is lost under a commit, nobody
knows what became of it, and the server may still be at it: so whoever connects again takes a new
fence first, which what was sent before is refused by, and then looks whether it was counted.
"""

from __future__ import annotations

import asyncio
import threading
from binascii import crc32
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from apothic_backends.model.errors import StoreCorrupt, StoreError, StoreFenced, StoreLocked
from apothic_emulator.stores.base import LESS, Change, Found, way_out
from apothic_emulator.stores.disk import full, has_no_room, writing
from apothic_emulator.stores.ownership import Owner, Ownership, name_of, this_process
from apothic_emulator.stores.surreal_link import Link, Lost, Refused

LEASE_S = 10
"""How long the owner of a server's store is waited for after its last sign of life."""

_BEAT_S = LEASE_S / 3
"""Between two signs of life, at the most."""

_PAUSES_S = (0.0, 0.5, 2.0)
"""Before each new try to reach a server that has gone away."""

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
IF $again AND $head.who != $who { THROW "fenced" };
IF $head.who != $who AND $head.until != NONE AND $head.until > time::now() { THROW "locked" };
UPSERT apothic_store:owner SET who = $who, fence = ($head.fence ?? 0) + 1,
  commits = $head.commits ?? 0, sum = $head.sum ?? 0, until = $lease;
COMMIT;
"""
_HEAD = "SELECT * FROM apothic_store:owner"
_COMMIT = """
BEGIN;
LET $owned = (UPDATE apothic_store:owner SET commits += 1, sum = $sum, until = $lease
  WHERE fence = $fence);
IF array::len($owned) = 0 { THROW "fenced" };
FOR $put IN $puts { UPSERT type::thing("apothic_record", $put[0]) SET v = $put[1] };
FOR $key IN $drops { DELETE type::thing("apothic_record", $key) };
COMMIT;
"""
_RENEW = "UPDATE apothic_store:owner SET until = $lease WHERE fence = $fence"
_GIVE_BACK = "UPDATE apothic_store:owner SET until = NONE WHERE who = $who"
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
        self._link = Link(url, namespace, database, user, password)
        self.place = place
        self._path = None if self._link.is_remote else Path(url.removeprefix("surrealkv://"))
        self.durability = "disk" if self._path is not None else "server"
        self._until = "NONE" if self._path is not None else f"time::now() + {LEASE_S}s"
        self._ownership: Ownership | None = None
        self._who = "{0} {pid} {host}".format(uuid4().hex, **this_process())
        self._fence = 0
        self._commits = 0
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
            self._link.start()
            self._link.wait(self._begin())
        except BaseException:
            self.close()
            raise
        return self._fence

    async def _begin(self) -> None:
        try:
            await self._link.connect()
        except (Lost, Refused) as error:
            raise self._unreadable(str(error)) from error
        try:
            await self._link.send(_SCHEMA)
            await self._probe()
            await self._take()
        except (Lost, Refused) as error:
            raise self._failure(error) from error
        if self._ownership is None:
            self._heart = asyncio.ensure_future(self._beat())
        elif self._commits < self._ownership.commits:
            raise self._unreadable(LESS)
        else:
            self._ownership.note(self._commits)

    async def _probe(self) -> None:
        """See to it that what is thrown out of a transaction leaves nothing behind."""
        with suppress(Refused):
            await self._link.send(_PROBE)
        if await self._link.send(_PROBED):
            raise StoreError(f"{self.place}: its transactions do not hold, so it is not used")

    async def _take(self) -> None:
        """Own the store from now on. What was sent before under an older fence is refused."""
        try:
            await self._link.send(self._leased(_TAKE), who=self._who, again=self._fence > 0)
        except Refused as error:
            if "occurred: locked" in str(error):
                raise await self._locked() from error
            raise
        [head] = await self._link.send(_HEAD)
        self._fence, self._commits, self._sum = head["fence"], head["commits"], head["sum"]

    async def _locked(self) -> StoreLocked:
        """The error for a store whose owner was heard of a moment ago."""
        [head] = await self._link.send(_HEAD)
        _, pid, host = str(head["who"]).split(" ", 2)
        owner: Owner = {"pid": int(pid), "host": host}
        return StoreLocked(
            f"{self.place} is in use by {name_of(owner)}. End that first; if it was killed, its "
            f"lease ends within {LEASE_S} s",
            owner=owner,
        )

    def _leased(self, query: str) -> str:
        return query.replace("$lease", self._until)

    async def _reach(self) -> None:
        """Be connected, again if need be and nobody else has had the store meanwhile."""
        if not self._link.is_up and self._link.is_remote and self._fence:
            await self._link.connect()
            try:
                await self._take()
            except BaseException:
                await self._link.hang_up()
                raise

    async def _beat(self) -> None:
        """Renew the lease while nothing is committed."""
        while True:
            await asyncio.sleep(_BEAT_S)
            with suppress(Lost, Refused):  # the next commit says so, if it lasts
                await self._ask(self._leased(_RENEW))

    async def _ask(self, query: str) -> Any:
        async with self._link.turn:
            await self._reach()
            return await self._link.send(query, fence=self._fence)

    def load(self) -> Iterable[Found]:
        """All records."""
        [head] = self._insist(lambda: self._ask(_HEAD))
        rows = self._insist(lambda: self._ask(_ALL))
        found = [(row["k"], bytes(row["v"])) for row in rows]
        sums = {key: _sum_of(key, value) for key, value in found}
        self._sum = head["sum"]
        if _joined(sums.values()) != self._sum:
            raise self._corrupt("half of a commit is missing")
        self._sums = sums
        return found

    def commit(self, changes: Sequence[Change]) -> None:
        """One transaction; sent again if the connection was lost before it was carried out."""
        if self._sums is None:
            self.load()
        assert self._sums is not None
        after = {key: 0 if value is None else _sum_of(key, value) for key, value in changes}
        total = _joined([self._sum, *(self._sums.get(key, 0) for key in after), *after.values()])
        before = self._commits
        try:
            self._insist(lambda: self._put(before, changes, total))
        except StoreError:
            self._sums = None  # it may have been carried out, so they are looked up again
            raise
        self._sum = total
        for key, one in after.items():
            if one:
                self._sums[key] = one
            else:
                self._sums.pop(key, None)

    async def _put(self, before: int, changes: Sequence[Change], total: int) -> None:
        async with self._link.turn:
            await self._reach()
            if self._commits > before:
                return  # it was carried out, and only the answer was lost
            await self._link.send(
                self._leased(_COMMIT),
                fence=self._fence,
                sum=total,
                puts=[[key, value] for key, value in changes if value is not None],
                drops=[key for key, value in changes if value is None],
            )
            self._commits += 1

    def close(self) -> None:
        """Give ownership back, and end the loop."""
        try:
            with suppress(Lost):
                self._link.wait(self._let_go())
        finally:
            self._link.stop()
            if self._ownership is not None:
                self._ownership.give_back()
                self._ownership = None

    async def _let_go(self) -> None:
        heart, self._heart = self._heart, None
        async with self._link.turn:
            if heart is not None:
                heart.cancel()  # it sends nothing now, so nothing is cut off halfway
            if self._link.is_remote:
                with suppress(Lost, Refused):
                    await self._link.send(_GIVE_BACK, who=self._who)
            self._fence = 0
            await self._link.hang_up()

    def _insist(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Ask a server that has gone away again, for some seconds."""
        if not self._link.is_open:
            raise StoreError(f"{self.place} is not open")
        for pause_s in (*_PAUSES_S, None):
            try:
                return self._link.wait(ask())
            except (Lost, Refused) as error:
                if isinstance(error, Refused) or pause_s is None:
                    raise self._failure(error) from error
            threading.Event().wait(pause_s)
        raise AssertionError

    # --- errors ---------------------------------------------------------------------------------

    def _unreadable(self, why: str) -> StoreError:
        if self._path is not None:
            return self._corrupt(why)
        return StoreError(
            f"{self.place} cannot be used: {why}. See to it that a database runs there which lets "
            "this user in"
        )

    def _corrupt(self, why: str) -> StoreCorrupt:
        path = str(self._path or self.place)
        return StoreCorrupt(f"{self.place} cannot be used: {why}. {way_out(self.place)}", path=path)

    def _failure(self, error: Lost | Refused) -> StoreError:
        why = str(error)
        if "occurred: fenced" in why:
            return StoreFenced(f"{self.place} belongs to somebody newer")
        if isinstance(error, Lost):
            return StoreError(
                f"{self.place} cannot be reached: {why}. What was acknowledged is kept there, and "
                "what was under way as a whole or not at all: start the program again when the "
                "database answers"
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
