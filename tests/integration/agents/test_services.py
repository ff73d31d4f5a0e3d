"""Services of a server that runs nothing itself, whose agents end and come."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server.test_serving import certificate
from tests.services.placing import standing_in, using
from tests.services.project import Project, get
from tests.services.second import Second

PROGRAM = """
import asyncio
import os
from apothic import App

app = App("demo")

async def serving(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError(scope["type"])
    if scope["path"] == "/die":
        os._exit(3)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/slow":
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
    told = {"/pid": str(os.getpid()), "/client": f"{scope['scheme']} {scope['client'][0]}"}
    said = told.get(scope["path"], "VERSION")
    await send({"type": "http.response.body", "body": said.encode()})

@app.asgi(cpu=3)
def serve():
    return serving
"""


@pytest.fixture(params=["in the clear"])
def second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Second]:
    options: tuple[str, ...] = ()
    if request.param == "tls":
        cert, key = certificate(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        options = ("--tls-cert", str(cert), "--tls-key", str(key))
    if request.param == "behind a proxy":
        options = ("--service-url", "http://127.0.0.1", "--client-header", "X-Real-IP")
    second = Second(tmp_path, *options, agents=0)
    yield second
    second.close()


@pytest.fixture
def project(second: Second, tmp_path: Path) -> Iterator[Project]:
    with standing_in(tmp_path) as root, using(second.open()):
        project = Project(root)
        with project.undo:
            yield project


@pytest.fixture
def deploy(second: Second, project: Project) -> Callable[[str], str]:
    """Deploys a version; there are two agents, on each of which there is room for one process."""
    for name in ("first", "last"):
        second.join(name, "--cpu", "4")

    def deploying(version: str) -> str:
        app = project.deploy(PROGRAM.replace("VERSION", version))
        url = app.functions["serve"].service_url
        assert url is not None
        return str(url)

    return deploying


def test_when_its_agent_dies_another_one_serves(
    second: Second, deploy: Callable[[str], str]
) -> None:
    url = deploy("1")
    _, before = get(url, "/pid")
    second.agents["first"].kill()

    status, after = _patiently(url, "/pid")

    assert (status, after != before) == (200, True)


def _patiently(url: str, path: str) -> tuple[int, str]:
    """The first answer that an application gives; what was on its way to the dead is told so."""
    while True:
        status, said = get(url, path)
        if status != 502:
            return status, said


def test_when_its_agent_leaves_another_one_serves(
    second: Second, deploy: Callable[[str], str]
) -> None:
    url = deploy("1")
    _, before = get(url, "/pid")
    second.agents["first"].send_signal(signal.SIGTERM)
    second.agents["first"].wait()

    status, after = get(url, "/pid")

    assert (status, after != before) == (200, True)


def test_a_connection_between_requests_outlives_the_way_to_another_machine(
    project: Project, deploy: Callable[[str], str]
) -> None:
    caller = project.caller(deploy("1"))
    assert caller.get() == "1"
    deploy("2")
    project.until(lambda it: it.processes == 1 and it.status == "up")

    assert [caller.get() for _ in range(3)] == ["2", "2", "2"]


def test_who_hears_nothing_of_a_process_that_dies_is_told_so(
    project: Project, deploy: Callable[[str], str]
) -> None:
    url = deploy("1")
    assert get(url) == (200, "1")

    assert get(url, "/die") == (502, "the process of this service is gone\n")
    assert get(url) == (200, "1")


def test_an_answer_that_has_begun_is_cut_off_with_its_agent(
    second: Second, project: Project, deploy: Callable[[str], str]
) -> None:
    answer = project.caller(deploy("1")).begin("/slow")
    assert answer.read(5) == b"begun"
    second.agents["first"].kill()

    with pytest.raises(Exception, match=r"IncompleteRead|reset"):
        answer.read()


@pytest.mark.parametrize("second", ["behind a proxy"], indirect=True)
def test_clients_whose_requests_a_proxy_passes_on_by_one_connection_are_told_apart(
    second: Second, project: Project, deploy: Callable[[str], str]
) -> None:
    caller = project.caller(deploy("1"))

    def asks(client: str, scheme: str) -> str:
        told = {"X-Real-IP": client, "X-Forwarded-Proto": scheme}
        return caller.ask("GET", "/client", **told, **{"Apothic-Key": second.server.token})[1]

    assert asks("203.0.113.9", "https") == "https 203.0.113.9"
    assert asks("203.0.113.10", "https") == "https 203.0.113.10"
    assert asks("nobody", "https") == "https 127.0.0.1"


@pytest.mark.parametrize("second", ["tls"], indirect=True)
def test_streams_are_encrypted_where_the_server_is(
    project: Project, deploy: Callable[[str], str]
) -> None:
    caller = project.caller(deploy("1"))
    assert [caller.get() for _ in range(3)] == ["1", "1", "1"]
    deploy("2")
    project.until(lambda it: it.processes == 1 and it.status == "up")

    assert caller.get() == "2"
    assert caller.ask("POST", "/pid", b"x" * (1 << 20))[0] == 200
