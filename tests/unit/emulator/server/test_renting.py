"""What a rented machine is given, and what of that holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import pytest

from apothic_backends.model.errors import UsageError
from apothic_backends.model.machines import CloudSnapshot, MachineSnapshot, PublishedImage
from apothic_backends.placement.offers import Offer
from apothic_backends.providers.base import Login, Mount, NoCapacity, VolumeOrder
from apothic_backends.providers.opening import login_of
from apothic_emulator.core.renting import Rent, RentedVolume, RentVolume, Terms
from apothic_emulator.server.commands import serve, settings
from apothic_emulator.server.first import first_key
from apothic_emulator.server.keys import Keys, new_token
from apothic_emulator.server.renting import Papers, Place, still_rented, terms_of
from apothic_emulator.server.settings import Settings
from apothic_emulator.stores.memory import MemoryEngine
from apothic_emulator.stores.store import Store

TAG = "apothic/p/1-abc"
NOW = 1000.0


@pytest.fixture
def keys() -> Keys:
    return Keys(Store(MemoryEngine()))


def papers_of(keys: Keys) -> Papers:
    place = Place("https://host", "image", 900.0, Login("ghcr.io", "me", "the-password-of-ghcr"))
    return Papers(keys, "default", place, lambda: NOW)


def rent(
    tag: str = TAG, image: PublishedImage | None = None, volume: RentedVolume | None = None
) -> Rent:
    return Rent(1, "vast", tag, Offer("one", {}), 0.5, 16.0, 86400.0, image, volume)


def test_a_machine_gets_all_that_its_agent_needs_and_no_more(keys: Keys) -> None:
    order = papers_of(keys).order(rent())

    env = {**order.env}
    token = env.pop("APOTHIC_AGENT_TOKEN")
    assert env == {
        "APOTHIC_AGENT_URL": "https://host",
        "APOTHIC_MACHINE": TAG,
        "APOTHIC_MAX_LIFETIME_S": "86400",
        "APOTHIC_NO_CONTACT_S": "900",
    }
    assert (order.tag, order.argv, order.most_usd_per_hour) == (TAG, ("apothic", "agent"), 0.5)
    assert token not in repr(order)


def test_a_machine_of_a_functions_image_is_made_of_that_and_knows_which_it_is(keys: Keys) -> None:
    image = PublishedImage("f" * 64, "ghcr.io/me/own@sha256:0")

    order = papers_of(keys).order(rent(image=image))

    assert order.image == image.reference
    assert order.env["APOTHIC_MACHINE_IMAGE"] == image.digest


def test_a_machine_with_a_volume_has_it_at_a_path_and_knows_which_and_where(keys: Keys) -> None:
    order = papers_of(keys).order(rent(volume=RentedVolume("data", "201", "31005")))

    assert order.volume == Mount("201", "/apothic-volume")
    assert order.env["APOTHIC_LOCAL_VOLUME"] == "data"
    assert order.env["APOTHIC_LOCAL_FOLDER"] == "/apothic-volume"
    assert order.env["APOTHIC_HOST"] == "vast-31005"


def test_no_volume_is_rented_for_one_that_lies_elsewhere(keys: Keys) -> None:
    papers = papers_of(keys)
    wish = RentVolume(1, "vast", "data", VolumeOrder("apothic_p_1", "1", 20, 0.01))
    papers.check_volume(wish)

    papers.host_of = {"data": "my-desktop"}.get

    with pytest.raises(NoCapacity, match="volume data lies on my-desktop, and a new one would be"):
        papers.check_volume(wish)


def test_who_loads_an_image_is_told_of_the_password_of_its_registry_and_no_other(
    keys: Keys,
) -> None:
    papers = papers_of(keys)
    inside = papers.order(rent(image=PublishedImage("f" * 64, "ghcr.io/me/own@sha256:0")))
    outside = papers.order(rent(image=PublishedImage("f" * 64, "ghcr.io.me.com/own@sha256:0")))

    assert inside.login is not None
    assert (inside.login.user, inside.login.password) == ("me", "the-password-of-ghcr")
    assert "the-password" not in repr(inside)
    assert outside.login is None
    assert papers.order(rent()).login is None


def test_what_a_machine_has_printed_is_shown_without_what_it_was_given(keys: Keys) -> None:
    papers = papers_of(keys)
    token = papers.order(rent()).env["APOTHIC_AGENT_TOKEN"]

    shown = papers.veiled(f"docker run -e T={token} && login -p the-password-of-ghcr")

    assert shown == "docker run -e T=*** && login -p ***"


def test_what_opens_a_registry_is_said_as_a_whole() -> None:
    env = {"APOTHIC_REGISTRY": "ghcr.io/me", "APOTHIC_REGISTRY_USER": "me"}
    assert login_of({}) is None
    assert login_of({"APOTHIC_REGISTRY": "ghcr.io/me"}) is None

    found = login_of({**env, "APOTHIC_REGISTRY_PASSWORD": "the-password-of-ghcr"})
    assert found is not None
    assert (found.host, found.user, found.password) == ("ghcr.io", "me", "the-password-of-ghcr")
    with pytest.raises(UsageError, match="one is missing"):
        login_of(env)


def test_the_token_of_a_machine_joins_agents_and_ends_with_its_life(keys: Keys) -> None:
    token = papers_of(keys).order(rent()).env["APOTHIC_AGENT_TOKEN"]

    key = keys.find(token, NOW)
    assert key is not None
    assert (key.scopes, key.account, key.name) == (("agent",), "default", "apothic.p.1-abc")
    assert keys.find(token, NOW + 86400 + 3600) is None


def test_the_token_of_a_machine_that_is_gone_holds_no_more(keys: Keys) -> None:
    papers = papers_of(keys)
    token = papers.order(rent()).env["APOTHIC_AGENT_TOKEN"]
    other = papers.order(rent("apothic/p/2-abc")).env["APOTHIC_AGENT_TOKEN"]

    papers_of(keys).revoke(TAG)  # also one of another life of the server

    assert keys.find(token, NOW) is None
    assert keys.find(other, NOW) is not None


def test_a_key_that_is_given_is_the_operators(keys: Keys, tmp_path: Path) -> None:
    token = new_token()

    assert first_key(keys, tmp_path, NOW, token) is None
    assert first_key(keys, tmp_path, NOW, token) is None

    key = keys.find(token, NOW)
    assert key is not None
    assert key.scopes == ("admin",)
    assert [it.key_id for it in keys.listed()] == [key.key_id]


def test_a_key_that_is_given_later_replaces_the_one_before(keys: Keys, tmp_path: Path) -> None:
    before, after = new_token(), new_token()
    first_key(keys, tmp_path, NOW, before)

    first_key(keys, tmp_path, NOW, after)

    assert keys.find(before, NOW) is None
    assert keys.find(after, NOW) is not None


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--provider", "vast"], "--max-usd-per-hour"),
        (["--provider", "vast", "--max-usd-per-hour", "1"], "--machine-image"),
    ],
)
def test_nobody_rents_without_having_said_for_how_much_and_what(
    options: list[str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path))
    command: Any = serve

    with pytest.raises(click.UsageError, match=why):
        command.main(options, standalone_mode=False)


def test_what_may_be_rented_is_what_the_options_say(tmp_path: Path) -> None:
    words = "--provider vast --max-usd-per-hour 2 --machine-image any --machine-boot 60"
    words += " --machine-idle 5 --machine-lifetime 600 --machine-volume-gb 50"
    command: Any = serve
    given = command.make_context("serve", words.split()).params

    assert settings(tmp_path, given).terms == Terms(
        ("vast",), 2.0, boot_s=60.0, idle_s=5.0, lifetime_s=600.0, volume_gb=50
    )


def rented(*machines: MachineSnapshot) -> CloudSnapshot:
    """These machines, and what they cost together."""
    usd_per_hour = sum(it.usd_per_hour for it in machines)
    return CloudSnapshot("apothic/x/", usd_per_hour, 2.0, 0.0, 0.0, False, machines=machines)


def test_a_start_tells_what_machines_cost_that_went_on_meanwhile() -> None:
    first = MachineSnapshot("machines:1", "fly", "t1", "up", 0.0, 0.5, 1000.0)
    other = MachineSnapshot("machines:2", "vast", "t2", "up", 0.0, 0.25, 4600.0)

    assert still_rented(rented(first, other), 8200.0) == (
        "2 machines are rented still, for $0.750 an hour: about $1.250 since 1970-01-01 00:16 UTC"
    )
    assert "1 machine is rented still, for $0.500" in str(still_rented(rented(first), 1000.0))


def test_a_start_tells_nothing_where_nothing_is_rented() -> None:
    assert still_rented(rented(), 1000.0) is None


def test_a_server_that_runs_functions_says_what_it_has_and_another_does_not(tmp_path: Path) -> None:
    told = Settings(tmp_path, terms=Terms(("fly",), 1.0))

    here = terms_of(told).home
    assert here is not None
    assert (here.cpu, here.memory_mb > 100) == (len(os.sched_getaffinity(0)), True)
    assert here.offer["disk_space"] > 0
    assert terms_of(told.replace(has_agent=False)).home is None
