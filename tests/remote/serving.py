"""A server in a thread of this process: any number of control planes, each behind its own key."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import uvicorn

from apothic_backends.remote import frames
from apothic_backends.remote.address import address_of
from apothic_backends.remote.backend import RemoteBackend
from apothic_backends.remote.connection import Connection
from apothic_emulator.host.joining import serve_agent
from apothic_emulator.server.agents import Socket
from apothic_emulator.server.sessions import Sessions
from tests.remote.proxy import Faults, Proxy
from tests.warm import WarmHost, opened

AGENT_PATH = "/v1/agent"


class Served:
    """One control plane that can be reached with a key."""

    def __init__(self, folder: Path | None, grace_s: float, **how: Any) -> None:
        commits = None if folder is None else opened("sqlite", folder, "served")
        self.host = WarmHost(commits=commits, **how)
        self.sessions = Sessions(self.host, grace_s=grace_s)


class Server:
    """Listens on a free port of this machine; `planes` are those there are, by key."""

    def __init__(self) -> None:
        self.planes: dict[str, Served] = {}
        self.joined: dict[str, Served] = {}
        """What agents join, by their keys."""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            ws="websockets-sansio",
            ws_max_size=frames.MOST_BYTES,
            ws_ping_interval=frames.PING_S,
            ws_ping_timeout=frames.PING_S,
            ws_per_message_deflate=False,
            log_level="warning",
            lifespan="off",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="test-server", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        shown = dict(scope["headers"]).get(b"authorization", b"").decode()
        key, path = shown.removeprefix("Bearer "), scope["path"]
        served = self.joined.get(key) if path == AGENT_PATH else self.planes.get(key)
        if served is None or path not in (AGENT_PATH, frames.CLIENT_PATH):
            status = 401 if served is None else 404
            await send({"type": "websocket.http.response.start", "status": status, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b""})
        elif path == AGENT_PATH:
            await _join(receive, send, served)
        else:
            await served.sessions.serve(receive, send)

    def serve(
        self,
        key: str,
        folder: Path | None = None,
        grace_s: float = 60.0,
        **how: Any,
    ) -> Served:
        """Another control plane, with a store if it gets a folder; `how` is for its host."""
        self.planes[key] = served = Served(folder, grace_s, **how)
        return served

    def end(self, key: str) -> None:
        """One of them ends."""
        self.planes.pop(key).host.close()

    def close(self) -> None:
        """All of it ends."""
        for key in list(self.planes):
            self.end(key)
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()


async def _join(receive: Any, send: Any, served: Served) -> None:
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    socket = Socket(receive, send)
    await serve_agent(socket, served.host)
    await socket.close(1000, "")


@cache
def server() -> Server:
    """The one server of this process; it ends with it."""
    return Server()


class ServedBackend(RemoteBackend):
    """A backend with a control plane of its own, which ends with it, in the very same files."""

    shares_files = True

    def __init__(self, at: Server, key: str, url: str, end: Callable[[], object]) -> None:
        self._server, self._key = at, key
        self._host = at.planes[key].host
        self._end = end
        super().__init__(Connection(address_of(url), key))

    def close(self) -> None:
        """Hang up, and end what was there for it."""
        super().close()
        if self._key in self._server.planes:
            self._end()


_seeds = count()


def open_served(folder: Path, faults: Faults | None = None) -> ServedBackend:
    """The `remote` backend over a server with a store, through a proxy if that is to do harm."""
    seed = next(_seeds)
    below = folder / f"served-{seed}"
    below.mkdir()
    at, key = server(), secrets.token_hex(8)
    at.serve(key, below)
    proxy = None if faults is None else Proxy(at.port, faults, seed)

    def end() -> None:
        at.end(key)
        if proxy is not None:
            proxy.close()

    return ServedBackend(at, key, at.url if proxy is None else proxy.url, end)
