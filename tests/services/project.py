"""A project on the disk, and what asks its services."""

from __future__ import annotations

import http.client
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from apothic import App
from apothic._connect import connect
from apothic_backends.commands.services import GetService, StartService, StopService
from apothic_backends.model.services import ServiceSnapshot

PATIENCE_S = 30.0


class Project:
    """Its program is one file, which declares the app `demo`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.undo = ExitStack()

    def caller(self, url: str | None) -> Caller:
        """A connection to a service, which is closed with the test."""
        assert url is not None, "it is not deployed"
        caller = Caller(url)
        self.undo.callback(caller.http.close)
        return caller

    def deploy(self, program: str) -> App:
        """Write the program, load it, and deploy what it declares."""
        path = self.root / "program.py"
        path.write_text(program)
        sys.modules["program"] = module = ModuleType("program")
        module.__file__ = str(path)
        exec(compile(program, str(path), "exec"), vars(module))
        app: App = module.__dict__["app"]
        app.deploy()
        return app

    def seen(self, name: str = "serve") -> ServiceSnapshot:
        """What is known of a service."""
        return connect().start(GetService(f"demo/{name}")).wait(PATIENCE_S)

    def start(self, name: str = "serve") -> ServiceSnapshot:
        """Have a process of it up."""
        return connect().start(StartService(f"demo/{name}", wait=True)).wait(PATIENCE_S)

    def stop(self, name: str = "serve") -> ServiceSnapshot:
        """Have all of it end."""
        return connect().start(StopService(f"demo/{name}", wait=True)).wait(PATIENCE_S)

    def until(self, is_so: Callable[[ServiceSnapshot], bool], name: str = "serve") -> None:
        """Wait for what is told of the service until something is so."""
        for _ in connect().watch(f"services:demo/{name}", None, snapshot=True):
            if is_so(self.seen(name)):
                return


class Caller:
    """One connection to a service, kept alive."""

    def __init__(self, url: str) -> None:
        self.address = urlsplit(url).netloc
        self.http = http.client.HTTPConnection(self.address, timeout=PATIENCE_S)

    def get(self, path: str = "/") -> str:
        return self.ask("GET", path)[1]

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        self.http.request(method, path, body, headers)
        response = self.http.getresponse()
        return response.status, response.read().decode()

    def begin(self, path: str) -> http.client.HTTPResponse:
        """A request whose answer is read piece by piece."""
        self.http.request("GET", path)
        return self.http.getresponse()


def get(url: str, path: str = "/") -> tuple[int, str]:
    """One request on a connection of its own."""
    caller = Caller(url)
    try:
        return caller.ask("GET", path)
    finally:
        caller.http.close()
