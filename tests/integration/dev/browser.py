"""A page in headless Chromium, asked by the protocol of its developer tools."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from base64 import b64decode, b64encode
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.integration.dev.developed import PATIENCE_S

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--remote-debugging-port=0"),
)


class Page:
    """The one page of a browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._last = 0
        self._events: list[Any] = []

    def ask(self, method: str, **params: Any) -> Any:
        """What the browser answers."""
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": params}))
        while (told := json.loads(self._socket.recv(PATIENCE_S))).get("id") != self._last:
            self._events.append(told)
        return told.get("result", {})

    def event(self, method: str) -> Any:
        """The first that there is, or will be, of this name."""
        while True:
            for told in self._events:
                if told.get("method") == method:
                    self._events.remove(told)
                    return told["params"]
            self._events.append(json.loads(self._socket.recv(PATIENCE_S)))

    def be(self, url: str, html: str) -> None:
        """Show what that address is said to have answered: nobody is asked."""
        self.ask("Fetch.enable", patterns=[{"urlPattern": url}])
        self.value(f"location.href = {json.dumps(url)}")
        asked = self.event("Fetch.requestPaused")["requestId"]
        kind = [{"name": "Content-Type", "value": "text/html"}]
        body = b64encode(html.encode()).decode()
        answer = {"requestId": asked, "responseCode": 200, "responseHeaders": kind, "body": body}
        self.ask("Fetch.fulfillRequest", **answer)
        self.ask("Fetch.disable")
        self.until("location.href + document.readyState", url + "complete")

    def result(self, expression: str) -> Any:
        """What a promise there comes to."""
        how = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        told = self.ask("Runtime.evaluate", **how)
        assert "exceptionDetails" not in told, told
        return told["result"]["value"]

    def value(self, expression: str) -> Any:
        """What some JavaScript gives there; None while the page is another."""
        return self.ask("Runtime.evaluate", expression=expression).get("result", {}).get("value")

    def until(self, expression: str, wanted: object) -> None:
        """Wait until it gives that."""
        end = time.monotonic() + PATIENCE_S
        while (found := self.value(expression)) != wanted:
            assert time.monotonic() < end, f"{expression} is {found!r}, and not {wanted!r}"

    def picture(self, path: Path) -> None:
        """What is seen of it."""
        path.write_bytes(b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def browsing(url: str, folder: Path, *flags: str) -> Generator[Page]:
    """A browser that shows that address."""
    assert CHROMIUM is not None
    with subprocess.Popen(
        [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={folder}", url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as browser:
        try:
            port = _until(lambda: _port_in(folder / "DevToolsActivePort"))
            with connect(_page_at(port)["webSocketDebuggerUrl"], max_size=None) as socket:
                yield Page(socket)
        finally:
            browser.terminate()
            try:
                browser.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                browser.kill()
                raise


def _port_in(path: Path) -> str | None:
    """Where the browser says that it can be asked, once it has."""
    lines = path.read_text("utf-8").split("\n") if path.exists() else []
    return lines[0] if len(lines) > 1 else None


def _until(find: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE_S
    while not (found := find()):
        assert time.monotonic() < end, "the browser does not start"
        time.sleep(0.02)
    return found


def _page_at(port: str) -> dict[str, Any]:
    def find() -> dict[str, Any] | None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=PATIENCE_S) as told:
            return next((it for it in json.load(told) if it["type"] == "page"), None)

    found: dict[str, Any] = _until(find)
    return found
