"""An app of services that is deployed, and how it is asked."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from apothic import App
from apothic_backends.commands.services import GetService

TRIES = 5000
"""How often it is looked whether something has come that is on its way."""

APPS = Path(__file__).parent / "apps"


def port_of(number: int) -> int:
    """What stands for a port of the programs here: tests run beside others of their kind."""
    return number + 100 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])


class Answer(NamedTuple):
    """What a service has answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """What its body says."""
        return json.loads(self.body)


class Served:
    """An app that is deployed."""

    def __init__(self, root: Path, name: str, backend: Any) -> None:
        self.root = root
        self.backend = backend
        self._name = name
        self.app: App = App("none")

    def deploy(self, version: str = "1") -> None:
        """Make it live at a version."""
        text = (APPS / f"{self._name}.py").read_text("utf-8")
        text = re.sub(r"\b187\d\d\b", lambda port: str(port_of(int(port[0]))), text)
        (self.root / f"{self._name}.py").write_text(text.replace("{version}", version), "utf-8")
        sys.modules.pop(self._name, None)
        shutil.rmtree(self.root / "__pycache__", ignore_errors=True)
        self.app = import_module(self._name).app
        self.app.deploy()

    def connect(self, service: str) -> http.client.HTTPConnection:
        """A connection to a service."""
        url: str = self.app.functions[service].get_web_url()
        return http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)

    def ask(
        self,
        service: str,
        path: str = "/",
        method: str = "GET",
        body: Any = None,
        *,
        data: Any = None,
        **headers: str,
    ) -> Answer:
        """Ask a service; a `body` goes as JSON, `data` as it is."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            data, sent = json.dumps(body), {"content-type": "application/json"} | sent
        connection = self.connect(service)
        try:
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            got = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, got, answer.read())
        finally:
            connection.close()

    def log(self, service: str, until: str = "") -> str:
        """What a service has printed, once these words are there: they may come after an answer."""
        text = ""
        for _ in range(TRIES):
            text = self.backend.start(GetService(f"{self.app.name}/{service}")).wait().log
            if until in text:
                break
        return text
