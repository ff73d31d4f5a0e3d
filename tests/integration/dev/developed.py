"""`apothic dev` in a process of its own, in a project of its own, and what it says."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

PATIENCE_S = 60.0
END: dict[str, Any] = {"event": "end"}

PROGRAM = """
from apothic import App, Queue

app = App("demo")


@app.function()
def greet(name: str) -> str:
    return f"WORD, {name}"


@app.endpoint()
def page() -> str:
    return "WORD"
"""


def environment(home: Path, **more: str) -> dict[str, str]:
    """That of a shell: nothing of the tests that run, or of other control planes."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("APOTHIC_", "PYTEST_"))}
    return {**kept, "APOTHIC_HOME": str(home), **more}


class Project:
    """A folder with a program, `app.py`."""

    def __init__(self, place: Path) -> None:
        self.root = place / "project"
        self.home = place / "home"
        self.root.mkdir()
        (self.root / "pyproject.toml").touch()
        self.save("Hello")

    def save(self, word: str, program: str = PROGRAM, path: str = "app.py") -> None:
        """Have the program be another, all at once, as editors do that write beside it first."""
        beside = self.root.parent / "beside"
        beside.write_text(program.replace("WORD", word), "utf-8")
        beside.replace(self.root / path)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """The same while it goes on."""
        return subprocess.Popen(
            [sys.executable, "-m", "apothic.cli", *words],
            cwd=self.root,
            env=environment(self.home),
            stdout=subprocess.PIPE,
            text=True,
        )

    def cli(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """What `apothic` says in another terminal, in the project."""
        return subprocess.run(
            [sys.executable, "-m", "apothic.cli", *words],
            cwd=self.root,
            env=environment(self.home, **more),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )


class Dev:
    """One that runs; what it says is read line by line."""

    def __init__(
        self, project: Project, *options: str, target: str = "app.py", **more: str
    ) -> None:
        self.project = project
        self._events: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self.urls: dict[str, str] = {}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "apothic.cli", "dev", target, "--json", *options],
            cwd=project.root,
            env=environment(project.home, **more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            threading.Thread(target=each, daemon=True) for each in (self._read, self._read_errors)
        ]
        self.errors: list[str] = []
        for reader in self._readers:
            reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._events.put(json.loads(line))
        self._events.put(END)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    def until(self, event: str, **fields: Any) -> dict[str, Any]:
        """Wait for it to say something."""
        seen: list[Any] = []
        while True:
            try:
                said = self._events.get(timeout=PATIENCE_S)
            except Empty:
                raise AssertionError(f"no {event} {fields} in {seen} {self.errors}") from None
            seen.append(said)
            if said["event"] == "serves" and said["kind"] != "function":
                self.urls[said["name"]] = said["url"]
            if said["event"] == event and all(said.get(k) == v for k, v in fields.items()):
                return said
            assert said is not END, f"ended without {event} {fields}: {seen} {self.errors}"

    def ask(self, path: str = "/", service: str = "page") -> str:
        """What a service answers."""
        connection = http.client.HTTPConnection(
            urlsplit(self.urls[service]).netloc, timeout=PATIENCE_S
        )
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def until_it_answers(self, wanted: str) -> None:
        """Ask until the answer is this: the process before takes connections for a moment more."""
        end = time.monotonic() + PATIENCE_S
        while (told := self.ask()) != wanted:
            assert time.monotonic() < end, f"{told}, and not {wanted}"

    def end(self, number: int = signal.SIGINT) -> int:
        """Have it end; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        for reader in self._readers:
            reader.join(PATIENCE_S)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return code


@contextmanager
def developing(
    project: Project, *options: str, target: str = "app.py", **more: str
) -> Generator[Dev]:
    """One for the block."""
    dev = Dev(project, *options, target=target, **more)
    try:
        yield dev
    finally:
        dev.end()
