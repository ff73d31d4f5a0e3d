"""A connection to SurrealDB, on a loop in a thread of its own: it holds nobody up.

    down ──connect──► up ──send, send, …──► down
                       └── lost: whoever has sent something does not know what became of it

The client never connects again by itself. When its connection is lost, it cancels what waits for
an answer, or trips over its own table of questions; here both are `Lost`.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar, cast

_CONFLICTS = 5
_PAUSE_S = 0.05

T = TypeVar("T")


class Refused(Exception):
    """What the database said instead of carrying a query out."""


class Lost(Exception):
    """There is no connection, or none any more."""


class Link:
    """One database, and the connection to it."""

    def __init__(
        self, url: str, namespace: str, database: str, user: str | None, password: str | None
    ) -> None:
        self.is_remote = "kv://" not in url
        self._url, self._namespace, self._database = url, namespace, database
        self._credentials = {"username": user, "password": password} if user else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._db: Any = None
        self.turn = asyncio.Lock()
        """Held by whoever sends something: one operation at a time."""

    @property
    def is_up(self) -> bool:
        """Whether nobody has seen it fail."""
        return self._db is not None

    @property
    def is_open(self) -> bool:
        """Whether there is a loop."""
        return self._loop is not None

    # --- for other threads ----------------------------------------------------------------------

    def start(self) -> None:
        """Have a loop."""
        self._loop = loop = asyncio.new_event_loop()
        self.turn = asyncio.Lock()

        def run() -> None:
            loop.run_forever()
            loop.close()

        threading.Thread(target=run, name="apothic-surrealdb", daemon=True).start()

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What a coroutine gives that runs on the loop.

        Raises:
            Lost: there is no loop.
        """
        if self._loop is None:
            coroutine.close()
            raise Lost("it is not open")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def stop(self) -> None:
        """End the loop; idempotent."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    # --- on the loop ----------------------------------------------------------------------------

    async def connect(self) -> None:
        """Be up.

        Raises:
            Refused: by the server, which is there.
            Lost: nobody is there, or a folder cannot be opened.
        """
        try:
            self._db = await _whole(self._connected())
        except Exception as error:
            from surrealdb.errors import ServerError  # noqa: PLC0415 - it is there by now

            if isinstance(error, ServerError):
                raise Refused(str(error)) from error
            raise Lost(_told(error)) from error

    async def _connected(self) -> Any:
        # It reads this as it is imported.
        os.environ.setdefault("SURREAL_SYNC_DATA", "true")
        from surrealdb import AsyncSurreal  # 300 ms  # noqa: PLC0415

        db: Any = AsyncSurreal(self._url)
        try:
            await db.connect()
            if self._credentials is not None:
                await db.signin(self._credentials)
            await db.use(self._namespace, self._database)
        except BaseException:
            await _close(db)
            raise
        return db

    async def send(self, query: str, **about: Any) -> Any:
        """The result of the last statement.

        Raises:
            Refused: one of them was not carried out.
            Lost: nobody knows whether they were, or there is no connection.
        """
        for _ in range(_CONFLICTS):
            said = await self._answer(query, about)
            wrong = _wrong(said)
            if wrong is None:
                return said["result"][-1]["result"]
            if "conflict" not in wrong:
                raise Refused(wrong)
            await asyncio.sleep(_PAUSE_S)
        raise Refused("others write to it all the time")

    async def _answer(self, query: str, about: dict[str, Any]) -> Any:
        if self._db is None:
            raise Lost("there is no connection")
        try:
            return await _whole(self._db.query_raw(query, about))
        except Exception as error:
            if not self.is_remote:
                raise Refused(_told(error)) from error
            await self.hang_up()
            raise Lost(_told(error)) from error

    async def hang_up(self) -> None:
        """Be down; idempotent."""
        db, self._db = self._db, None
        if db is not None:
            await _close(db)


async def _close(db: Any) -> None:
    with suppress(Exception):  # it is gone anyway
        await db.close()


async def _whole(coroutine: Coroutine[Any, Any, T]) -> T:
    """What the client gives; what it cancels is an exception, unlike what is cancelled here."""
    task = asyncio.ensure_future(coroutine)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        raise
    if task.cancelled():
        raise ConnectionError("the connection is lost")
    error = task.exception()
    if error is not None and not isinstance(error, Exception):  # the engine has panicked
        raise RuntimeError(_told(error)) from error
    return task.result()


def _told(error: BaseException) -> str:
    """For people; the client's own slip over a lost connection says nothing to them."""
    if isinstance(error, KeyError):
        return "the connection is lost"
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _wrong(said: Any) -> str | None:
    """Why something in a query was not carried out; None if all was."""
    if "error" in said:
        return str(said["error"])
    results = cast("list[dict[str, Any]]", said["result"])
    wrong = [str(one["result"]) for one in results if one["status"] != "OK"]
    told = [why for why in wrong if "not executed" not in why]
    return (told or wrong)[0] if wrong else None
