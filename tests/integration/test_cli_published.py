"""`apothic image publish`, as it is typed, and what becomes of it; a fake of Fly has machines."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from apothic import Image
from apothic_backends.commands.machines import GetCloud, ListImages, PublishImage
from apothic_backends.model.machines import PublishedImage
from apothic_backends.remote.backend import open_remote
from tests.fakes.fly.fake import FakeFly
from tests.fakes.fly.fixtures import fly_fake
from tests.integration.screens import COMMAND
from tests.server.served import Served

__all__ = ["fly_fake"]

APP = """
from apothic import App, Image

app = App("demo")


@app.function(image=Image.from_registry("debian:12"), memory_mb=256)
def where():
    import os
    return "in its image" if os.getpid() else ""


@app.function(image=Image.debian_slim())
def light(): ...
"""
IMAGE = PublishedImage(
    Image.from_registry("debian:12").spec().digest,
    f"registry.fly.io/own@sha256:{'0' * 64}",
    "fly",
    "any",
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("APOTHIC_BACKEND", "APOTHIC_REGISTRY", "FLY_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path / "home"))
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").touch()
    (root / "app.py").write_text(APP)
    return root


def apothic(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], cwd=project, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("app.py::light", "--registry", "ghcr.io/me"), "has an image that needs Docker"),
        (("app.py",), "name a registry that they can read with --registry or APOTHIC_REGISTRY"),
        (("app.py", "--registry", "me/apothic"), "'me/apothic' names no place in a registry"),
        (("app.py", "--registry", "registry.fly.io/own"), "fly needs FLY_API_TOKEN"),
    ],
)
def test_what_cannot_be_published_is_refused_before_anything_is_built(
    project: Path, words: tuple[str, ...], told: str
) -> None:
    done = apothic(project, "image", "publish", *words)

    assert done.returncode != 0
    assert told in done.stderr


@pytest.fixture
def server(project: Path, fly_fake: FakeFly, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """It runs nothing itself, and rents at Fly."""
    monkeypatch.setenv("APOTHIC_FLY_URL", fly_fake.url)
    monkeypatch.setenv("FLY_API_TOKEN", fly_fake.token)
    monkeypatch.setenv("FLY_ORG", fly_fake.org)
    home = project.parent / "home"
    home.mkdir()
    rents = ("--no-agent", "--provider", "fly", "--max-usd-per-hour", "1")
    with closing(Served(home, *rents, "--machine-image", "any")) as server:
        for name in ("APOTHIC_BACKEND", "APOTHIC_TEST_BACKEND"):
            monkeypatch.setenv(name, server.url)
        monkeypatch.setenv("APOTHIC_API_KEY", server.token)
        yield server


def test_a_function_waits_until_its_image_is_published_and_runs_in_a_machine_of_it(
    project: Path, server: Served, fly_fake: FakeFly
) -> None:
    deployed = apothic(project, "deploy", "app.py")
    assert deployed.returncode == 0, deployed.stderr
    assert "demo/where: no machine can be rented for calls yet" in deployed.stderr
    assert "apothic image publish app.py" in deployed.stderr

    line = [*COMMAND, "run", "where", "--app-name", "demo"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with (
        closing(open_remote(server.url, server.token)) as backend,
        subprocess.Popen(line, cwd=project, **pipes) as call,
    ):
        assert call.stderr is not None
        assert any("publish it, where there is a Docker, with" in told for told in call.stderr)
        assert "demo/where" in backend.start(GetCloud()).wait(30).waiting
        assert fly_fake.machines == []
        backend.start(PublishImage(IMAGE)).wait(30)
        assert backend.start(ListImages()).wait(30) == (IMAGE,)
        told, _ = call.communicate(timeout=60)

    assert "in its image" in told
    assert [it.config["image"] for it in fly_fake.machines] == [IMAGE.reference]
    assert "no machine can be rented" not in apothic(project, "deploy", "app.py").stderr
