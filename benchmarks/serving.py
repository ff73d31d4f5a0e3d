"""What is measured of services, by clients as users have them."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import re
import subprocess
import threading
import time
from statistics import median
from typing import Any
from urllib.parse import urlsplit

_LATE_S = 30.0
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_POST = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n" + b"x" * 100
_GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


def requests(subject: Any) -> dict[str, float]:
    """What wrk finds over 1, 16 and 64 connections that are kept."""
    found: dict[str, float] = {}
    for count in (1, 16, 64):
        found[f"c{count}_s"], found[f"c{count}_p99_ms"] = _wrk(subject.url(), count)
    return found


def gateway(subject: Any) -> dict[str, float]:
    """What wrk finds over 64 connections that are kept."""
    rate, late = _wrk(subject.url(), 64)
    return {"c64_s": rate, "c64_p99_ms": late}


def _wrk(url: str, connections: int, seconds: int = 3) -> tuple[float, float]:
    said = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise ValueError(f"requests failed:\n{said}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    late = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    assert rate is not None
    assert late is not None
    return float(rate[1]), float(late[1]) * _UNITS[late[2]]


def saves(subject: Any, count: int = 7) -> dict[str, float]:
    """How long it takes from a save until the new version answers, over one client."""
    url, taken = subject.developed(), []
    for n in itertools.count():
        version = f"{time.monotonic_ns()}"
        time.sleep(2.0)  # whoever edits takes a while, and what was started before comes to rest
        before = time.perf_counter()
        subject.project.write("science.py", version)
        while version.encode() not in _body(url):
            time.sleep(0.001)
        if n > 1:  # the first ones find nothing imported
            taken.append(time.perf_counter() - before)
        if len(taken) == count:
            return {"saved_ms": median(taken) * 1e3}
    raise AssertionError


class Crowd:
    """Clients that ask over one connection each, until they are told that it is over."""

    def __init__(self, url: str, count: int) -> None:
        self.done = self.failed = 0
        self._host, self._port = urlsplit(url).netloc.split(":")
        self._is_over = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._ask_all(count)))
        self._thread.start()

    async def _ask_all(self, count: int) -> None:
        await asyncio.gather(*[self._ask(_POST if n % 2 else _GET) for n in range(count)])

    async def _ask(self, request: bytes) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        while not self._is_over:
            try:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head)
                await reader.readexactly(int(length[1]) if length else 0)
                self.failed += not head.startswith(b"HTTP/1.1 200")
                self.done += 1
            except (OSError, EOFError):
                self.failed += 1
                reader, writer = await asyncio.open_connection(self._host, self._port)
        writer.close()

    def end(self) -> None:
        """It is over."""
        self._is_over = True
        self._thread.join()


def swaps(subject: Any, reloads: int = 20, least: int = 10_000) -> dict[str, float]:
    """64 connections that are kept, half of them by POST, while versions come and go."""
    crowd = Crowd(subject.url(), 64)
    before = time.perf_counter()
    for _ in range(reloads):
        version = f"{time.monotonic_ns()}"
        subject.deploy(version)
        while _body(subject.url()) != version.encode():
            pass
    taken = time.perf_counter() - before
    while crowd.done < least:
        time.sleep(0.1)
    crowd.end()
    return {
        "requests": crowd.done,
        "failed": crowd.failed,
        "reload_ms": taken / reloads * 1e3,
    }


def _body(url: str) -> bytes:
    """What is answered over a fresh connection; nothing if none is to be had."""
    client = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_LATE_S)
    try:
        client.request("GET", "/")
        return client.getresponse().read()
    except OSError:
        return b""
    finally:
        client.close()


def wake(subject: Any, count: int = 10) -> dict[str, float]:
    """The first request to a service of which no process runs."""
    url, taken = subject.url("sleeper"), []
    for _ in range(count + 1):
        while subject.snapshot("sleeper").processes:
            time.sleep(0.01)
        before = time.perf_counter()
        _body(url)
        taken.append(time.perf_counter() - before)
    return {"wake_ms": median(taken[1:]) * 1e3}


def ends(subject: Any, count: int = 50) -> dict[str, float]:
    """Stop a service with WebSockets and event streams open, until all have seen their end."""
    subject.url()
    host = urlsplit(subject.start()).netloc
    return asyncio.run(_ends(subject, host, count))


async def _ends(subject: Any, host: str, count: int) -> dict[str, float]:
    from websockets.asyncio.client import connect  # for this row only  # noqa: PLC0415

    sockets = [await connect(f"ws://{host}/") for _ in range(count)]
    streams = [await _stream(host) for _ in range(count)]

    async def closed(socket: Any) -> bool:
        await socket.wait_closed()
        return bool(socket.close_code == 1012)

    async def finished(reader: asyncio.StreamReader) -> bool:
        return (await reader.read()).endswith(b"0\r\n\r\n")

    seen = [asyncio.ensure_future(closed(it)) for it in sockets]
    seen += [asyncio.ensure_future(finished(reader)) for reader, _ in streams]
    before = time.perf_counter()
    await asyncio.to_thread(subject.stop)
    proper = await asyncio.wait_for(asyncio.gather(*seen), _LATE_S)
    taken = time.perf_counter() - before
    for _, writer in streams:
        writer.close()
    return {"end_ms": taken * 1e3, "improper": proper.count(False)}


async def _stream(host: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address, port = host.split(":")
    reader, writer = await asyncio.open_connection(address, int(port))
    writer.write(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n")
    await reader.readuntil(b"data: x")
    return reader, writer


MEASURES = {
    "requests": requests,
    "gateway": gateway,
    "saves": saves,
    "swaps": swaps,
    "wake": wake,
    "ends": ends,
}
"""Those of services, by the names of their rows."""
