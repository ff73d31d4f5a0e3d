"""What a control plane on Fly is made of."""

from __future__ import annotations

import json
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from apothic.cli.cloud import up
from apothic.cli.cloud.bucket import bucket_in
from apothic.cli.cloud.image import check_image, in_registry, source_of
from apothic.cli.cloud.machine import Wanted, argv_of, config_of, secrets_of
from apothic.cli.cloud.profile import name_of, profile_of
from apothic.cli.wishes import Wishes
from apothic_backends.model.errors import UsageError
from apothic_backends.providers.fly.disks import Disk
from apothic_backends.remote.profiles import CLOUD, Profile, Profiles
from tests.fakes.fly.fake import FakeFly
from tests.fakes.fly.images import saved
from tests.fakes.serving import served

KEY = "apk_0123456789ab_" + "k" * 43
PORTS = range(10_000, 10_003)
WANTED = Wanted(("fly",), 2.0, ports=PORTS)
DISK = Disk("vol_1", "iad", 10)
PROFILE = Profile(CLOUD, "https://apothic-mine.fly.dev", KEY)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path))
    monkeypatch.setenv("FLY_API_TOKEN", "fly-token")
    monkeypatch.setenv("FLY_ORG", "mine")
    monkeypatch.setenv("VAST_API_KEY", "vast-key")
    monkeypatch.setenv("APOTHIC_CLOUD_STATE", "postgresql://user:password@host/db")
    monkeypatch.delenv("APOTHIC_FLY_APP_URL", raising=False)


def test_nothing_secret_is_where_a_machine_is_described() -> None:
    wanted = WANTED._replace(rented=("fly", "vast"), more=("--grace", "5"))
    config = config_of(PROFILE, wanted, "image", DISK)
    told = json.dumps(config)
    kept = secrets_of(PROFILE, wanted)

    assert set(kept) == {"APOTHIC_ADMIN_KEY", "FLY_API_TOKEN", "VAST_API_KEY", "APOTHIC_STATE"}
    assert [value for value in kept.values() if value in told] == []


def test_its_machine_starts_anew_when_its_disk_has_grown() -> None:
    assert config_of(PROFILE, WANTED, "image", DISK) == config_of(PROFILE, WANTED, "image", DISK)
    assert config_of(PROFILE, WANTED, "image", DISK._replace(size_gb=20)) != config_of(
        PROFILE, WANTED, "image", DISK
    )


def test_a_region_that_is_none_is_refused_before_anything_is_made() -> None:
    up.check_region(None)
    up.check_region("ams")

    with pytest.raises(UsageError, match=r"did you mean ams\? There are: .*iad"):
        up.check_region("amss")
    with pytest.raises(UsageError, match="--region xyz1: There are: ams, "):
        up.check_region("xyz1")


def test_it_gets_only_the_keys_of_providers_that_it_may_rent_from() -> None:
    assert "VAST_API_KEY" not in secrets_of(PROFILE, WANTED)
    assert "FLY_API_TOKEN" not in secrets_of(PROFILE, WANTED._replace(rented=("vast",)))


def test_what_opens_a_registry_is_passed_on_where_it_is_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = {"APOTHIC_REGISTRY": "ghcr.io/me", "APOTHIC_REGISTRY_USER": "me"}
    monkeypatch.setenv("APOTHIC_REGISTRY", "ghcr.io/me")
    assert not told.items() & secrets_of(PROFILE, WANTED).items()
    monkeypatch.setenv("APOTHIC_REGISTRY_USER", "me")
    monkeypatch.setenv("APOTHIC_REGISTRY_PASSWORD", "sesame")

    kept = secrets_of(PROFILE, WANTED)

    assert kept.items() >= {**told, "APOTHIC_REGISTRY_PASSWORD": "sesame"}.items()


def test_it_is_known_by_its_public_name_and_listens_where_flys_proxy_asks() -> None:
    argv = " ".join(argv_of(PROFILE, WANTED, "image"))

    assert "--allow-host apothic-mine.fly.dev --machine-url https://apothic-mine.fly.dev" in argv
    assert "--host 0.0.0.0 --port 8377 --insecure-network" in argv
    assert "--provider fly --max-usd-per-hour 2" in argv


