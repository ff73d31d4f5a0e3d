"""Plain uvicorn, with uvloop and httptools."""

from __future__ import annotations

import subprocess
import sys
import threading

from subjects.project import Project


class Uvicorn:
    """A server of the same programs, in a process of its own."""

    def __init__(self) -> None:
        self.project = Project()
        self._servers: dict[str, tuple[subprocess.Popen[str], str]] = {}

    def _serve(self, app: str, *options: str) -> str:
        """Where it answers."""
        if app not in self._servers:
            words = ["uvicorn", app, "--port", "0", "--no-access-log", "--loop", "uvloop"]
            server = subprocess.Popen(
                [sys.executable, "-m", *words, "--http", "httptools", *options],
                cwd=self.project.root,
                stderr=subprocess.PIPE,
                text=True,
            )
            assert server.stderr is not None
            url = next(_url(line) for line in server.stderr if "running on" in line)
            threading.Thread(target=server.stderr.read, daemon=True).start()
            self._servers[app] = server, url
        return self._servers[app][1]

    def url(self) -> str:
        """Where the page answers."""
        return self._serve("page:plain")

    def developed(self) -> str:
        """Where the program that is worked on answers, and is taken up again as it is saved."""
        return self._serve("science:web", "--reload")

    def close(self) -> None:
        """Stop all."""
        for server, _ in self._servers.values():
            server.terminate()
            server.wait()
        self.project.close()


def _url(line: str) -> str:
    return next(word for word in line.split() if word.startswith("http://"))


def open_subject(workers: int) -> Uvicorn:
    """Uvicorn, with one process, whatever is asked for."""
    del workers
    return Uvicorn()
