"""Services of a control plane that `apothic cloud up` has made, at the URLs that others have."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import connect as open_websocket

from apothic_backends.model.errors import BackendError
from apothic_backends.remote.backend import open_remote
from tests.fakes.fly.fake import FakeFly
from tests.fakes.fly.fixtures import fly_fake
from tests.services.placing import standing_in, using
from tests.services.project import Project

__all__ = ["fly_fake"]

COMMAND = str(Path(sys.executable).with_name("apothic"))
APP = "apothic-mine"
PATIENCE_S = 120.0
ELSEWHERE = "127.0.0.3"
"""The address of somebody else; the fake's proxy comes from 127.0.0.1."""

PROGRAM = """
import asyncio
import json
from apothic import App

app = App("demo")
asked = asyncio.Event()

async def serving(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (said := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": said["text"] + " " + scope["scheme"]})
        return
    if scope["path"] == "/go":
        asked.set()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/stream":
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await asked.wait()
    told = {name.decode(): value.decode() for name, value in scope["headers"]}
    said = {**told, "client": scope["client"][0], "scheme": scope["scheme"]}
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})

how = {"keep_warm_s": 0, "memory_mb": 256, "max_cost_per_hour_usd": 0.1}

@app.asgi(public=True, **how)
def first():
    return serving

@app.asgi(**how)
def second():
    return serving

@app.asgi(public=True, **how)
def third():
    return serving
"""


class Cloud:
    """A control plane on the fake."""

    def __init__(self, fake: FakeFly, folder: Path) -> None:
        self.fake, self._folder = fake, folder

    def up(self, services: int) -> dict[str, Any]:
        """Have it be there, with as many ports for services."""
        env = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "APOTHIC_HOME": str(self._folder),
            "APOTHIC_FLY_URL": self.fake.url,
            "APOTHIC_FLY_APP_URL": self.fake.public_url(APP),
            "FLY_API_TOKEN": self.fake.token,
            "FLY_ORG": self.fake.org,
        }
        line = (*("up", "--yes", "--json", "--app", APP, "--image", "any"), "--max-usd-per-hour")
        own = ("1", "--services", str(services), "--", "--machine-idle", "2")
        told = subprocess.run(
            [COMMAND, "cloud", *line, *own],
            check=True,
            env=env,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        return dict(json.loads(told.stdout))

    def until_it_is_alone(self) -> None:
        """Wait until it has given back all that it has rented."""
        until = time.monotonic() + PATIENCE_S
        while len(self.fake.machines) > 1:
            assert time.monotonic() < until, self.fake.machines
            threading.Event().wait(0.05)


@pytest.fixture
def cloud(fly_fake: FakeFly, tmp_path: Path) -> Cloud:
    return Cloud(fly_fake, tmp_path)


@pytest.fixture
def project(cloud: Cloud, tmp_path: Path) -> Iterator[Project]:
    """A program of the operator's, who has two ports for services."""
    made = cloud.up(services=2)
    with standing_in(tmp_path) as root, using(open_remote(made["url"], made["api_key"])):
        yield Project(root)


def begin(url: str, path: str = "/", **headers: str) -> http.client.HTTPResponse:
    """What somebody is answered who comes from elsewhere."""
    at = urlsplit(url)
    caller = http.client.HTTPConnection(
        str(at.hostname), at.port, timeout=PATIENCE_S, source_address=(ELSEWHERE, 0)
    )
    caller.request("GET", path, headers=headers)
    return caller.getresponse()


def get(url: str, path: str = "/", **headers: str) -> dict[str, Any]:
    with begin(url, path, **headers) as answer:
        assert answer.status == 200, answer.read()
        return dict(json.load(answer))


def test_a_service_is_public_sleeps_wakes_and_stays_where_it_is(
    cloud: Cloud, project: Project
) -> None:
    # there are two ports
    with pytest.raises(BackendError, match=r"all ports from \d+ to \d+ are taken.*--services"):
        project.deploy(PROGRAM)
    functions = vars(sys.modules["program"])
    url = functions["first"].get_web_url()

    # it is rented for, and knows who asks
    said = get(url, **{"Fly-Client-IP": "9.9.9.9", "X-Forwarded-For": "9.9.9.9"})
    assert (said["client"], said["x-forwarded-for"]) == (ELSEWHERE, ELSEWHERE)
    assert (said["scheme"], said["x-forwarded-proto"]) == ("https", "https")
    assert said["host"] == urlsplit(url).netloc

    # what it says comes as it says it
    with begin(url, "/stream") as answer:
        assert answer.read(5) == b"begun"
        get(url, "/go")
        assert b"https" in answer.read()
    address = url.replace("http", "ws", 1)
    with open_websocket(address, open_timeout=PATIENCE_S) as socket:
        for word in ("one", "two"):
            socket.send(word)
            assert socket.recv(PATIENCE_S) == f"{word} wss"

    # without a key, another one is not woken
    assert begin(functions["second"].get_web_url()).status == 401

    # its machine goes, and the next request has another one rented
    cloud.until_it_is_alone()
    assert project.seen("first").status == "asleep"
    assert get(url)["client"] == ELSEWHERE
    assert len(cloud.fake.machines) > 1

    # there are three ports
    cloud.up(services=3)
    functions = project.deploy(PROGRAM).functions
    assert functions["first"].service_url == url
    assert get(url)["client"] == ELSEWHERE
    assert get(functions["third"].service_url)["client"] == ELSEWHERE
