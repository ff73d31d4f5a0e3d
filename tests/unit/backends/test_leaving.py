"""A rented machine asks its provider to be destroyed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from apothic_backends.providers.leaving import Lodging, leave, lodging


class Provider:
    """Answers with these statuses, one after the other, and keeps what it was asked."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.asked: list[tuple[str, str, str, bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                shown = self.headers["Authorization"]
                outer.asked.append((self.command, self.path, shown, body))
                self.send_response(outer.statuses.pop(0))
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_DELETE = do_PUT = answer  # noqa: N815 - as its base wants it

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as its base
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.close()


DELETED = ("DELETE", "/api/v0/instances/42/", "Bearer secret", b"{}")


def test_a_machine_asks_until_it_is_gone(provider: Provider) -> None:
    provider.statuses = [500, 200, 404]
    pauses: list[float] = []

    leave(Lodging(provider.url, "42", "secret"), pauses.append)

    assert provider.asked == [DELETED] * 3
    assert pauses == [2.0, 4.0]


def test_a_machine_that_may_not_destroy_itself_is_stopped(provider: Provider) -> None:
    provider.statuses = [403, 200]
    told: list[str] = []

    leave(Lodging(provider.url, "42", "secret"), bool, told.append)

    assert [(it[0], it[3]) for it in provider.asked] == [
        ("DELETE", b"{}"),
        ("PUT", b'{"state": "stopped"}'),
    ]
    assert told == ["the provider lets no machine destroy itself (HTTP 403, then 200)"]


def test_a_provider_that_cannot_be_reached_is_asked_again(provider: Provider) -> None:
    provider.close()
    own = Lodging(provider.url, "42", "secret")
    pauses: list[float] = []

    class EnoughError(Exception):
        pass

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise EnoughError

    with pytest.raises(EnoughError):
        leave(own, pause)
    assert pauses == [2.0, 4.0, 8.0]


def test_a_machine_whose_provider_gave_no_key_has_nobody_to_ask() -> None:
    assert lodging(lambda name: "") is None
    assert lodging({"CONTAINER_ID": "7/../8", "CONTAINER_API_KEY": "k"}.get) is None  # type: ignore[arg-type]


def test_the_key_of_a_machine_is_not_shown() -> None:
    env = {"CONTAINER_ID": "7", "CONTAINER_API_KEY": "secret"}

    own = lodging(lambda name: env.get(name, ""))

    assert repr(own) == "Lodging(url='https://console.vast.ai', instance='7')"
