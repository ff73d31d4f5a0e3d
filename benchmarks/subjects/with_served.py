"""Apothic behind `apothic serve`: another process with a durable store, over one connection."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import work


class Served:
    """A server, a client in this program, and workers below the server."""

    def __init__(self, workers: int, *options: str) -> None:
        import apothic  # noqa: PLC0415 - only apothic needs these
        from apothic_backends.connection import use  # noqa: PLC0415
        from apothic_backends.remote.backend import open_remote  # noqa: PLC0415

        self._folder = tempfile.TemporaryDirectory()
        self.home = Path(self._folder.name)
        self._server = self._run("serve", "--port", "0", "--limit", "connections=1000", *options)
        assert self._server.stderr is not None
        self.url = next(line.split()[-1] for line in self._server.stderr if "serving on" in line)
        threading.Thread(target=self._server.stderr.read, daemon=True).start()
        self.token = (self.home / "server" / "admin.key").read_text().strip()
        self._http = http.client.HTTPConnection(self.url.rpartition("/")[2])
        self._join()
        self._backend = open_remote(self.url, self.token)
        use(self._backend)
        app = apothic.App("benchmarks")

        def noop(item: object = None) -> None:
            """As that of `work`, which the workers of a server cannot import."""

        self._noop: Any = app.function(max_containers=workers)(noop)
        self._held = self._hold()
        self.map(2 * workers)
        code = {"codec": "ref", "data": "builtins:int"}
        spec = {"app_name": "benchmarks", "name": "int"}
        self._int = self.post("register-function", spec=spec, code=code)

    def _run(self, *words: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "apothic.cli", *words],
            cwd=self.home,
            env={**os.environ, "APOTHIC_HOME": str(self.home), "APOTHIC_STATE": "sqlite", **more},
            stderr=subprocess.PIPE,
            text=True,
        )

    def _join(self) -> None:
        """Have machines join that run what is called."""

    def _hold(self) -> str:
        """A function whose jobs wait behind one that does not end."""
        held = self.register("hold", lambda _: time.sleep(3600))
        for _ in range(64):  # one runs, and those that it takes ahead
            self.submit_to(held)
        return held

    def register(self, name: str, function: Any, **options: Any) -> str:
        """Make a function known; its id."""
        import cloudpickle  # noqa: PLC0415 - as above
        from apothic_backends.commands import RegisterFunction  # noqa: PLC0415
        from apothic_backends.model.functions import FunctionSpec  # noqa: PLC0415
        from apothic_backends.model.payloads import Payload  # noqa: PLC0415

        spec = FunctionSpec("benchmarks", name, max_pending_tasks=10_000_000, **options)
        code = Payload(cloudpickle.dumps(function))
        return self._backend.start(RegisterFunction(spec, code)).wait()

    def submit_to(self, function: str) -> str:
        """Queue a call of it; the job's id."""
        import cloudpickle  # noqa: PLC0415 - as above
        from apothic_backends.commands import SubmitJob  # noqa: PLC0415
        from apothic_backends.model.payloads import Payload  # noqa: PLC0415

        arguments = Payload(cloudpickle.dumps(((0,), {})))
        return self._backend.start(SubmitJob(function, arguments)).wait()

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

    def post(self, command: str, **fields: Any) -> Any:
        """Ask as a shell does, over a connection of its own."""
        self._http.close()  # it opens again by itself
        return self._ask(command, fields)

    def _ask(self, command: str, fields: dict[str, Any]) -> Any:
        head = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        self._http.request("POST", f"/v1/{command}", json.dumps(fields), head)
        return json.load(self._http.getresponse())["reply"]

    def posts(self, count: int) -> list[float]:
        """Seconds for each of so many no-ops that are run by a POST, over one connection."""
        self._http.close()
        taken: list[float] = []
        for _ in range(count):
            before = time.perf_counter()
            self._ask("run-job", {"function_id": self._int, "arguments": {"data": {}}})
            taken.append(time.perf_counter() - before)
        return taken

    def put_keys(self, name: str, count: int, nbytes: int) -> None:
        """Write a key of a dict so many times, pipelined."""
        from apothic_backends.commands.dicts import PutKey  # noqa: PLC0415 - as above
        from apothic_backends.model.payloads import Payload  # noqa: PLC0415

        put = PutKey(name, '"key"', Payload(b"x" * nbytes), create=True)
        for ticket in [self._backend.start(put) for _ in range(count)]:
            ticket.wait()

    def place(self, topic: str) -> tuple[str, int]:
        """The position after the latest event of a topic."""
        from apothic_backends.commands import ReadEvents  # noqa: PLC0415 - as above

        here = self._backend.start(ReadEvents(topic, limit=0)).wait().cursor
        return here.epoch, here.seq

    @property
    def server(self) -> int:
        """The process of the server."""
        return self._server.pid

    def close(self) -> None:
        """Stop all."""
        self._http.close()
        self._backend.close()
        self._server.kill()  # it would wait for the job that is held
        self._server.wait()


def open_subject(workers: int) -> Served:
    """Start a server."""
    return Served(workers)
