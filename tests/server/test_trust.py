"""Who is believed to be a server: by its certificate, and by its own address alone."""

from __future__ import annotations

import datetime as dt
import http.server
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from apothic_backends.commands import GetDurability
from apothic_backends.model.errors import ApothicError, UsageError
from apothic_backends.remote.address import address_of
from apothic_backends.remote.backend import open_remote
from apothic_backends.remote.errors import NotTrusted
from apothic_emulator.server.client import Target, ask
from tests.server.served import Served, served

KEY = "apk_0123456789ab_a-key-that-nobody-must-see"

AUTHORITY = trustme.CA()
YESTERDAY = dt.datetime.now(dt.UTC) - dt.timedelta(1)

WRONG = {
    "another name": (lambda: AUTHORITY.issue_cert("elsewhere.example"), "name that it is for"),
    "expired": (lambda: AUTHORITY.issue_cert("127.0.0.1", not_after=YESTERDAY), "renew"),
    "an unknown authority": (lambda: trustme.CA().issue_cert("127.0.0.1"), "SSL_CERT_FILE"),
}


class Seen(http.server.BaseHTTPRequestHandler):
    """Notes what is asked of it, and leads elsewhere if it is told to."""

    protocol_version = "HTTP/1.1"
    seen: list[str]
    leads_to = ""

    def do_GET(self) -> None:
        self.seen.append(str(self.headers))
        self.send_response(307 if self.leads_to else 404)
        if self.leads_to:
            self.send_header("Location", self.leads_to)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815 - its name is given

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def listening(
    certificate: trustme.LeafCert | None = None, leads_to: str = ""
) -> Generator[tuple[str, list[str]]]:
    """Somebody who may be anybody, at an address; and the headers that he is sent."""
    seen: list[str] = []
    handler = type("Handler", (Seen,), {"seen": seen, "leads_to": leads_to})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    scheme = "http" if certificate is None else "https"
    yield f"{scheme}://127.0.0.1:{server.server_address[1]}", seen
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the authority that clients trust."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(autouse=True)
def trusts(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a certificate of that authority, whose jobs wait for agents."""
    folder = tmp_path_factory.mktemp("secure")
    leaf = AUTHORITY.issue_cert("127.0.0.1")
    cert, key = folder / "cert.pem", folder / "key.pem"
    key.touch(mode=0o600)
    leaf.private_key_pem.write_to_path(str(key))
    cert.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    with served(folder, "--tls-cert", str(cert), "--tls-key", str(key), "--no-agent") as server:
        yield server


# --- those who ask --------------------------------------------------------------------------------


def by_program(url: str) -> object:
    with closing(open_remote(url, KEY)) as backend:
        return backend.start(GetDurability()).wait(20)


def by_command_line(url: str) -> object:
    return ask(Target(address_of(url), KEY), "list-api-keys", {})


ASKED = {"a program": by_program, "the command line": by_command_line}


def run_agent(url: str, folder: Path, token: str = KEY) -> subprocess.Popen[str]:
    """`apothic agent`, as a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "apothic.cli", "agent", "--url", url, "--name", "a"],
        cwd=folder,
        env={**os.environ, "APOTHIC_HOME": str(folder), "APOTHIC_AGENT_TOKEN": token},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_program_and_the_command_line_talk_to_a_server_that_is_trusted(secure: Served) -> None:
    with closing(open_remote(secure.url, secure.token)) as backend:
        assert backend.start(GetDurability()).wait(20) == "disk"
    assert ask(Target(address_of(secure.url), secure.token), "list-api-keys", {})


