"""`apothic cloud up --volume-bucket`, as it is typed: a fake of Fly, and a real S3 server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.buckets.conftest import S3
from tests.fakes.fly.fake import FakeFly
from tests.fakes.fly.fixtures import fly_fake

__all__ = ["fly_fake"]

COMMAND = str(Path(sys.executable).with_name("apothic"))
APP = "apothic-mine"
UP = ("cloud", "up", "--yes", "--app", APP, "--image", "any", "--max-usd-per-hour", "1")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def env(fly_fake: FakeFly, s3: S3, tmp_path: Path) -> dict[str, str]:
    return {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "APOTHIC_HOME": str(tmp_path),
        "APOTHIC_FLY_URL": fly_fake.url,
        "APOTHIC_FLY_APP_URL": fly_fake.public_url(APP),
        "FLY_API_TOKEN": fly_fake.token,
        "FLY_ORG": fly_fake.org,
        "AWS_ACCESS_KEY_ID": s3.server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.server.secret_key,
        "AWS_ENDPOINT_URL_S3": s3.server.url,
    }


@pytest.fixture
def run(env: dict[str, str], tmp_path: Path) -> Run:
    def run(*line: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *line],
            check=False,
            env={**env, **changes},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def test_volumes_of_a_control_plane_in_the_cloud_are_in_its_bucket_which_stays(
    run: Run, env: dict[str, str], fly_fake: FakeFly, s3: S3, tmp_path: Path
) -> None:
    told = f"{s3.name}/pre"
    up = run(*UP, "--volume-bucket", told)
    assert up.returncode == 0, up.stderr
    assert s3.keys() == []  # what it was tried with is gone
    (machine,) = fly_fake.machines
    described = json.dumps([machine.config, up.stdout, up.stderr])
    assert [
        it for it in (env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"]) if it in described
    ] == []

    (tmp_path / "x").write_text("text of the file")
    for line in ("volume create data", "volume cp x data:/x"):
        done = run(*line.split(), APOTHIC_BACKEND="cloud")
        assert done.returncode == 0, done.stderr
    (key,) = s3.keys()
    assert key.startswith("pre/default/")
    assert s3.get(key) == b"text of the file"

    elsewhere = run(*UP)
    assert elsewhere.returncode == 2
    assert f"in the bucket {told}, and would look for them on its disk: data" in elsewhere.stderr
    assert [it.instance_id for it in fly_fake.machines] == [machine.instance_id]

    down = run("cloud", "down", "--app", APP, "--yes")
    assert down.returncode == 0, down.stderr
    assert f"the bucket {told} stays" in down.stderr
    assert s3.keys() == [key]


def test_keys_that_may_not_write_are_refused_before_anything_is_made(
    run: Run, fly_fake: FakeFly, s3: S3
) -> None:
    access, secret = s3.server.reader
    keys = {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret}

    refused = run(*UP, "--volume-bucket", s3.name, **keys)

    assert (refused.returncode, dict(fly_fake.state.apps)) == (1, {})
    assert f"bucket {s3.name} at {s3.server.url}: cannot write" in refused.stderr
    assert "access denied" in refused.stderr


@pytest.mark.parametrize(
    ("line", "changes", "why"),
    [
        (("--volume-bucket", "any"), {"AWS_ACCESS_KEY_ID": ""}, "AWS_ACCESS_KEY_ID"),
        (("--", "--volume-bucket=any"), {}, "before the --"),
    ],
)
def test_a_bucket_without_its_keys_is_refused(
    line: tuple[str, ...], changes: dict[str, str], why: str, run: Run, fly_fake: FakeFly
) -> None:
    refused = run(*UP, *line, **changes)

    assert (refused.returncode, dict(fly_fake.state.apps)) == (2, {})
    assert why in refused.stderr


def test_a_bucket_that_is_not_reached_is_told_of(run: Run, fly_fake: FakeFly) -> None:
    refused = run(*UP, "--volume-bucket", "any", AWS_ENDPOINT_URL_S3="http://127.0.0.1:9")

    assert (refused.returncode, dict(fly_fake.state.apps)) == (1, {})
    assert "bucket any at http://127.0.0.1:9: cannot write" in refused.stderr
