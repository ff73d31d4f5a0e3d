"""Secrets, volumes and buckets of a service: there for as long as its process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pytest

from apothic import Deployment, SecretNotFound, Volume
from apothic_backends.vault import Vault
from tests.services.project import Project, get
from tests.services.second import Second
from tests.services.served import port_of

HOMES = ("here", "agent")


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Second]:
    """A server and an agent with the home of the program, as those of one machine have it."""
    with closing(Second(tmp_path / "home", share=True)) as second:
        yield second


PROGRAM = """
import os
from pathlib import Path
from apothic import App, CloudBucketMount, Secret, Volume

app = App("demo")
BEFORE = os.environ.get("TOKEN"), sorted(os.listdir(AT)) if os.path.isdir(AT) else None

async def serving(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        (Path(AT) / "last").write_text("the end")
        await send({"type": "lifespan.shutdown.complete"})
        return
    path, words = scope["path"], scope["query_string"].decode()
    if path == "/write":
        (Path(AT) / "file").write_text(words)
    said = {"/before": repr(BEFORE), "/token": os.environ.get("TOKEN", "")}
    body = said.get(path) or (Path(AT) / "file").read_text()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})

@app.asgi(OPTIONS)
def serve():
    return serving
"""

VOLUME = 'volumes={AT: Volume.from_name("data", create_if_missing=True)}'


def deploy(project: Project, options: str, at: str = "/apothic-data") -> str:
    text = PROGRAM.replace("OPTIONS", options).replace("AT", repr(at))
    url = project.deploy(text).functions["serve"].service_url
    assert url is not None
    return str(url)


def test_a_secret_is_in_its_environment_before_it_is_loaded(project: Project) -> None:
    url = deploy(project, 'secrets=[Secret.from_dict({"TOKEN": "sesame-opens"})]')

    assert get(url, "/token") == (200, "sesame-opens")
    assert "'sesame-opens'" in get(url, "/before")[1]


def test_what_needs_a_secret_that_is_not_there_is_not_deployed(project: Project) -> None:
    with pytest.raises(SecretNotFound, match="apothic secret set none-such"):
        deploy(project, 'secrets=[Secret.from_name("none-such")]')

    assert Deployment.list() == []


def test_a_secret_that_has_gone_since_is_told_to_who_asks(project: Project) -> None:
    vault = Vault()
    vault.put("brief", {"TOKEN": "sesame-opens"})
    url = deploy(project, 'secrets=[Secret.from_name("brief")]')
    vault.delete("brief")

    status, body = get(url)

    assert status == 503
    assert "apothic secret set brief" in body
    assert "brief" in project.seen().stale


def test_a_volume_that_is_not_there_is_told_to_who_asks(project: Project) -> None:
    url = deploy(project, 'volumes={AT: Volume.from_name("none-such")}')

    status, body = get(url)

    assert status == 503
    assert "none-such" in body


def test_it_finds_what_is_in_a_volume_before_it_is_loaded_and_later(project: Project) -> None:
    volume = Volume.create("data")
    volume.put_file(BytesIO(b"old"), "file")
    url = deploy(project, VOLUME)

    assert get(url, "/before") == (200, "(None, ['file'])")
    assert get(url, "/file") == (200, "old")


def test_what_it_writes_it_sees_and_when_it_has_ended_others_do(project: Project) -> None:
    url = deploy(project, VOLUME)
    assert get(url, "/write?new") == (200, "new")
    assert get(url, "/file") == (200, "new")

    project.stop()

    volume = Volume.from_name("data")
    kept = {name: b"".join(volume.read_file(name)) for name in ("file", "last")}
    assert kept == {"file": b"new", "last": b"the end"}


def test_what_is_written_by_a_process_that_cannot_start_is_thrown_away(project: Project) -> None:
    text = PROGRAM.replace("OPTIONS", VOLUME).replace("AT", repr("/apothic-data"))
    broken = "    (Path('/apothic-data') / 'file').write_text('half')\n    raise ValueError('no')\n"
    url = (
        project.deploy(text.replace("    return serving\n", broken)).functions["serve"].service_url
    )

    assert get(str(url))[0] == 503

    assert Volume.from_name("data").listdir() == []


def test_a_server_of_its_own_sees_its_volume_too(project: Project) -> None:
    Volume.create("data").put_file(BytesIO(b"old"), "index.txt")
    port = port_of(18790)
    program = f"""
import subprocess, sys
from apothic import App, Volume

app = App("demo")

@app.web_server({port}, startup_timeout=30.0, volumes={{"/apothic-data": Volume.from_name("data")}})
def serve():
    where = ["--bind", "127.0.0.1", "--directory", "/apothic-data"]
    subprocess.Popen([sys.executable, "-m", "http.server", "{port}", *where])
"""
    url = project.deploy(program).functions["serve"].service_url

    assert get(str(url), "/index.txt") == (200, "old")
