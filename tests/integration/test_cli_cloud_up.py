"""`apothic cloud up` and `down`, as they are typed; a fake of Fly runs the real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.fly.fake import FakeFly
from tests.fakes.fly.fixtures import fly_fake

__all__ = ["fly_fake"]

COMMAND = str(Path(sys.executable).with_name("apothic"))
APP = "apothic-mine"
UP = ("up", "--yes", "--json", "--app", APP, "--image", "any", "--max-usd-per-hour", "1")


@pytest.fixture
def cloud(fly_fake: FakeFly, tmp_path: Path) -> Any:
    env = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "APOTHIC_HOME": str(tmp_path),
        "APOTHIC_FLY_URL": fly_fake.url,
        "APOTHIC_FLY_APP_URL": fly_fake.public_url(APP),
        "FLY_API_TOKEN": fly_fake.token,
        "FLY_ORG": fly_fake.org,
    }

    def run(*line: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, "cloud", *line],
            check=False,
            env={**env, **changes},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def test_what_is_typed_wrongly_makes_nothing(cloud: Any, fly_fake: FakeFly) -> None:
    region = cloud(*UP, "--region", "amsterdam")
    fly_fake.token += "-another"
    key = cloud(*UP)
    asked = cloud(*(word for word in UP if word != "--yes"), "--provider", "fly")

    assert (region.returncode, key.returncode, asked.returncode) == (2, 6, 6)
    assert "--region amsterdam: There are: ams" in region.stderr
    assert "fly tokens create org" in key.stderr
    assert dict(fly_fake.state.apps) == {}


def test_what_is_up_stays_as_it_is_and_goes_down_as_a_whole(
    cloud: Any, fly_fake: FakeFly, tmp_path: Path
) -> None:
    first = cloud(*UP)
    assert first.returncode == 0, first.stderr
    made = json.loads(first.stdout)
    (machine,) = fly_fake.machines
    instance = machine.instance_id

    again = json.loads(cloud(*UP, "--own-ipv4").stdout)
    addresses = fly_fake.state.apps[APP].addresses
    assert sorted(":" in it["ip"] for it in addresses if not it["shared"]) == [False, True]
    assert (again["url"], again["is_new"], "api_key" in again) == (made["url"], False, False)
    assert [it.instance_id for it in fly_fake.machines] == [instance]  # it was not started anew
    assert made["api_key"] not in json.dumps([machine.config, first.stderr])
    assert (tmp_path / "profiles.json").stat().st_mode & 0o077 == 0

    grown = cloud(*UP[:2], *UP[3:], "--volume-gb", "12", "--region", "ams")
    assert "its volume is in iad, and stays there" in grown.stderr
    assert str(tmp_path / "profiles.json") in grown.stderr  # who has not seen the key finds it
    (machine,) = fly_fake.machines
    assert (machine.region, machine.instance_id == instance) == ("iad", False)
    assert [it["size_gb"] for it in fly_fake.state.apps[APP].volumes.values()] == [12]

    status = json.loads(cloud("status", "--json").stdout)
    assert (status["max_usd_per_hour"], status["machines"]) == (1.0, [])

    assert cloud("down", "--app", "production", "--yes").returncode == 2  # it is somebody else's
    refused, down = cloud("down", "--app", APP), cloud("down", "--app", APP, "--yes")
    assert (refused.returncode, down.returncode) == (2, 0), down.stderr
    assert (fly_fake.machines, dict(fly_fake.state.apps)) == ([], {})
    assert cloud("down").returncode == 4  # there is none any more


def test_without_an_image_and_without_docker_the_ways_out_are_named(
    cloud: Any, fly_fake: FakeFly, tmp_path: Path
) -> None:
    line = ("up", "--yes", "--app", APP, "--max-usd-per-hour", "1")

    refused = cloud(*line, DOCKER_HOST=f"unix://{tmp_path}/nobody")

    assert (refused.returncode, dict(fly_fake.state.apps)) == (2, {})
    assert "Docker cannot be used here" in refused.stderr
    assert "--image" in refused.stderr
    assert not (tmp_path / "profiles.json").exists()
