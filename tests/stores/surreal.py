"""A SurrealDB server for tests: its WebSocket protocol in front of engines that are embedded.

The client sends an embedded engine the same messages that it sends a server, so they are passed on
as they are. Each database has an engine of its own, in memory, which outlives connections and the
server's restarts. One message at a time, because the engine loses updates otherwise.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

from surrealdb.connections.async_embedded import AsyncEmbeddedSurrealConnection
from surrealdb.data.cbor import decode, encode
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

USER, PASSWORD = "apothic", "right"

LOSE, HOLD, ANSWER = "lose", "hold", "answer"

T = TypeVar("T")

Fault = Callable[[str], str | None]
"""Says of a query what becomes of it: None is nothing special; LOSE cuts the connection off before
it is carried out, ANSWER after that; HOLD is LOSE, and it is carried out by `carry_out_held`."""


def next_commits(what: str, times: int = 1) -> Fault:
    """Do this with the next commits."""
    left = [what] * times
    return lambda query: left.pop() if left and is_commit(query) else None


def is_commit(query: str) -> bool:
    """Whether it writes records."""
    return "BEGIN" in query and "apothic_record" in query


class Shim:
    """A server on a port of its own, which listens between `start` and `stop`."""

    def __init__(self) -> None:
        self.fault: Fault = lambda query: None
        self._port = 0
        self._server: Server | None = None
        self._engines: dict[str, Any] = {}
        self._held: list[tuple[Any, bytes]] = []
        self._one_at_a_time = asyncio.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def url(self, database: str, user: str = USER, password: str = PASSWORD) -> str:
        """Where a database is."""
        return f"surrealdb+ws://{user}:{password}@127.0.0.1:{self._port}/tests/{database}"

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._wait(self._start())

    def stop(self) -> None:
        """Cut everybody off, and listen no more."""
        self._wait(self._stop())

    def end(self) -> None:
        """Stop for good."""
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut_off(self) -> None:
        """Cut everybody off who is connected."""
        self._wait(self._cut_off())

    def go_away_at_a_commit(self) -> None:
        """Cut everybody off when the next one comes, and listen no more."""

        def fault(query: str) -> str | None:
            if not is_commit(query) or self._server is None:
                return None
            self._server.close(close_connections=False)
            return LOSE

        self.fault = fault

    def query(self, database: str, query: str) -> Any:
        """What somebody else would do to a database."""
        return self._wait(self._query(database, query))

    def carry_out_held(self) -> list[Any]:
        """Do what was held back; gives the answers that nobody hears."""
        return self._wait(self._carry_out_held())

    # --- the loop -------------------------------------------------------------------------------

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60.0)

    async def _start(self) -> None:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self._port,
            subprotocols=[Subprotocol("cbor")],
            max_size=None,
            reuse_address=True,
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server is not None:
            await self._cut_off()
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _cut_off(self) -> None:
        assert self._server is not None
        for connection in list(self._server.connections):
            connection.transport.abort()

    async def _query(self, database: str, query: str) -> Any:
        async with self._one_at_a_time:
            return (await (await self._engine(database)).query_raw(query))["result"]

    async def _carry_out_held(self) -> list[Any]:
        held, self._held = self._held, []
        return [decode(await engine._db.execute(message)) for engine, message in held]

    async def _serve(self, connection: ServerConnection) -> None:
        engine = await self._engine("")
        try:
            async for message in connection:
                assert isinstance(message, bytes)
                said = decode(message)
                if said["method"] == "use":
                    engine = await self._engine(said["params"][1])
                answer = await self._answer(engine, said, message)
                if answer is None:
                    connection.transport.abort()
                    return
                await connection.send(answer)
        except ConnectionClosed:
            pass

    async def _answer(self, engine: Any, said: Any, message: bytes) -> bytes | None:
        fault = self.fault(said["params"][0]) if said["method"] == "query" else None
        if fault == HOLD:
            self._held.append((engine, message))
        if fault in (LOSE, HOLD):
            return None
        async with self._one_at_a_time:
            try:
                answer: bytes = await engine._db.execute(message)
            except RuntimeError as error:  # what the engine raises, a server answers
                answer = encode(
                    {"id": said["id"], "error": {"code": -32000, "message": str(error)}}
                )
        return None if fault == ANSWER else answer

    async def _engine(self, database: str) -> Any:
        """That of a database; the one without a name knows the users."""
        if database not in self._engines:
            self._engines[database] = engine = AsyncEmbeddedSurrealConnection("mem://")
            await engine.connect()
            if not database:
                await engine.query(f'DEFINE USER {USER} ON ROOT PASSWORD "{PASSWORD}" ROLES OWNER')
        return self._engines[database]


@contextmanager
def surreal_serving() -> Generator[Shim]:
    """A server that runs for as long as this does."""
    shim = Shim()
    shim.start()
    try:
        yield shim
    finally:
        shim.end()
