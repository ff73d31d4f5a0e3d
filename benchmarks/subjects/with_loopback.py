"""Redis in memory, over TCP on the loopback: a list as a queue of pickles."""

from __future__ import annotations

import pickle
import shutil
import socket
import subprocess
import time
from typing import Any


class Loopback:
    """`RPUSH` and `LPOP`; nothing is written to disk."""

    def __init__(self) -> None:
        import redis  # noqa: PLC0415 - only where it is compared

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = ["--port", str(port), "--save", "", "--appendonly", "no"]
        self._server = subprocess.Popen(
            [shutil.which("redis-server") or "redis-server", *options], stdout=subprocess.DEVNULL
        )
        self._client: Any = redis.Redis(port=port)
        while not self._answers(redis.ConnectionError):
            time.sleep(0.01)

    def _answers(self, unreachable: type[Exception]) -> bool:
        try:
            return bool(self._client.ping())
        except unreachable:
            return False

    def pairs(self, count: int) -> float:
        """Seconds for so many puts and gets, one after the other."""
        client = self._client
        before = time.perf_counter()
        for n in range(count):
            client.rpush("queue", pickle.dumps(n, 5))
            pickle.loads(client.lpop("queue"))  # noqa: S301 - its own
        return time.perf_counter() - before

    pairs_there = pairs
    """It is the same from everywhere."""

    def many(self, count: int, at_once: int) -> float:
        """Seconds to put so many items and to get them, pipelined."""
        before = time.perf_counter()
        for first in range(0, count, at_once):
            pipe = self._client.pipeline(transaction=False)
            for n in range(first, first + at_once):
                pipe.rpush("queue", pickle.dumps(n, 5))
            pipe.execute()
        for _ in range(0, count, at_once):
            pipe = self._client.pipeline(transaction=False)
            for _ in range(at_once):
                pipe.lpop("queue")
            [pickle.loads(item) for item in pipe.execute()]  # noqa: S301 - its own
        return time.perf_counter() - before

    def close(self) -> None:
        """Stop."""
        self._server.kill()
        self._server.wait()


def open_subject(workers: int) -> Loopback:
    """Start the server."""
    del workers
    return Loopback()
