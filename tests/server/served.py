"""A server in a process of its own, and requests to it exactly as they are written."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

PATIENCE_S = 20.0

_MAIN = "from apothic.cli import main; main()"

_sources = itertools.count(2)


class Answer(NamedTuple):
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of the error that it tells of."""
        return str(self.json["error"]["code"])


class Served:
    """`apothic serve` in a process of its own."""

    def __init__(
        self,
        home: Path,
        *options: str,
        port: int = 0,
        state: str = "sqlite",
        before: str = "",
        env: Mapping[str, str] | None = None,
        **how: Any,
    ) -> None:
        """`before` is run in the process first; `how` is how it is started, as what user."""
        own = {"APOTHIC_HOME": str(home), "APOTHIC_STATE": state, **(env or {})}
        self.home = home
        self.said: list[str] = []
        self._is_up = threading.Event()
        self.process = subprocess.Popen(
            [sys.executable, "-c", before + _MAIN, "serve", "--port", str(port), *options],
            cwd=home,
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            **how,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._is_up.wait(PATIENCE_S)
        found = re.search(r"serving on (https?)://(.+):(\d+)$", self.said[-1] if self.said else "")
        assert found, self.text
        self.scheme, self.host, self.port = found[1], found[2], int(found[3])

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip("\n"))
            if "serving on" in line:
                self._is_up.set()
        self._is_up.set()

    @property
    def text(self) -> str:
        """All that it has said."""
        return "\n".join(self.said)

    @property
    def own_host(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.own_host}"

    @property
    def token(self) -> str:
        """The key of its operator."""
        return (self.home / "server" / "admin.key").read_text().strip()

    def raw(self, request: bytes) -> Answer:
        """The response to exactly these bytes.

        They come from an address of their own, so that no request pays for the failures of others.
        """
        with socket.create_connection((self.host, self.port), PATIENCE_S, self._source()) as sock:
            sock.sendall(request)
            response = http.client.HTTPResponse(sock, method=request.partition(b" ")[0].decode())
            response.begin()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())

    def _source(self) -> tuple[str, int]:
        number = next(_sources)
        is_loopback = self.host.startswith("127.")
        return (f"127.0.{number >> 8 & 255}.{number & 255}" if is_loopback else "", 0)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: Iterable[tuple[str, str]] = (),
        token: str | None = "",
        host: str | None = None,
    ) -> Answer:
        """The response to a request; with the operator's key unless another or None is said."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host or self.own_host}", "Connection: close"]
        if token is not None:
            lines.append(f"Authorization: Bearer {token or self.token}")
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name}: {value}" for name, value in headers]
        return self.raw("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))

    def call(self, command: str, token: str = "", /, **fields: Any) -> Answer:
        """The response to a command."""
        body = json.dumps(fields).encode()
        kind = [("Content-Type", "application/json")]
        return self.ask("POST", f"/v1/{command}", body, headers=kind, token=token)

    def reply(self, command: str, token: str = "", /, **fields: Any) -> Any:
        """The reply to a command that is carried out."""
        answer = self.call(command, token, **fields)
        assert answer.status == 200, answer
        return answer.json["reply"]

    def key(self, *scopes: str, **fields: Any) -> str:
        """A token of a new key."""
        return str(self.reply("create-api-key", scopes=list(scopes), **fields)["token"])

    def cli(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """What `apothic` says to its operator."""
        return cli(self.home, *words, **environment)

    def program(self, folder: Path, text: str, token: str = "") -> subprocess.Popen[str]:
        """A program that runs in this home, with its operator's key unless another is said."""
        (folder / "program.py").write_text(text)
        own = {
            "APOTHIC_BACKEND": self.url,
            "APOTHIC_TEST_BACKEND": self.url,
            "APOTHIC_API_KEY": token or self.token,
            "APOTHIC_HOME": str(folder / "home"),
        }
        return subprocess.Popen(
            [sys.executable, "program.py"],
            cwd=folder,
            env={**os.environ, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(signum)
        code = self.process.wait(PATIENCE_S)
        self._listener.join()
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.stop()
        self._listener.join()
        assert self.process.stderr is not None
        self.process.stderr.close()


def cli(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `apothic` says to the user of that home."""
    return subprocess.run(
        [sys.executable, "-m", "apothic.cli", *words],
        cwd=home,
        env={**os.environ, "APOTHIC_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def served(home: Path, *options: str, port: int = 0, **how: Any) -> Generator[Served]:
    """A server for the block."""
    server = Served(home, *options, port=port, **how)
    try:
        yield server
    finally:
        server.close()
