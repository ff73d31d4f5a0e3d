"""Services of apothic: of this program's own control plane, and of `apothic dev`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from types import ModuleType
from typing import Any

from subjects.project import Project


class Services:
    """The page is deployed from this process."""

    def __init__(self) -> None:
        self.project = Project()
        os.environ["APOTHIC_HOME"] = str(self.project.home)
        os.chdir(self.project.root)
        sys.path.insert(0, str(self.project.root))
        self._dev: subprocess.Popen[str] | None = None
        self._app: Any = None

    def deploy(self, version: str) -> None:
        """Deploy a version of the page."""
        self.project.write("page.py", version)
        path = self.project.root / "page.py"
        module = sys.modules["page"] = ModuleType("page")
        module.__file__ = str(path)
        exec(compile(path.read_text(), str(path), "exec"), vars(module))  # noqa: S102 - our own
        self._app = vars(module)["app"]
        self._app.deploy()

    def url(self, name: str = "serve") -> str:
        """Where the page answers."""
        if self._app is None:
            self.deploy("0")
        return str(self._app.functions[name].service_url)

    def snapshot(self, name: str) -> Any:
        """What is known of a service."""
        from apothic._connect import connect  # noqa: PLC0415 - only apothic needs these
        from apothic_backends.commands.services import GetService  # noqa: PLC0415

        return connect().start(GetService(f"page/{name}")).wait()

    def stop(self) -> None:
        """Stop the page, and wait until all of it has ended."""
        from apothic._connect import connect  # noqa: PLC0415 - as above
        from apothic_backends.commands.services import StopService  # noqa: PLC0415

        connect().start(StopService("page/serve", wait=True)).wait()

    def start(self) -> str:
        """Start it again."""
        from apothic._connect import connect  # noqa: PLC0415 - as above
        from apothic_backends.commands.services import StartService  # noqa: PLC0415

        return str(connect().start(StartService("page/serve", wait=True)).wait().url)

    def developed(self) -> str:
        """Where the program that is worked on answers, and is deployed as it is saved."""
        if self._dev is None:
            self._dev = subprocess.Popen(
                [sys.executable, "-m", "apothic.cli", "dev", "science.py", "--json"],
                cwd=self.project.root,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert self._dev.stdout is not None
            told = map(json.loads, self._dev.stdout)
            self._developed = next(it["url"] for it in told if it["event"] == "serves")
            threading.Thread(target=self._dev.stdout.read, daemon=True).start()
        return self._developed

    def close(self) -> None:
        """Stop all."""
        if self._dev is not None:
            self._dev.terminate()
            self._dev.wait()
        self.project.close()


def open_subject(workers: int) -> Services:
    """Services, with one process each, whatever is asked for."""
    del workers
    return Services()
