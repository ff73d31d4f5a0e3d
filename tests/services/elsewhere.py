"""A server that others than this machine reach, and what asks its services."""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import trustme

from apothic_backends.commands.services import GetService, StopService
from apothic_backends.connection import use
from apothic_backends.remote.address import address_of
from apothic_backends.remote.backend import RemoteBackend
from apothic_backends.remote.connection import Connection
from tests.server.served import Served
from tests.services.second import Second

PATIENCE_S = 20.0

PROGRAM = """
import json
from apothic import App

app = App("demo")

async def serving(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError("it knows none")
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (said := await receive())["type"] == "websocket.receive":
            told = json.dumps([said["text"], scope["scheme"], scope["client"][0]])
            await send({"type": "websocket.send", "text": told})
        return
    body, more = b"", True
    while more:
        came = await receive()
        body, more = body + came.get("body", b""), came.get("more_body", False)
    told = {key: scope[key] for key in ("client", "scheme", "path", "method")}
    told["headers"] = [[name.decode(), value.decode()] for name, value in scope["headers"]]
    told["body"] = body.decode()
    told["startup_log_tail"] = "at " + scope["path"]
    if scope["path"] == "/away":
        at = {"type": "http.response.start", "status": 302, "headers": [(b"location", b"/there")]}
        await send(at)
        await send({"type": "http.response.body"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})

@app.asgi()
def web():
    return serving

@app.asgi(public=True)
def anybody():
    return serving

@app.asgi()
def asleep():
    return serving
"""


class Seen(NamedTuple):
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> Any:
        return json.loads(self.body)

    @property
    def passed(self) -> dict[str, str]:
        """The headers that the application has got."""
        return dict(self.told["headers"])


class Elsewhere:
    """It listens at all addresses, over TLS; with `agents` those run what is deployed."""

    def __init__(self, folder: Path, *options: str, agents: int = 0) -> None:
        self.folder = folder
        said = ("--host", "0.0.0.0", "--allow-host", "localhost", *self._certificate(), *options)
        self._before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = str(self.trusted)
        self._second = Second(folder, *said, agents=agents, at="127.0.0.1") if agents else None
        if self._second is None:
            (folder / "server").mkdir()
            self.server = Served(folder / "server", *said)
            self.server.host = "127.0.0.1"
        else:
            self.server = self._second.server
        self.backend = RemoteBackend(Connection(address_of(self.server.url), self.server.token))
        self.tls = ssl.create_default_context(cafile=str(self.trusted))

    def _certificate(self) -> tuple[str, ...]:
        authority = trustme.CA()
        leaf = authority.issue_cert("127.0.0.1", "localhost")
        self.trusted = self.folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.trusted))
        cert, key = self.folder / "cert.pem", self.folder / "key.pem"
        key.touch(mode=0o600)
        leaf.private_key_pem.write_to_path(str(key))
        cert.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        return ("--tls-cert", str(cert), "--tls-key", str(key))

    def deploy(self, program: str = PROGRAM) -> None:
        """Make the program live."""
        path = self.folder / "shown_elsewhere.py"
        path.write_text(program)
        sys.modules["shown_elsewhere"] = module = ModuleType("shown_elsewhere")
        module.__file__ = str(path)
        before, here = use(self.backend), Path.cwd()
        os.chdir(self.folder)
        sys.path.insert(0, str(self.folder))
        try:
            exec(compile(program, str(path), "exec"), vars(module))
            module.__dict__["app"].deploy()
        finally:
            sys.path.remove(str(self.folder))
            os.chdir(here)
            use(before)

    def call(self, command: str, token: str = "", **fields: Any) -> Seen:
        """What the server itself answers to a command, which is its operator's own."""
        connection = HTTPSConnection(
            "127.0.0.1", self.server.port, context=self.tls, timeout=PATIENCE_S
        )
        key = f"Bearer {token or self.server.token}"
        body = json.dumps(fields).encode()
        try:
            kind = {"content_type": "application/json", "authorization": key}
            return asked(connection, "POST", f"/v1/{command}", body, **kind)
        finally:
            connection.close()

    def key(self, *scopes: str, **fields: Any) -> tuple[str, str]:
        """A new key: its id, and its token."""
        made = self.call("create-api-key", scopes=list(scopes), **fields).told["reply"]
        return made["key"]["key_id"], made["token"]

    def revoke(self, key_id: str) -> None:
        """Have a key hold no more."""
        assert self.call("revoke-api-key", key_id=key_id).status == 200

    def seen(self, service: str) -> Any:
        """What is known of a service."""
        return self.backend.start(GetService(f"demo/{service}")).wait(PATIENCE_S)

    def stop(self, service: str) -> Any:
        """Have all of it end."""
        return self.backend.start(StopService(f"demo/{service}", wait=True)).wait(PATIENCE_S)

    def url(self, service: str) -> str:
        url: str = self.seen(service).url
        return url

    def connect(self, service: str) -> HTTPSConnection:
        """A connection, as clients make it who trust the authority alone."""
        at = urlsplit(self.url(service)).netloc
        return HTTPSConnection(at, context=self.tls, timeout=PATIENCE_S)

    def ask(
        self, service: str, method: str = "GET", path: str = "/", body: Any = None, **said: str
    ) -> Seen:
        """One request on a connection of its own; a key is said by `key=`."""
        connection = self.connect(service)
        try:
            return asked(connection, method, path, body, **said)
        finally:
            connection.close()

    def raw(self, service: str, *pieces: bytes) -> bytes:
        """All that comes for exactly these bytes."""
        with self.open(service) as sock:
            for piece in pieces:
                sock.sendall(piece)
            return everything(sock)

    def open(self, service: str) -> ssl.SSLSocket:
        """A connection that speaks TLS, and has said nothing yet."""
        at = urlsplit(self.url(service))
        plain = socket.create_connection(("127.0.0.1", at.port or 0), PATIENCE_S)
        return self.tls.wrap_socket(plain, server_hostname="localhost")

    def close(self) -> None:
        """All of it ends."""
        self.backend.close()
        (self.server if self._second is None else self._second).close()
        sys.modules.pop("shown_elsewhere", None)
        if self._before is None:
            del os.environ["SSL_CERT_FILE"]
        else:
            os.environ["SSL_CERT_FILE"] = self._before


def asked(
    connection: HTTPSConnection, method: str, path: str, body: Any = None, **said: str
) -> Seen:
    """The answer to a request."""
    headers = {name.replace("_", "-"): value for name, value in said.items()}
    if "key" in headers:
        headers["apothic-key"] = headers.pop("key")
    connection.request(method, path, body, headers)
    response: HTTPResponse = connection.getresponse()
    got = {name.lower(): value for name, value in response.getheaders()}
    return Seen(response.status, got, response.read())


def everything(sock: ssl.SSLSocket) -> bytes:
    """All that comes until the other side ends."""
    got = b""
    try:
        while piece := sock.recv(65536):
            got += piece
    except ConnectionResetError:
        pass
    return got
