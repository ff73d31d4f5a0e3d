"""The example of services runs, and each is asked by a real client."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest
from websockets.sync.client import connect as open_websocket

EXAMPLE = Path(__file__).parents[2] / "examples" / "services.py"


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The address of each service, without its scheme."""
    command = [sys.executable, str(EXAMPLE)]
    folder = tmp_path_factory.mktemp("example")
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        lines = [program.stdout.readline().split() for _ in range(5)]
        yield {name: url.removeprefix("http://") for name, url in lines}
        program.stdin.write("\n")
        program.stdin.flush()
        assert program.wait(60) == 0


def get(url: str, path: str) -> str:
    with closing(HTTPConnection(url, timeout=60)) as connection:
        connection.request("GET", path)
        return connection.getresponse().read().decode()


def test_the_endpoint_greets(urls: dict[str, str]) -> None:
    told = json.loads(get(urls["greet"], "/?name=Ada&times=2"))

    assert told == {"greeting": "Hello, Ada! Hello, Ada!"}


def test_the_endpoint_that_yields_counts(urls: dict[str, str]) -> None:
    assert get(urls["count"], "/?to=3") == "1\n2\n3\n"


def test_fastapi_echoes_over_a_websocket(urls: dict[str, str]) -> None:
    with open_websocket(f"ws://{urls['chat']}/echo") as client:
        client.send("hello")

        assert client.recv() == "echo: hello"


def test_fastapi_streams_events(urls: dict[str, str]) -> None:
    assert get(urls["chat"], "/events").split("\n\n")[:3] == [
        "data: tick 0",
        "data: tick 1",
        "data: tick 2",
    ]


def test_flask_makes_a_page(urls: dict[str, str]) -> None:
    assert get(urls["pages"], "/?title=Hi") == "<h1>Hi</h1>"


def test_the_server_lists_its_folder(urls: dict[str, str]) -> None:
    assert "Directory listing" in get(urls["files"], "/")
