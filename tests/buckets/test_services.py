"""Buckets of services: what they write is in the bucket when their processes have ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from apothic import Volume
from apothic_backends.vault import Vault
from tests.buckets.conftest import IN_WORKERS, S3
from tests.services.placing import standing_in
from tests.services.project import Project, get

pytestmark = pytest.mark.parametrize("backend", IN_WORKERS, indirect=True)

PROGRAM = """
from pathlib import Path
from apothic import App, CloudBucketMount, Volume

app = App("demo")
BUCKET, VOLUME = Path("/apothic-bucket/of-a-service"), Path("/apothic-data")

async def serving(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        (BUCKET / "last").write_text("the end")
        await send({"type": "lifespan.shutdown.complete"})
        return
    words = scope["query_string"].decode()
    for place in (BUCKET, VOLUME):
        (place / "said").write_text(words)
    said = f"{model} {(BUCKET / 'said').read_text()}"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": said.encode()})

@app.asgi(keep_warm_s=WARM, volumes=[
    CloudBucketMount("NAME", "ACCESS", "SECRET", "URL", "out/").mounted_at(str(BUCKET)),
    Volume.from_name("data", create_if_missing=True).mounted_at(str(VOLUME)),
])
def serve():
    global model
    model = (BUCKET / "model").read_text()
    return serving
"""


@pytest.fixture
def project(backend: str, vault: Vault, tmp_path: Path) -> Iterator[Project]:
    with standing_in(tmp_path) as root:
        project = Project(root)
        with project.undo:
            yield project


def deploy(project: Project, s3: S3, warm_s: float = 600.0) -> str:
    s3.put("out/model", b"weights")
    text = PROGRAM.replace("NAME", s3.name).replace("URL", s3.server.url)
    app = project.deploy(text.replace("WARM", str(warm_s)))
    return str(app.functions["serve"].get_web_url())


def test_what_it_writes_is_in_the_bucket_when_it_was_stopped(project: Project, s3: S3) -> None:
    url = deploy(project, s3)

    assert get(url, "/?hello") == (200, "weights hello")
    project.stop()

    assert (s3.get("out/said"), s3.get("out/last")) == (b"hello", b"the end")
    assert b"".join(Volume.from_name("data").read_file("said")) == b"hello"


def test_and_when_it_has_come_to_rest(project: Project, s3: S3) -> None:
    url = deploy(project, s3, warm_s=0.0)
    get(url, "/?one")
    project.until(lambda it: it.processes == 0)

    assert (s3.get("out/said"), s3.get("out/last")) == (b"one", b"the end")
    assert b"".join(Volume.from_name("data").read_file("said")) == b"one"
    assert get(url, "/?two") == (200, "weights two")


def test_and_when_the_next_version_is_there(project: Project, s3: S3) -> None:
    get(deploy(project, s3), "/?one")

    deploy(project, s3, warm_s=500.0)
    project.until(lambda it: it.processes == 1 and it.version == 2)

    assert s3.get("out/said") == b"one"