def test_services_are_at_ports_that_fly_leads_to() -> None:
    argv = " ".join(argv_of(PROFILE, WANTED, "image"))
    config = config_of(PROFILE, WANTED, "image", DISK)
    main, *services = config["services"]

    assert "--service-ports 10000-10002 --service-url https://apothic-mine.fly.dev" in argv
    assert "--client-header Fly-Client-IP" in argv
    assert main["internal_port"] == 8377
    assert [it["internal_port"] for it in services] == [*PORTS]
    assert [it["ports"][0]["port"] for it in services] == [*PORTS]
    assert {*services[0]["ports"][0]["handlers"]} == {"tls", "http"}
    assert {it["autostop"] for it in config["services"]} == {"off"}


def take(listening: socket.socket, context: ssl.SSLContext | None) -> None:
    """Speak TLS with the next who comes, or hang up."""
    with listening.accept()[0] as taken, suppress(OSError):
        if context is not None:
            context.wrap_socket(taken, server_side=True).close()


def test_a_port_of_services_that_speaks_no_tls_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as thread:
        port = listening.getsockname()[1]
        thread.submit(take, listening, context)
        assert up.unreached("localhost", port) == ""
        thread.submit(take, listening, None)
        assert up.unreached("localhost", port).startswith(f"localhost:{port}: ")

    assert "refused" in up.unreached("localhost", port)


def test_an_ipv4_address_of_its_own_is_in_the_price() -> None:
    usd = [up._usd_per_month(WANTED._replace(own_ipv4=own)) for own in (False, True)]

    assert usd[1] - usd[0] == pytest.approx(2.0)


def test_the_one_that_is_known_is_meant_again_with_its_key() -> None:
    Profiles().put(PROFILE)

    assert profile_of(None) == (PROFILE, False)
    assert profile_of("apothic-mine") == (PROFILE, False)


def test_a_second_one_is_not_made_over_the_first() -> None:
    Profiles().put(PROFILE)

    with pytest.raises(UsageError, match=r"at https://apothic-mine\.fly\.dev.*cloud down"):
        profile_of("apothic-other")


@pytest.mark.parametrize(
    ("rented", "why"), [(("fly",), "no such file"), (("fly", "vast"), "cannot load it")]
)
def test_a_file_with_an_image_that_nobody_could_load_is_refused_before_anything_is_made(
    rented: tuple[str, ...], why: str, tmp_path: Path
) -> None:
    file = tmp_path / "image.tar"
    if "vast" in rented:
        file.touch()

    with pytest.raises(UsageError, match=why):
        check_image(str(file), rented)


def test_what_is_built_on_a_base_is_not_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave out --image any"):
        source_of(Wishes(), "any", "python:3.11", None, ("fly",))


@pytest.mark.parametrize("registry", [None, "registry.fly.io/apothic-mine"])
def test_what_is_built_for_vast_too_does_not_go_to_flys_registry(registry: str | None) -> None:
    with pytest.raises(UsageError, match="--registry or APOTHIC_REGISTRY"):
        source_of(Wishes(), None, None, registry, ("fly", "vast"))


def test_a_file_goes_to_the_registry_and_is_named_by_its_digest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with served(FakeFly()) as fake:
        monkeypatch.setenv("APOTHIC_FLY_URL", fake.url)
        monkeypatch.setenv("FLY_API_TOKEN", fake.token)
        fake.state.create_app("apothic-mine", fake.org)
        name = in_registry(Wishes(), str(saved(tmp_path, b"a layer")), "apothic-mine")

    assert name.startswith(f"{fake.url.removeprefix('http://')}/apothic-mine@sha256:")
    assert in_registry(Wishes(), "docker.io/me/a:1", "apothic-mine") == "docker.io/me/a:1"


@pytest.mark.parametrize(
    ("line", "bucket"),
    [
        ("", ""),
        ("serve --no-agent", ""),
        ("serve --volume-bucket mine/pre --no-agent", "mine/pre"),
        ("serve --volume-bucket=mine", "mine"),
        ("--volume-bucket one --volume-bucket other", "other"),
    ],
)
def test_the_bucket_of_a_server_is_the_last_that_it_is_told_of(line: str, bucket: str) -> None:
    assert bucket_in(line.split()) == bucket


@pytest.mark.parametrize("name", ["mine", "apothic-w-0123", "apothic-", "apothic-A", "apothic-a/b"])
def test_an_app_has_a_name_by_which_it_is_found_again(name: str) -> None:
    with pytest.raises(UsageError, match="begins with 'apothic-'"):
        profile_of(name)


def test_an_address_that_is_not_of_fly_does_not_name_an_app() -> None:
    with pytest.raises(UsageError, match="say --app"):
        name_of(PROFILE.replace(url="https://apothic.example.com"))
