"""What it takes to bring a large file into a volume of a control plane, and back: on one machine.

Beside it, in each round, the same bytes are copied, sent to a plain HTTP server that writes them to
its disk, fetched from it, and hashed. `python benchmarks/volumes.py` takes a minute or two.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from apothic_backends.commands.volumes import FindVolume
from apothic_backends.remote.backend import open_remote
from apothic_backends.volumes.carrying import Carrier
from apothic_backends.volumes.far import FarVolumes

from stats import interval, ratios

MIB = 1 << 20
PEERS = {"put": "http put", "get": "http get"}

PLAIN = """
import http.server, os, sys

class Plain(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_): ...

    def do_PUT(self):
        left = int(self.headers["content-length"])
        with open("kept.new", "wb") as file:
            while left:
                left -= file.write(self.rfile.read(min(left, 1 << 20)))
            file.flush()
            os.fsync(file.fileno())
        os.rename("kept.new", "kept")
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", str(os.stat("kept").st_size))
        self.end_headers()
        with open("kept", "rb") as file:
            while data := file.read(1 << 20):
                self.wfile.write(data)

server = http.server.HTTPServer(("127.0.0.1", 0), Plain)
print(server.server_port, flush=True)
server.serve_forever()
"""

SERVE = "from apothic.cli import main; main()"


class Bench:
    """One file, both servers, and what each way takes."""

    def __init__(self, folder: Path, size_mib: int) -> None:
        self.folder, self.size_mib = folder, size_mib
        self.source = folder / "source"
        self.seconds: dict[str, list[float]] = {}
        key = f"apk_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"
        own = {"HOME": str(folder / "home"), "SECRETS_KEY": "file", "ADMIN_KEY": key}
        env = {**os.environ, **{f"APOTHIC_{name}": value for name, value in own.items()}}
        (folder / "home").mkdir(mode=0o700)
        (folder / "plain").mkdir()
        self.plain = subprocess.Popen(
            [sys.executable, "-c", PLAIN], cwd=folder / "plain", stdout=subprocess.PIPE, text=True
        )
        serve = [sys.executable, "-c", SERVE, "serve", "--port", "0", "--no-agent"]
        self.server = subprocess.Popen(
            serve, cwd=folder, env=env, stderr=subprocess.PIPE, text=True
        )
        assert self.plain.stdout is not None
        assert self.server.stderr is not None
        self.port = int(self.plain.stdout.readline())
        said = iter(self.server.stderr.readline, "")
        self.url = next(found[1] for it in said if (found := re.search(r"serving on (\S+)$", it)))
        self.backend = open_remote(self.url, key)

    def close(self) -> None:
        """End it all."""
        self.backend.close()
        for process in (self.plain, self.server):
            process.terminate()
            process.communicate()

    def round(self) -> None:
        """Each way once, with bytes that nobody has seen."""
        with self.source.open("wb") as file:
            for _ in range(self.size_mib):
                file.write(os.urandom(MIB))
        digest = self.timed("hash", self.hash)
        self.timed("cp", self.copy)
        self.timed("http put", self.send)
        self.timed("http get", self.fetch)
        head = self.backend.start(FindVolume("data", create="portable")).wait()
        carrier = Carrier(self.backend.start, "data", head.volume_id)
        self.timed("put", lambda: carrier.put({digest: self.source}))
        store = FarVolumes(self.backend.start, self.folder / "far", keeps=False).open("data")
        with store.staging() as staged, self.source.open("rb") as file:
            entry = self.timed("stage", lambda: staged.take(file.fileno()))
            how: dict[str, Any] = {"on_conflict": "last_write_wins"}
            self.timed("commit", lambda: store.commit(staged, {"it": entry}, {}, **how))
        self.timed("get", lambda: self.bring(carrier, digest))

    def timed(self, name: str, do: Callable[[], Any]) -> Any:
        """Do it, and note what it took."""
        begin = time.perf_counter()
        result = do()
        self.seconds.setdefault(name, []).append(time.perf_counter() - begin)
        return result

    def hash(self) -> str:
        """What names the content."""
        with self.source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def copy(self) -> None:
        """To another file, until it is on the disk."""
        with self.source.open("rb") as file:
            self.keep(file)

    def send(self) -> None:
        """To the plain server."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, blocksize=MIB)) as line:
            size = {"content-length": str(self.source.stat().st_size)}
            with self.source.open("rb") as file:
                line.request("PUT", "/", body=file, headers=size)
            assert line.getresponse().status == 200

    def fetch(self) -> None:
        """From the plain server."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port)) as line:
            line.request("GET", "/")
            self.keep(line.getresponse())

    def bring(self, carrier: Carrier, digest: str) -> None:
        """From the volume."""
        goal = self.folder / "brought"
        for _, path in carrier.get({digest: self.size_mib * MIB}, lambda: goal):
            with path.open("rb") as file:
                os.fsync(file.fileno())
        assert goal.stat().st_size == self.size_mib * MIB
        goal.unlink()

    def keep(self, source: Any) -> None:
        """Write all of it to the disk."""
        goal = self.folder / "kept"
        with goal.open("wb") as file:
            shutil.copyfileobj(source, file, MIB)
            file.flush()
            os.fsync(file.fileno())
        goal.unlink()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="volumes-") as folder:
        bench = Bench(Path(folder), given.size_mib)
        with closing(bench):
            for _ in range(given.rounds + 1):
                bench.round()
    seconds = {name: values[1:] for name, values in bench.seconds.items()}  # the first one warms up
    print("| | ms | MiB/s |\n|---|---|---|")
    for name, values in seconds.items():
        found = interval(values)
        shown = f"{1000 * found.median:,.0f} [{1000 * found.low:,.0f}-{1000 * found.high:,.0f}]"
        print(f"| {name} | {shown} | {given.size_mib / found.median:,.0f} |")
    for ours, theirs in PEERS.items():
        found = interval(ratios(seconds[ours], seconds[theirs]))
        print(f"{ours}: {found.median:.2f} [{found.low:.2f}-{found.high:.2f}] of {theirs}")


if __name__ == "__main__":
    main()
