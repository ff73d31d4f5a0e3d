"""A server of HTTP that does to each request just what a test says, well or badly."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

PATIENCE_S = 20.0

Step = Callable[[socket.socket], None]


class Over(Exception):
    """The connection is closed now."""


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def answers(status: int, body: bytes | str | object = b"", **headers: str) -> Step:
    """An answer; what is neither bytes nor text is JSON."""
    if not isinstance(body, bytes | str):
        body = json.dumps(body)
    raw = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Because", f"Content-Length: {len(raw)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return lambda sock: sock.sendall("\r\n".join([*lines, "", ""]).encode() + raw)


def resets(sock: socket.socket) -> None:
    """The connection is torn."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise Over


def hangs_up(sock: socket.socket) -> None:
    """It ends where an answer should be."""
    raise Over


def breaks_off(sock: socket.socket) -> None:
    """A part of an answer comes."""
    sock.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id":')
    raise Over


def is_silent(sock: socket.socket) -> None:
    """Nothing comes, until the other side gives up."""
    sock.recv(1)
    raise Over


def drips(sock: socket.socket) -> None:
    """A byte comes after another, and they have no end."""
    with suppress(OSError):
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            sock.sendall(b"1\r\n[\r\n")


def floods(sock: socket.socket) -> None:
    """Ever more comes."""
    with suppress(OSError):
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            sock.sendall(b"10000\r\n" + b"[" * 0x10000 + b"\r\n")


class Rude:
    """Takes a step of `script` for each request; `asked` are those that came."""

    def __init__(self, *script: Step) -> None:
        self.script = list(script)
        self.asked: list[Request] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def count(self) -> int:
        return len(self.asked)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(OSError, Over):
            sock.settimeout(PATIENCE_S)
            with sock.makefile("rb") as reader:
                while (request := _read(reader)) is not None:
                    self.asked.append(request)
                    self.script.pop(0)(sock)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(PATIENCE_S)


def _read(reader: Any) -> Request | None:
    line = reader.readline().decode()
    if not line:
        return None
    method, path, _ = line.split(" ")
    headers: dict[str, str] = {}
    while (line := reader.readline().decode().strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Request(method, path, headers, reader.read(int(headers.get("content-length", "0"))))


@contextmanager
def rude(*script: Step) -> Generator[Rude]:
    server = Rude(*script)
    try:
        yield server
    finally:
        server.close()
