"""Apothic behind `apothic serve`: another process with a durable store, over one connection."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import work


class Served:
    """A server, a client in this program, and workers below the server."""

    def __init__(self, workers: int) -> None:
        import apothic  # noqa: PLC0415 - only apothic needs these
        from apothic_backends.connection import use  # noqa: PLC0415
        from apothic_backends.remote.backend import open_remote  # noqa: PLC0415

        self._folder = tempfile.TemporaryDirectory()
        home = Path(self._folder.name)
        self._server = subprocess.Popen(
            [sys.executable, "-m", "apothic.cli", "serve", "--port", "0"],
            cwd=home,
            env={**os.environ, "APOTHIC_HOME": str(home), "APOTHIC_STATE": "sqlite"},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._server.stderr is not None
        url = next(line.split()[-1] for line in self._server.stderr if "serving on" in line)
        self._backend = open_remote(url, (home / "server" / "admin.key").read_text().strip())
        use(self._backend)
        app = apothic.App("benchmarks")

        def noop(item: object = None) -> None:
            """As that of `work`, which the workers of a server cannot import."""

        self._noop: Any = app.function(max_containers=workers)(noop)
        self._held = self._hold()
        self.map(2 * workers)

    def _hold(self) -> str:
        """A function whose jobs wait behind one that does not end."""
        import cloudpickle  # noqa: PLC0415 - as above
        from apothic_backends.commands import RegisterFunction, SubmitJob  # noqa: PLC0415
        from apothic_backends.model.functions import FunctionSpec  # noqa: PLC0415
        from apothic_backends.model.payloads import Payload  # noqa: PLC0415

        spec = FunctionSpec("benchmarks", "hold", max_pending_tasks=10_000_000)
        code = Payload(cloudpickle.dumps(lambda _: time.sleep(3600)))
        held = self._backend.start(RegisterFunction(spec, code)).wait()
        first = Payload(cloudpickle.dumps(((0,), {})))
        for _ in range(64):  # one runs, and those that it takes ahead
            self._backend.start(SubmitJob(held, first)).wait()
        return held

    def call(self) -> None:
        """Run the no-op there and wait for it."""
        self._noop.remote(0)

    def map(self, count: int) -> None:
        """Run that many no-ops, each its own job, and collect the results."""
        self._noop.map(range(count))

    def submit(self, count: int) -> float:
        """Seconds until so many jobs are on disk there, all asked for at once."""
        from apothic_backends.commands import SubmitJob  # noqa: PLC0415 - as above
        from apothic_backends.model.payloads import Payload  # noqa: PLC0415

        before = time.perf_counter()
        asked = [Payload(work.RECORD % n) for n in range(count)]
        for ticket in [self._backend.start(SubmitJob(self._held, it)) for it in asked]:
            ticket.wait()
        return time.perf_counter() - before

    def close(self) -> None:
        """Stop both."""
        self._backend.close()
        self._server.kill()  # it would wait for the job that is held
        self._server.wait()


def open_subject(workers: int) -> Served:
    """Start a server."""
    return Served(workers)
