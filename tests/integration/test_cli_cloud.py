"""`apothic cloud sweep`, `apothic offer search`, `apothic plan --for cloud`: as they are typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apothic_backends.providers.base import Mount, VolumeOrder
from apothic_backends.providers.fly.api import FlyApi
from apothic_backends.providers.fly.app import FlyApp
from apothic_backends.providers.fly.sizes import Guest
from tests.fakes.fly.fake import FakeFly
from tests.fakes.serving import served
from tests.fakes.vast.fake import KEY
from tests.providers.vast.account import Account, opened

COMMAND = str(Path(sys.executable).with_name("apothic"))

APP = """
from apothic import App

app = App("demo")

@app.function(gpu="RTX_4090", max_cost_per_hour_usd=5)
def train() -> None: ...
"""


@pytest.fixture
def account() -> Iterator[Account]:
    with opened(strict=False) as account:
        yield account


@pytest.fixture
def run(account: Account, tmp_path: Path) -> Any:
    def run(*line: str, **env: str) -> subprocess.CompletedProcess[str]:
        own = {"APOTHIC_HOME": str(tmp_path), "APOTHIC_VAST_URL": account.fake.url}
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return subprocess.run(
            [COMMAND, *line],
            check=False,
            env={**kept, **own, "VAST_API_KEY": KEY, **env},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def rent(account: Account, *tags: str) -> None:
    offers = account.offers(gpu_count=1, max_cost_per_hour_usd=0.9)
    for tag, offer in zip(tags, offers, strict=False):
        account.provider.create(account.order(tag, offer=offer))


def labels(account: Account) -> list[str | None]:
    return [it.label for it in account.fake.alive()]


def test_a_sweep_destroys_what_has_our_tags_and_nothing_else(account: Account, run: Any) -> None:
    rent(account, "apothic/a/1", "apothic/b/7", "somebody/else")

    swept = run("cloud", "sweep", "--yes")

    assert swept.returncode == 0, swept.stderr
    assert "apothic/a/1" in swept.stdout
    assert "apothic/b/7" in swept.stdout
    assert "no machine is left" in swept.stderr
    assert labels(account) == ["somebody/else"]
    assert KEY not in swept.stdout + swept.stderr


def test_a_sweep_destroys_nothing_that_nobody_has_agreed_to(account: Account, run: Any) -> None:
    rent(account, "apothic/a/1")

    asked, looked = run("cloud", "sweep"), run("cloud", "sweep", "--dry-run", "--json")

    assert (asked.returncode, looked.returncode) == (2, 0)
    assert "say --yes" in asked.stderr
    assert [it["tag"] for it in json.loads(looked.stdout)["machines"]] == ["apothic/a/1"]
    assert labels(account) == ["apothic/a/1"]


def test_a_sweep_says_what_it_could_not_remove(account: Account, run: Any) -> None:
    rent(account, "apothic/a/1")
    account.fake.next("destroy", stubborn=True)

    swept = run("cloud", "sweep", "--yes", "--timeout", "0")

    assert swept.returncode == 6
    assert "1 machine (" in swept.stderr
    assert "not removed: vast " in swept.stderr


def test_a_sweep_deletes_volumes_after_the_machines_that_have_them(
    account: Account, run: Any
) -> None:
    volumes = account.provider.volumes
    assert volumes is not None
    offer, *_ = account.offers(gpu_count=1, max_cost_per_hour_usd=0.9)
    host = str(offer.values["machine_id"])
    ours = volumes.rent(VolumeOrder("apothic_a_1", host, 20, 1.0))
    volumes.rent(VolumeOrder("mine", host, 20, 1.0))
    order = account.order("apothic/a/2", offer=offer, volume=Mount(ours.provider_id, "/data"))
    account.provider.create(order)
    account.fake.disks.free_s = 0.0

    kept = run("cloud", "sweep", "--yes", "--keep-volumes")

    assert kept.returncode == 0, kept.stderr
    told = f"vast volume {ours.provider_id} (apothic_a_1) stays, with what is in it, and costs"
    assert told in kept.stderr
    assert labels(account) == []

    swept = run("cloud", "sweep", "--yes")

    assert swept.returncode == 0, swept.stderr
    assert "volume, 20 GB" in swept.stdout
    assert [it.label for it in account.fake.disks.alive()] == ["mine"]


def test_a_sweep_asks_before_it_deletes_what_is_in_volumes(account: Account, run: Any) -> None:
    volumes = account.provider.volumes
    assert volumes is not None
    host = str(account.offers()[0].values["machine_id"])
    volumes.rent(VolumeOrder("apothic_a_1", host, 20, 1.0))

    asked = run("cloud", "sweep")

    assert asked.returncode == 2
    assert "Destroy 1 volume (0.0042 USD an hour), with all that is in volumes?" in asked.stderr
    assert len(account.fake.disks.alive()) == 1


def test_without_a_key_nobody_is_asked(run: Any) -> None:
    swept = run("cloud", "sweep", "--yes", VAST_API_KEY="")

    assert swept.returncode == 3
    assert "VAST_API_KEY" in swept.stderr


def test_a_provider_that_is_told_of_in_part_is_an_error_and_one_that_is_not_is_named(
    run: Any,
) -> None:
    part = run("cloud", "sweep", "--yes", FLY_API_TOKEN="fm2_a")
    one = run("cloud", "sweep", "--yes")

    assert part.returncode == 3
    assert "fly needs FLY_ORG" in part.stderr
    assert one.returncode == 0, one.stderr
    assert "fly was not asked: FLY_API_TOKEN and FLY_ORG would have to be set" in one.stderr


def test_a_sweep_goes_on_at_vast_where_fly_cannot_be_asked(account: Account, run: Any) -> None:
    rent(account, "apothic/a/1")
    with served(FakeFly()) as fly:
        env = {"APOTHIC_FLY_URL": fly.url, "FLY_API_TOKEN": "fm2_wrong", "FLY_ORG": fly.org}
        swept = run("cloud", "sweep", "--yes", "--timeout", "20", "--json", **env)

    assert swept.returncode == 6
    assert labels(account) == []
    assert json.loads(swept.stdout)["unasked"] == ["fly"]
    assert "not all machines of fly could be listed" in swept.stderr


def test_offers_are_shown_that_could_be_rented_now(run: Any) -> None:
    found = run("offer", "search", "--gpu", "RTX_4090", "--json")

    offers = json.loads(found.stdout)["offers"]
    assert {it["gpu_name"] for it in offers} == {"RTX 4090"}
    prices = [it["dph_total"] for it in offers]
    assert prices == sorted(prices)


def test_a_plan_for_the_cloud_has_the_prices_of_now(run: Any, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)

    planned = run("plan", "app.py", "--for", "cloud", "--json")

    assert planned.returncode == 0, planned.stderr
    told = json.loads(planned.stdout)
    assert told["as_of"] is None
    assert told["functions"][0]["rented"]["gpu_name"] == "RTX 4090"


def test_a_plan_says_that_a_volume_of_one_host_is_at_vast(run: Any, tmp_path: Path) -> None:
    volume = 'volumes=[Volume.create("data", backend="vast_local").mounted_at("/data")]'
    text = APP.replace("import App", "import App, Volume").replace("gpu=", f"{volume}, gpu=")
    (tmp_path / "app.py").write_text(text)

    planned = run("plan", "app.py")

    assert planned.returncode == 0, planned.stderr
    assert "train: volume data is vast_local: rented machines are at Vast" in planned.stdout


def test_a_sweep_names_control_planes_and_leaves_them_alone(run: Any) -> None:
    with served(FakeFly()) as fly:
        api = FlyApi(fly.token, fly.org, url=fly.url)
        its = FlyApp(api, "apothic-mine")
        its.ensure()
        its.ensure_volume("data", "iad", 1, Guest("shared", 1, 1024))
        env = {"FLY_API_TOKEN": fly.token, "FLY_ORG": fly.org, "APOTHIC_FLY_URL": fly.url}

        swept = run("cloud", "sweep", "--yes", **env)

        assert swept.returncode == 0, swept.stderr
        assert "left alone: the control plane apothic-mine on Fly (volume vol_" in swept.stderr
        assert len(its.left()) == 1
        api.close()
