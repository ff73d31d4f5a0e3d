"""Redis, each write on disk before it is acknowledged."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from work import RECORD


class Redis:
    """Items of a list, `appendfsync always`, over a Unix socket."""

    def __init__(self) -> None:
        import redis  # noqa: PLC0415 - only where it is compared

        self._folder = tempfile.TemporaryDirectory()
        self._path = f"{self._folder.name}/redis.sock"
        options = ["--port", "0", "--unixsocket", self._path, "--dir", self._folder.name]
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        self._server = subprocess.Popen(
            [shutil.which("redis-server") or "redis-server", *options, *durable],
            stdout=subprocess.DEVNULL,
        )
        while not Path(self._path).exists():
            time.sleep(0.01)
        self._client = redis.Redis(unix_socket_path=self._path)
        self._clients: tuple[Any, Any] = (None, None)

    def write(self, n: int) -> None:
        """One write, acknowledged."""
        self._client.rpush("queue", RECORD % n)

    async def write_async(self, n: int) -> None:
        """The same, awaited, over one of 64 connections of the loop that runs."""
        loop, clients = self._clients
        if loop is not asyncio.get_running_loop():
            from redis.asyncio import BlockingConnectionPool, Redis  # noqa: PLC0415 - as above

            pool = BlockingConnectionPool.from_url(f"unix://{self._path}", max_connections=64)
            clients = Redis(connection_pool=pool)
            self._clients = asyncio.get_running_loop(), clients
        await clients.rpush("queue", RECORD % n)

    def close(self) -> None:
        """Stop."""
        self._server.kill()
        self._server.wait()


def open_subject(workers: int) -> Redis:
    """Start the server."""
    del workers
    return Redis()
