"""The image of machines that `apothic cloud up` builds where none is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from apothic_backends.commands import RegisterFunction, RunJob
from apothic_backends.containers import building, engine, standard
from apothic_backends.model.errors import UsageError
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.images import ImageSpec
from apothic_backends.model.payloads import Payload
from tests.conformance.client import arguments, value_of
from tests.containers.image import EMPTY, NAME
from tests.fakes.fly.fake import FakeFly
from tests.fakes.fly.fixtures import fly_fake
from tests.integration.agents.server import Server
from tests.integration.screens import COMMAND

__all__ = ["fly_fake"]

pytestmark = pytest.mark.docker

APP = "apothic-mine"


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """It is built once. Others may use the same Docker: only what is ours here is removed."""
    with closing(engine.connect()) as client:
        yield client
        building.prune({ImageSpec(base=NAME).digest}, client)


def inside() -> dict[str, str]:
    """What a function finds in there."""
    import starlette

    import apothic

    return {"apothic": apothic.__file__, "starlette": starlette.__file__, "in": sys.executable}


def test_a_machine_of_it_runs_functions(client: Any) -> None:
    said: list[str] = []
    name = standard.build(NAME, said.append, client)
    assert said != []
    assert standard.build(NAME, pytest.fail, client) == name  # it is here already
    how = client.create_host_config(network_mode="host")
    with closing(Server(lease_s=30.0)) as server:
        env = {"APOTHIC_AGENT_URL": server.url, "APOTHIC_AGENT_TOKEN": "any"}
        machine = client.create_container(name, environment=env, host_config=how)["Id"]
        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        try:
            client.start(machine)
            code = Payload(cloudpickle.dumps(inside))
            spec = FunctionSpec("boxed", "inside", python=standard.SERIES, memory_mb=256)
            function = server.backend.start(RegisterFunction(spec, code)).wait(30)

            found = value_of(server.backend.start(RunJob(function, arguments())).wait(120))
        finally:
            cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
            client.remove_container(machine, force=True)
    packages = "/opt/apothic/site-packages"
    assert found == {
        "apothic": f"{packages}/apothic/__init__.py",
        "starlette": f"{packages}/starlette/__init__.py",
        "in": f"/usr/bin/python{standard.SERIES}",
    }


def cloud(fake: FakeFly, folder: Path, *line: str, **changes: str) -> Any:
    env = {
        **{
            name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST") if name in os.environ
        },
        "APOTHIC_HOME": str(folder),
        "APOTHIC_FLY_URL": fake.url,
        "APOTHIC_FLY_APP_URL": fake.public_url(APP),
        "FLY_API_TOKEN": fake.token,
        "FLY_ORG": fake.org,
        **changes,
    }
    return subprocess.run(
        [*COMMAND, "cloud", *line],
        check=False,
        env=env,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=500,
    )


UP = ("up", "--yes", "--json", "--app", APP, "--max-usd-per-hour", "1", "--base", NAME)


def test_what_is_typed_builds_it_and_puts_it_into_flys_registry(
    client: Any, fly_fake: FakeFly, tmp_path: Path
) -> None:
    first = cloud(fly_fake, tmp_path, *UP)
    assert first.returncode == 0, first.stderr
    (machine,) = fly_fake.machines
    image = machine.config["image"]
    assert f"/{APP}@sha256:" in image
    argv = machine.config["init"]["exec"]
    assert argv[argv.index("--machine-image") + 1] == image
    assert json.loads(first.stdout)["is_new"]

    sent = fly_fake.registry.sent_bytes
    again = cloud(fly_fake, tmp_path, *UP)
    assert again.returncode == 0, again.stderr
    assert [it.instance_id for it in fly_fake.machines] == [machine.instance_id]
    assert fly_fake.registry.sent_bytes == sent > 0
    assert f"goes to registry.fly.io/{APP}" not in again.stderr
    assert cloud(fly_fake, tmp_path, "down", "--yes", "--app", APP).returncode == 0


def test_a_base_without_this_python_is_refused(client: Any) -> None:
    with pytest.raises(UsageError, match=f"has no Python {standard.SERIES}"):
        standard.build(EMPTY, bool, client)
