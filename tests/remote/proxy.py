"""A proxy between a client and a server that cuts, delays and duplicates what it passes on."""

from __future__ import annotations

import asyncio
import threading
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from dataclasses import dataclass
from random import Random

_BINARY = 0x82
"""The first byte of a whole binary frame."""


@dataclass
class Faults:
    """How often, for each frame."""

    cut: float = 0.0
    delay: float = 0.0
    duplicate: float = 0.0
    delay_s: float = 0.02


class Proxy:
    """Listens on a free port of this machine, and passes on to another one."""

    def __init__(self, port: int, faults: Faults | None = None, seed: int = 0) -> None:
        self.faults = faults or Faults()
        self.cuts = self.duplicates = self.connections = 0
        self.is_closed_to_new = False
        self._to = port
        self._random = Random(seed)
        self._writers: set[StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="test-proxy", daemon=True)
        self._thread.start()
        self._ready.wait(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._ready.set()
        self._loop.run_forever()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut_all(self) -> None:
        """Cut every connection that there is, in the middle of whatever it is at."""
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (self._cut(*self._writers), done.set()))
        done.wait(10)

    def close(self) -> None:
        """Cut everything, and listen no more."""
        self._loop.call_soon_threadsafe(self._server.close)
        self.cut_all()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        tasks = [it for it in asyncio.all_tasks() if it is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _cut(self, *writers: StreamWriter) -> None:
        for writer in writers:
            writer.transport.abort()

    async def _pass_on(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.connections += 1
        if self.is_closed_to_new:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        both = writer, back
        self._writers.update(both)
        try:
            await asyncio.gather(self._carry(reader, back, both), self._carry(there, writer, both))
        finally:
            self._cut(*both)
            self._writers.difference_update(both)

    async def _carry(
        self, reader: StreamReader, writer: StreamWriter, both: tuple[StreamWriter, ...]
    ) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            writer.write(await reader.readuntil(b"\r\n\r\n"))
            while True:
                await self._frame(await _next_frame(reader), writer, both)
        with suppress(ConnectionError, RuntimeError):
            writer.write_eof()

    async def _frame(
        self, frame: bytes, writer: StreamWriter, both: tuple[StreamWriter, ...]
    ) -> None:
        faults, random = self.faults, self._random
        if random.random() < faults.delay:
            await asyncio.sleep(random.random() * faults.delay_s)
        if random.random() < faults.cut:
            self.cuts += 1
            writer.write(frame[: random.randrange(len(frame))])
            self._cut(*both)
            raise ConnectionError
        writer.write(frame)
        if frame[0] == _BINARY and random.random() < faults.duplicate:
            self.duplicates += 1
            writer.write(frame)
        await writer.drain()


async def _next_frame(reader: StreamReader) -> bytes:
    """A WebSocket frame as it is."""
    head = await reader.readexactly(2)
    length = head[1] & 0x7F
    if length >= 126:
        more = await reader.readexactly(2 if length == 126 else 8)
        head += more
        length = int.from_bytes(more, "big")
    mask = 4 if head[1] & 0x80 else 0
    return head + await reader.readexactly(mask + length)
