"""An agent on a machine that was rented, as a process of its own."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.providers.base import Order
from apothic_backends.providers.vast.provider import VastProvider
from apothic_emulator.agent.rented import age_s
from tests.fakes.vast.fake import KEY, FakeVast
from tests.fakes.vast.fixtures import vast_fake
from tests.integration.agents.server import Server, start_agent
from tests.integration.support import wait_until

__all__ = ["vast_fake"]

TAG = "apothic/plane/1-abc"
OWN = {"APOTHIC_MACHINE": TAG, "CONTAINER_ID": "42", "CONTAINER_API_KEY": "own-key"}


@pytest.fixture
def asked() -> Iterator[tuple[str, SimpleQueue[tuple[str, str, str]]]]:
    """A provider that says that a machine is gone whenever it is asked, and what it was asked."""
    heard: SimpleQueue[tuple[str, str, str]] = SimpleQueue()

    class Provider(BaseHTTPRequestHandler):
        def do_DELETE(self) -> None:
            heard.put((self.command, self.path, self.headers["Authorization"]))
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as its base
            pass

    server = HTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_agent_that_reaches_nobody_ends_and_has_its_machine_destroyed(
    asked: Any, tmp_path: Path
) -> None:
    provider, heard = asked
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"  # it listens, and never answers
        own: dict[str, Any] = {**OWN, "APOTHIC_VAST_URL": provider, "APOTHIC_NO_CONTACT_S": "1"}
        agent = start_agent(nobody, tmp_path, **own)

        assert agent.wait(60) == 0
    assert heard.get(timeout=0) == ("DELETE", "/api/v0/instances/42/", "Bearer own-key")


def test_a_machine_whose_program_is_started_again_becomes_no_younger(
    asked: Any, tmp_path: Path
) -> None:
    provider, heard = asked
    age_s(TAG, tmp_path / "agents", time.time() - 3600)  # that began an hour ago, and has ended
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        own: dict[str, Any] = {**OWN, "APOTHIC_VAST_URL": provider}
        own |= {"APOTHIC_MAX_LIFETIME_S": "3000"}
        agent = start_agent(url, tmp_path, **own)

        assert agent.wait(60) == 0
    assert heard.get(timeout=0)[0] == "DELETE"


def test_a_machine_that_is_not_wanted_any_more_goes_with_its_agent(
    asked: Any, tmp_path: Path
) -> None:
    provider, heard = asked
    server = Server()
    try:
        own: dict[str, Any] = {**OWN, "APOTHIC_VAST_URL": provider}
        agent = start_agent(server.url, tmp_path, stderr=subprocess.PIPE, **own)
        _, told = agent.communicate(timeout=60)
    finally:
        server.close()

    assert b"MachineGivenUp" in told
    assert heard.get(timeout=0)[0] == "DELETE"


def test_a_machine_on_vast_that_reaches_nobody_is_gone_soon(
    vast_fake: FakeVast, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody, opened_vast(vast_fake) as provider:
        offer = provider.offers(FunctionSpec("app", "f", gpu=("RTX 4090",), gpu_count=1), 16)[0]
        env = {
            "APOTHIC_AGENT_URL": f"http://127.0.0.1:{nobody.getsockname()[1]}",
            "APOTHIC_AGENT_TOKEN": "token",
            "APOTHIC_MACHINE": TAG,
            "APOTHIC_NO_CONTACT_S": "1",
        }
        provider.create(Order(TAG, offer, "image", ("apothic", "agent"), 1.0, 16.0, env))
        (machine,) = vast_fake.alive()

        wait_until(lambda: not vast_fake.alive())
    assert machine.gone_at is not None


@contextmanager
def opened_vast(fake: FakeVast) -> Generator[VastProvider]:
    provider = VastProvider(KEY, fake.url)
    yield provider
    provider.close()
