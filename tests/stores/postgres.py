"""A private PostgreSQL server in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


def programs() -> Path | None:
    """The folder with `initdb` and `pg_ctl`, wherever the distribution puts it."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    there = found[-1] if found else shutil.which("initdb")
    return Path(there).parent if there else None


class Server:
    """One server, reached through a socket in its folder."""

    def __init__(self, folder: Path, bin_: Path, *options: str) -> None:
        self.folder, self._bin, self._options = folder, bin_, options
        self.url = f"postgresql://apothic@/postgres?host={folder}"

    def create(self) -> None:
        """Make its files. The server refuses to be root, so root makes them somebody else's."""
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        data = f"{self.folder}/data"
        self._run("initdb", "-U", "apothic", "-A", "trust", "--no-sync", "-D", data)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ["-k", str(self.folder), "-h", "", *self._options]
        log = f"{self.folder}/log"
        self._run(
            "pg_ctl",
            "start",
            "-w",
            "-D",
            f"{self.folder}/data",
            "-l",
            log,
            "-o",
            " ".join(f"'{option}'" for option in options),
        )

    def stop(self, mode: str = "immediate") -> None:
        """Stop it, as if power was lost unless told otherwise."""
        self._run("pg_ctl", "stop", "-w", "-m", mode, "-D", f"{self.folder}/data")

    def _run(self, program: str, *args: str) -> None:
        who = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        command = [str(self._bin / program), *args]
        subprocess.run(
            [*(who if os.getuid() == 0 else []), *command],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )


@contextmanager
def serving(*options: str) -> Generator[Server]:
    """A server that runs for as long as this does."""
    bin_ = programs()
    assert bin_ is not None, "PostgreSQL is not installed: apt-get install postgresql"
    with tempfile.TemporaryDirectory(prefix="apothic-pg-", dir="/tmp") as name:
        server = Server(Path(name), bin_, *options)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()
