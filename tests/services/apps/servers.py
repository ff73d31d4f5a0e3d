"""Functions that start servers of their own, for the tests to ask."""

from __future__ import annotations

import asyncio
import http.server
import os
import socketserver
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from apothic import App

app = App("servers")
VERSION = "{version}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Says which process and version it is, or streams."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/slow":
            Path(os.environ["GATE"]).read_bytes()
        body = f"{VERSION} {os.getpid()}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        left = int(self.headers["content-length"])
        while left:
            left -= len(self.rfile.read(min(left, 65536)))
        self.do_GET()

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        pass


class Closing:
    """A server with a `close()`, that leaves a word when it is called."""

    def __init__(self, server: socketserver.BaseServer) -> None:
        self.server = server

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        with Path(os.environ["CLOSED"]).open("a") as file:
            file.write(f"{VERSION}\n")


@app.web_server(18765)
def threads() -> Closing:
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 18765), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return Closing(server)


@app.web_server(18766)
def program() -> None:
    code = (
        "import http.server, sys\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.end_headers()\n"
        "        self.wfile.write(sys.argv[1].encode())\n"
        "http.server.ThreadingHTTPServer(('127.0.0.1', 18766), H).serve_forever()\n"
    )
    subprocess.Popen([sys.executable, "-c", code, VERSION])


@app.web_server(18767)
def stays() -> None:
    """A function that serves itself, and does not return."""
    http.server.ThreadingHTTPServer(("", 18767), Handler).serve_forever()


@app.web_server(18768)
async def sockets() -> Any:
    """WebSockets, on the loop of the service."""
    from websockets.asyncio.server import serve

    async def echo(connection: Any) -> None:
        async for message in connection:
            await connection.send(f"{VERSION} {message}")

    return await serve(echo, "localhost", 18768)


@app.web_server(18769)
async def echo() -> Any:
    """What ends with the half of the client."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 18769)


@app.web_server(18770, startup_timeout=0.3)
def elsewhere() -> None:
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 18771), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


@app.web_server(18772, startup_timeout=0.3)
def nowhere() -> None:
    pass


@app.web_server(18773)
def taken() -> None:
    """A program that cannot have the port."""
    code = "import socket, time; s = socket.create_server(('127.0.0.1', 18773)); time.sleep(60)"
    started = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    started.wait()


@app.web_server(18774)
def dies() -> None:
    """A server that takes nobody else once it was asked something."""

    class Once(Handler):
        def do_GET(self) -> None:
            server.socket.close()
            super().do_GET()

    server = http.server.HTTPServer(("127.0.0.1", 18774), Once)

    def serve() -> None:
        while server.socket.fileno() >= 0:
            server.handle_request()
            time.sleep(0)

    threading.Thread(target=serve, daemon=True).start()


@app.web_server(18775, startup_timeout=30.0)
def everywhere() -> None:
    """A program that listens at all addresses, as many do unless they are told where."""
    subprocess.Popen([sys.executable, "-m", "http.server", "18775"])


@app.web_server(18776, startup_timeout=0.3)
def beside() -> None:
    """One at the right port of an address that nobody looks at."""
    code = (
        "import socket, time\n"
        "s = socket.create_server(('127.0.0.3', 18776)); print('there', flush=True)\n"
        "time.sleep(600)"
    )
    started = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert started.stdout is not None
    started.stdout.readline()


@app.web_server(18777, service_startup_timeout_s=4.0)
def lingers() -> None:
    """A function that serves itself, at another port, and does not return."""
    http.server.ThreadingHTTPServer(("", 18778), Handler).serve_forever()
