"""Services on a server of this machine, and how far they are, on the command line."""

from __future__ import annotations

import urllib.request
from base64 import b64encode
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from apothic.remote import App
from apothic_backends.connection import use
from apothic_backends.remote.address import address_of
from apothic_backends.remote.backend import RemoteBackend
from apothic_backends.remote.connection import Connection
from tests.remote.shell import Shell, project
from tests.server.served import Answer, Served

PROGRAM = """
import json
from apothic import App

app = App("demo")

def answering(body, path):
    async def serving(scope, receive, send):
        if scope["type"] != "http":
            raise RuntimeError(scope["type"])
        status = 200 if scope["path"] in ("/", path) else 404
        said = body if scope["path"] == path else b"hello"
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": said})
    return serving

TAIL = json.dumps({"startup_log_tail": ["loading", "ready"]}).encode()

@app.asgi()
def model():
    print("made")
    return answering(TAIL, "/healthz")

@app.asgi()
def own():
    return answering(json.dumps({"startup_log_tail": "as it likes"}).encode(), "/how")

@app.asgi()
def silent():
    print("only printed")
    return answering(b"no json", "/health")

@app.function()
def infer(value: str) -> str:
    return value
"""


@pytest.fixture(scope="module")
def shell(server: Served, home: Path) -> Shell:
    """A shell in a project that is deployed, and whose services are up."""
    shell = Shell(home, project(home / "project"))
    shell("deploy", shell.write(PROGRAM))
    for name in ("model", "own", "silent"):
        with urllib.request.urlopen(url_of(shell, name)) as answer:
            assert answer.read() == b"hello"
    return shell


def url_of(shell: Shell, name: str) -> str:
    told = shell.json("deployment", "logs", "demo", "--function-name", name)
    return str(told["url"])


def test_a_service_says_in_its_health_how_far_it_is(shell: Shell) -> None:
    said = shell("deployment", "logs", "deployments:1", "--function-name", "model")

    assert said == "loading\nready"
    assert "demo/model is up: /healthz" in shell.err


def test_it_may_say_it_elsewhere(shell: Shell) -> None:
    said = shell("deployment", "logs", "demo", "--function-name", "own", "--health-path", "/how")

    assert said == "as it likes"


def test_of_one_that_says_nothing_it_is_what_it_has_printed(shell: Shell) -> None:
    assert shell("deployment", "logs", "demo", "--function-name", "silent") == "only printed"


def test_of_several_each_line_says_whose_it_is(shell: Shell) -> None:
    said = shell("deployment", "logs", "demo").splitlines()

    assert "model | loading" in said
    assert "silent | only printed" in said


def test_what_is_no_service_is_an_error_that_lists_those_that_are(shell: Shell) -> None:
    shell("deployment", "logs", "demo", "--function-name", "infer", code=4)

    assert "no service 'infer'; there are: model, own, silent" in shell.err


# --- the page of an app, in a browser -----------------------------------------------------------


@pytest.fixture(scope="module")
def page(server: Served, shell: Shell) -> str:
    """Where `RemoteApp` says that its page is, on the server."""
    backend = RemoteBackend(Connection(address_of(server.url), server.token))
    before = use(backend)
    url = App.get("demo/model").url
    use(before)
    backend.close()
    assert url.startswith(f"{server.url}/v2/")
    return url.removeprefix(server.url)


def by_password(server: Served, path: str, token: str = "", method: str = "GET") -> Answer:
    """What a browser gets that was given a key as the password."""
    given = b64encode(f"me:{token or server.token}".encode()).decode()
    return server.ask(method, path, headers=[("Authorization", f"Basic {given}")], token=None)


def test_a_browser_is_shown_the_page_of_an_app(server: Served, page: str) -> None:
    answer = by_password(server, page)

    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    text = answer.body.decode()
    for said in ("<h1>demo</h1>", "demo/model", ">up<", "deployments:1", ">live<"):
        assert said in text
    assert "demo/own" not in text
    assert "script" not in text


def test_the_page_of_an_app_shows_all_of_its_services(server: Served, page: str) -> None:
    text = by_password(server, page.removesuffix("%2Fmodel")).body.decode()

    assert [name for name in ("demo/model", "demo/own", "demo/silent") if name not in text] == []


def test_a_program_is_shown_it_too(server: Served, page: str) -> None:
    assert server.ask("GET", page, token=server.key("read")).status == 200


def test_without_a_key_a_browser_is_asked_for_it(server: Served, page: str) -> None:
    answer = server.ask("GET", page, token=None)

    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize("token", ["apk_000000000000_x", "é", ":"])
def test_a_wrong_password_opens_nothing(server: Served, page: str, token: str) -> None:
    assert by_password(server, page, token).status == 401


def test_what_is_no_password_opens_nothing(server: Served, page: str) -> None:
    for given in ("Basic", "Basic =", "Basic \u00e9", "Basic /w=="):
        headers = [("Authorization", given)]
        assert server.ask("GET", page, headers=headers, token=None).status == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/openapi.json"), ("GET", "/v1/events"), ("POST", "/v1/list-services"), ("POST", "")],
)
def test_a_password_opens_pages_alone(server: Served, page: str, method: str, path: str) -> None:
    assert by_password(server, path or page, method=method).status == 401


def test_a_page_that_links_to_it_from_elsewhere_is_refused(server: Served, page: str) -> None:
    headers = [("Sec-Fetch-Site", "cross-site")]

    assert server.ask("GET", page, headers=headers).status == 403


@pytest.mark.parametrize("name", ["none", "demo%2Fnone", "", "a/b", "%00", "%3Cb%3E"])
def test_an_app_that_is_not_there_has_no_page(server: Served, page: str, name: str) -> None:
    answer = server.ask("GET", urlsplit(page).path.rpartition("/")[0] + f"/{name}")

    assert answer.status == 404
    assert b"<b>" not in answer.body
