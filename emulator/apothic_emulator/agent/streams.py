"""Streams of an agent: one connection to the control plane for each of a service's clients.

Each is dialled over HTTP, and is the client's connection from the answer on. Where it is not
encrypted the socket itself goes to the process of the service, so that nothing of it is touched
here again. Where it is, a thread of the agent's passes on what is said.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import SplitResult, urlsplit

from apothic_emulator.agent.proxies import passage, proxy_for
from apothic_emulator.executors.web.callers import NOTHING
from apothic_emulator.gateway.links import Link, Unreachable
from apothic_emulator.gateway.paths import ALIVE, CALLER, PATH, PROTOCOL, SERVICE, STREAM
from apothic_emulator.gateway.tunnels import Tunnel

DIAL_S = 10.0
"""How long it may take to open one."""

_MOST_HEAD = 16 << 10
_PIECE = 64 << 10

Put = Callable[[str, socket.socket, bytes], None]
"""Takes a stream for a service, with what was said of its client."""

Dialled = tuple[socket.socket, bytes]


class Streams:
    """Dials them, on a thread of its own. Its methods may be called from any."""

    def __init__(self, url: str, token: str, put: Put, *, is_near: bool = False) -> None:
        """`url` is the WebSocket of the control plane, `put` takes what was dialled.

        With `is_near` it is on this machine, and no proxy is on the way.
        """
        at = urlsplit(url)
        self._is_tls = at.scheme in ("wss", "https")
        self._host = at.hostname or ""
        self._port = at.port or (443 if self._is_tls else 80)
        self._netloc = at.netloc
        self._proxy = None if is_near else proxy_for(self._host, self._port, is_tls=self._is_tls)
        self._path = at.path.removesuffix("/") + PATH.removeprefix("/v1/agent")
        self._token = token
        self._put = put
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._thread = threading.Thread(target=self._run, name="apothic-streams", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._runner:
            self._loop.run_forever()

    def open(self, service: str, name: str) -> None:
        """Open the stream of that name, for a service."""
        self._do(self._open(service, name))

    def send_back(self, service: str, taken: socket.socket, said: bytes) -> None:
        """Take a connection to the control plane that nobody takes here, as a new one."""
        taken.setblocking(False)
        self._do(self._send_back(service, taken, said))

    def close(self) -> None:
        """Dial no more."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(1.0)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        def begin() -> None:
            task = self._loop.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self._loop.call_soon_threadsafe(begin)

    async def _open(self, service: str, name: str) -> None:
        with contextlib.suppress(OSError, TimeoutError, Unreachable):
            stream, said = await asyncio.wait_for(self._dial(f"{STREAM}: {name}"), DIAL_S)
            self._put(service, stream, said)

    async def _send_back(self, service: str, taken: socket.socket, said: bytes) -> None:
        asked = f"{SERVICE}: {service}"
        if said != NOTHING:
            asked += f"\r\n{CALLER}: {said.decode('ascii')}"
        back = _Back(lambda: self._dial(asked))
        with contextlib.suppress(OSError):
            await self._loop.connect_accepted_socket(lambda: Tunnel(back).client, taken)

    async def _dial(self, headers: str) -> Dialled:
        """A connection of which all that is said from now on is the client's, or for it."""
        asked = (
            f"GET {self._path} HTTP/1.1\r\nhost: {self._netloc}\r\nconnection: upgrade\r\n"
            f"upgrade: {PROTOCOL}\r\n{headers}\r\nauthorization: Bearer {self._token}\r\n"
            "\r\n"
        ).encode()
        dialled = await self._connect()
        try:
            if self._proxy is not None:
                await self._pass(dialled, self._proxy)
            if self._is_tls:
                return await self._encrypted(dialled, asked)
            await self._loop.sock_sendall(dialled, asked)
            return dialled, _said(await self._head(dialled))
        except BaseException:
            dialled.close()
            raise

    async def _pass(self, dialled: socket.socket, proxy: SplitResult) -> None:
        """Have a proxy lead to the control plane."""
        await self._loop.sock_sendall(dialled, passage(proxy, self._host, self._port))
        status = (await self._head(dialled)).split(b" ", 2)[1:2]
        if status != [b"200"]:
            raise Unreachable("the proxy does not lead to the control plane")

    async def _connect(self) -> socket.socket:
        host, port = self._host, self._port
        if self._proxy is not None:
            host, port = str(self._proxy.hostname), self._proxy.port or 80
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        failed: OSError = OSError(f"there is no {host}")
        for family, kind, proto, _, address in found:
            dialled = socket.socket(family, kind, proto)
            dialled.setblocking(False)
            try:
                for option in ALIVE:
                    dialled.setsockopt(*option)
                await self._loop.sock_connect(dialled, address)
            except OSError as error:
                dialled.close()
                failed = error
            else:
                return dialled
        raise failed

    async def _head(self, dialled: socket.socket) -> bytes:
        """The head of the answer, and no byte more: what follows is for the process."""
        while True:
            await self._readable(dialled)
            seen = dialled.recv(_MOST_HEAD, socket.MSG_PEEK)
            end = seen.find(b"\r\n\r\n")
            if end >= 0:
                return dialled.recv(end + 4)
            if not seen or len(seen) == _MOST_HEAD:
                raise Unreachable("the control plane has hung up")
            await asyncio.sleep(0.001)

    async def _readable(self, dialled: socket.socket) -> None:
        there = self._loop.create_future()
        self._loop.add_reader(dialled, lambda: there.done() or there.set_result(None))
        try:
            await there
        finally:
            self._loop.remove_reader(dialled)

    async def _encrypted(self, dialled: socket.socket, asked: bytes) -> Dialled:
        """The end of a pair, to the other of which all is passed on."""
        trust = ssl.create_default_context()
        reader, writer = await asyncio.open_connection(
            sock=dialled, ssl=trust, server_hostname=self._host
        )
        writer.write(asked)
        said = _said(await reader.readuntil(b"\r\n\r\n"))
        ours, theirs = socket.socketpair()
        own_reader, own_writer = await asyncio.open_connection(sock=ours)
        for one, other in ((reader, own_writer), (own_reader, writer)):
            task = self._loop.create_task(_pump(one, other))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        theirs.setblocking(False)
        return theirs, said


class _Back:
    """Where a connection that goes back gets its stream."""

    def __init__(self, dial: Callable[[], Coroutine[Any, Any, Dialled]]) -> None:
        self._dial = dial

    async def stream(self, link: Link) -> socket.socket:
        """A new one.

        Raises:
            Unreachable: there is none.
        """
        try:
            stream, _ = await asyncio.wait_for(self._dial(), DIAL_S)
        except (OSError, TimeoutError) as error:
            raise Unreachable(f"the control plane cannot be reached: {error}") from error
        return stream

    def left(self, link: Link) -> None:
        """It is gone."""


def _said(head: bytes) -> bytes:
    """What an answer says of the client whose connection it is from now on."""
    status, *headers = head.split(b"\r\n")
    if not status.startswith(b"HTTP/1.1 101"):
        raise Unreachable("the control plane does not take it")
    own = CALLER.encode()
    found = (header.partition(b":") for header in headers)
    return next((value.strip() or NOTHING for name, _, value in found if name == own), NOTHING)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_PIECE):
            writer.write(data)
            await writer.drain()
    if writer.can_write_eof() and not writer.is_closing():
        writer.write_eof()
    else:
        writer.close()
