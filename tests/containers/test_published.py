"""Machines that are made of images of functions: built here, in a registry, run as containers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from apothic_backends.commands import RegisterFunction, RunJob
from apothic_backends.commands.machines import ListImages, PublishImage, ReleaseMachines
from apothic_backends.containers import building, engine, machines
from apothic_backends.containers.pushing import PushFailed, push
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.images import ImageSpec, ImageStep
from apothic_backends.model.machines import PublishedImage
from apothic_backends.model.payloads import Payload
from apothic_backends.providers.base import Login, Order, Rented
from apothic_backends.remote.backend import open_remote
from apothic_emulator.core.renting import Rent, Terms
from apothic_emulator.server.renting import Renting
from tests.conformance.client import arguments, value_of
from tests.containers import registry
from tests.containers.image import NAME
from tests.fakes.provider import MemoryProvider, order
from tests.integration.agents.server import Server
from tests.integration.screens import COMMAND
from tests.server.served import Served

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(shutil.which(registry.PROGRAM) is None, reason="needs docker-registry"),
]

SERIES = f"{sys.version_info.major}.{sys.version_info.minor}"
OWN = ImageSpec(
    base=NAME,
    steps=(
        ImageStep("run_commands", ("mkdir /made && touch /made/click.py",)),
        ImageStep("env", ("PYTHONPATH=/made", "OF_IMAGE=yes")),
    ),
)
ME = (registry.USER, registry.PASSWORD)


def inside() -> dict[str, Any]:
    """What a function finds in there."""
    import click

    return {
        "click": click.__file__,
        "variable": os.environ.get("OF_IMAGE"),
        "program": sys.executable,
        "secrets": [name for name in os.environ if "TOKEN" in name],
    }


class Provider(MemoryProvider):
    """Its machines are containers of this machine, in its network."""

    name = "fly"

    def __init__(self, client: Any, url: str) -> None:
        super().__init__()
        self.client, self.url = client, url
        self.containers: dict[str, str] = {}

    def create(self, order: Order) -> Rented:
        rented = super().create(order)
        auth = dict(zip(("username", "password"), ME, strict=True))
        self.client.pull(order.image, auth_config=auth)
        how = self.client.create_host_config(network_mode="host")
        made = self.client.create_container(
            order.image, [*order.argv], environment=dict(order.env), host_config=how
        )
        self.containers[rented.provider_id] = made["Id"]
        self.client.start(made["Id"])
        return rented

    def destroy(self, provider_id: str) -> None:
        super().destroy(provider_id)
        container = self.containers.pop(provider_id, None)
        if container is not None:
            self.client.remove_container(container, force=True)


class Papers:
    """What a machine is told."""

    url = ""

    def order(self, rent: Rent) -> Order:
        assert rent.image is not None
        env = {
            "APOTHIC_AGENT_URL": self.url,
            "APOTHIC_AGENT_TOKEN": "any",
            "APOTHIC_MACHINE": rent.tag,
            "APOTHIC_MACHINE_IMAGE": rent.image.digest,
        }
        its: dict[str, Any] = {"argv": ("apothic", "agent"), "env": env}
        return order(rent.tag, image=rent.image.reference, most_usd_per_hour=1.0, **its)

    def revoke(self, tag: str) -> None:
        pass


@pytest.fixture
def client() -> Iterator[Any]:
    """Others may use the same Docker: only what is ours here is removed."""
    with closing(engine.connect()) as client:
        yield client
        building.prune({OWN.digest}, client)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry.running(tmp_path_factory.mktemp("registry")) as host:
        yield f"{host}/me/own"


@pytest.fixture
def reference(
    client: Any, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The image of the function, in the registry and no more here."""
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path))
    again: list[str] = []
    name = machines.build(OWN, None, SERIES, bool, client)
    assert machines.build(OWN, None, SERIES, again.append, client) == name
    assert again == []
    found = push(client, name, place, Login(place.partition("/")[0], *ME), bool)
    building.prune({OWN.digest}, client)
    yield found
    client.remove_image(found, force=True)


def test_a_machine_of_a_published_image_runs_its_function_in_it(
    client: Any, reference: str
) -> None:
    papers: Any = Papers()
    provider: Any = Provider(client, "")
    renting = Renting(Terms(("fly",), max_usd_per_hour=1.0), {"fly": provider}, papers)
    server = Server(lease_s=30.0, renting=renting)
    papers.url = server.url
    try:
        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        code = Payload(cloudpickle.dumps(inside))
        spec = FunctionSpec("boxed", "inside", image=OWN, python=SERIES, memory_mb=256)
        function = server.backend.start(RegisterFunction(spec, code)).wait(30)
        published = PublishedImage(OWN.digest, reference, release=machines.release())
        server.backend.start(PublishImage(published)).wait(30)

        found = value_of(server.backend.start(RunJob(function, arguments())).wait(120))

        assert found == {
            "click": "/made/click.py",  # and not that of the agent
            "variable": "yes",
            "program": f"/usr/bin/python{SERIES}",
            "secrets": [],
        }
        server.backend.start(ReleaseMachines(timeout_s=0)).wait(30)
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
        for name in [*provider.containers]:
            provider.destroy(name)
        server.close()


APP = f"""
from apothic import App, Image

app = App("demo")
own = Image.from_registry({NAME!r}).run_commands(*{OWN.steps[0].words!r})


@app.function(image=own.env(PYTHONPATH="/made", OF_IMAGE="yes"))
def inside(): ...


@app.function()
def plain(): ...
"""


def test_what_is_typed_publishes_an_image_once(
    client: Any, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").touch()
    (project / "app.py").write_text(APP)
    with closing(Served(tmp_path, "--no-agent")) as server:
        own = {"BACKEND": server.url, "TEST_BACKEND": server.url, "API_KEY": server.token}
        own |= {"HOME": str(tmp_path), "REGISTRY": place}
        own |= dict(zip(("REGISTRY_USER", "REGISTRY_PASSWORD"), ME, strict=True))
        for name, value in own.items():
            monkeypatch.setenv(f"APOTHIC_{name}", value)

        first, again = (
            subprocess.run(
                [*COMMAND, "image", "publish", "app.py"],
                cwd=project,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            for _ in range(2)
        )

        assert first.returncode == 0, first.stderr
        assert first.stdout.startswith(f"{place}@sha256:")
        assert again.stdout == first.stdout
        assert f"goes to {place}" in first.stderr
        assert f"goes to {place}" not in again.stderr
        assert registry.PASSWORD not in first.stderr
        with closing(open_remote(server.url, server.token)) as backend:
            (known,) = backend.start(ListImages()).wait(30)
    found = PublishedImage(OWN.digest, first.stdout.strip(), "", machines.release())
    assert known == found


def test_a_registry_that_knows_nobody_of_that_name_says_how_to_log_in(
    client: Any, place: str
) -> None:
    client.tag(NAME, "apothic/machine", "wrong")
    try:
        with pytest.raises(PushFailed, match=r"docker login 127\.0\.0\.1") as refused:
            push(
                client,
                "apothic/machine:wrong",
                place,
                Login(place.partition("/")[0], "me", "no"),
                bool,
            )
    finally:
        client.remove_image("apothic/machine:wrong")
    assert "'no'" not in refused.value.message