def test_an_agent_joins_a_server_that_is_trusted_and_runs_its_jobs(
    secure: Served, tmp_path: Path
) -> None:
    target = Target(address_of(secure.url), secure.token)
    token = ask(target, "create-api-key", {"scopes": ["agent"]})["token"]
    agent = run_agent(secure.url, tmp_path, token)
    spec = {"app_name": "a", "name": "len"}
    code = {"codec": "ref", "data": "builtins:len"}
    function = ask(target, "register-function", {"spec": spec, "code": code})
    call = {"function_id": function, "arguments": {"data": {"args": ["four"]}}}

    assert ask(target, "run-job", call)["result"]["data"] == 4

    agent.send_signal(signal.SIGTERM)
    assert agent.communicate(timeout=30)[1].startswith("joined wss://")
    assert agent.returncode == 0


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("who", ASKED)
def test_a_certificate_that_proves_nothing_is_refused_with_the_way_out(who: str, what: str) -> None:
    issue, way_out = WRONG[what]
    with listening(issue()) as (url, seen), pytest.raises(NotTrusted, match=way_out) as refused:
        ASKED[who](url)

    assert url in str(refused.value)
    assert seen == []


@pytest.mark.parametrize("what", WRONG)
def test_an_agent_does_not_go_on_with_a_certificate_that_proves_nothing(
    what: str, tmp_path: Path
) -> None:
    issue, way_out = WRONG[what]
    with listening(issue()) as (url, seen):
        agent = run_agent(url, tmp_path)
        said = agent.communicate(timeout=30)[1]

    assert agent.returncode not in (0, None)
    assert way_out in " ".join(said.split())
    assert "Traceback" not in said
    assert seen == []


# --- what leads elsewhere -------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "ws"])
@pytest.mark.parametrize("who", ASKED)
def test_nothing_is_sent_where_a_server_leads_to(who: str, scheme: str) -> None:
    with (
        listening() as (elsewhere, seen_there),
        listening(leads_to=elsewhere.replace("http", scheme)) as (url, seen),
        pytest.raises(ApothicError),
    ):
        ASKED[who](url)

    assert KEY in seen[0]
    assert seen_there == []


def test_a_program_is_told_to_use_the_other_address() -> None:
    with (
        listening(leads_to="https://elsewhere.example/") as (url, _),
        pytest.raises(UsageError, match="leads elsewhere"),
    ):
        by_program(url)


def test_an_agent_that_is_led_elsewhere_ends_and_says_so(tmp_path: Path) -> None:
    with (
        listening() as (elsewhere, seen_there),
        listening(leads_to=elsewhere.replace("http", "ws")) as (url, _),
    ):
        agent = run_agent(url, tmp_path)
        said: Any = agent.communicate(timeout=30)[1]

    assert agent.returncode not in (0, None)
    assert "leads elsewhere" in " ".join(said.split())
    assert seen_there == []


# --- Ctrl-C ---------------------------------------------------------------------------------------


HOLDS = """
import time
import apothic

app = apothic.App("holds")
table = apothic.Dict.from_name("holds", create_if_missing=True)

@app.function()
def stay():
    time.sleep(60)

if __name__ == "__main__":
    with table.lock("k", lease_s=60):
        table["held"] = True
        stay.remote()
"""


def test_a_call_that_is_interrupted_leaves_no_lock_and_no_job(
    server: Served, tmp_path: Path
) -> None:
    program = server.program(tmp_path, HOLDS)
    while not (jobs := running(server)):
        assert program.poll() is None, program.communicate()

    program.send_signal(signal.SIGINT)
    out, said = program.communicate(timeout=30)

    assert program.returncode in (130, -signal.SIGINT)
    assert out == ""
    assert said.splitlines()[-1] == "KeyboardInterrupt"
    assert "Exception ignored" not in said
    assert "Thread" not in said
    wish = {"name": "holds", "kind": "lock", "key": '"k"', "holder": "me", "candidate": "me"}
    assert server.reply("acquire-lock", **wish, lease_s=5.0, timeout_s=0.0) is not None
    for job in jobs:
        while (status := server.reply("get-job", job_id=job)["status"]) != "cancelled":
            assert status == "running"


def running(server: Served) -> list[str]:
    """The jobs of that program that run."""
    told = server.reply("read-events", topic="jobs", snapshot=True)["events"]
    about = [event["data"] for event in told]
    return [
        str(it["job_id"]) for it in about if it["app_name"] == "holds" and it["status"] == "running"
    ]
