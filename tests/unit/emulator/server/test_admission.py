"""By which name services are found that other machines reach, and at which ports."""

from __future__ import annotations

import ipaddress
import math
from pathlib import Path

import click
import pytest

from apothic_emulator.gateway.proxies import Proxy
from apothic_emulator.server.admission import Admission, name_of, public_of
from apothic_emulator.server.commands import origin, ports
from apothic_emulator.server.keys import Keys
from apothic_emulator.server.settings import Settings
from apothic_emulator.stores.opening import open_store


def settings(tmp_path: Path, **told: object) -> Settings:
    return Settings(tmp_path, **told)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hosts", "name"),
    [(("one.example", "two.example"), "one.example"), (("one.example:8377",), "one.example")],
)
def test_the_first_name_that_was_given_stands_in_their_urls(
    tmp_path: Path, hosts: tuple[str, ...], name: str
) -> None:
    assert name_of(settings(tmp_path, host="0.0.0.0", hosts=hosts), "0.0.0.0") == name


def test_without_one_it_is_where_the_server_listens(tmp_path: Path) -> None:
    assert name_of(settings(tmp_path, host="10.0.0.5"), "10.0.0.5") == "10.0.0.5"


def test_a_server_at_all_addresses_names_one_that_others_may_use(tmp_path: Path) -> None:
    name = name_of(settings(tmp_path, host="0.0.0.0"), "0.0.0.0")

    assert not ipaddress.ip_address(name).is_unspecified


def test_on_loopback_there_is_no_front(tmp_path: Path) -> None:
    store = open_store("memory", tmp_path, "server")
    store.open()

    assert public_of(settings(tmp_path), Keys(store), "default", float) is None


def test_there_is_one_where_a_proxy_leads_there(tmp_path: Path) -> None:
    store = open_store("memory", tmp_path, "server")
    store.open()
    told = settings(tmp_path, service_url="https://a.example", client_header="Fly-Client-IP")

    found = public_of(told, Keys(store), "default", float)

    assert found is not None
    assert found.proxy == Proxy("https://a.example", b"fly-client-ip")


@pytest.mark.parametrize("text", ["a.example", "https://a.example/", "ftp://a", "https://a/b"])
def test_what_stands_before_the_port_is_a_scheme_and_a_host(text: str) -> None:
    with pytest.raises(click.BadParameter, match="https://HOST"):
        origin(text)


@pytest.mark.parametrize(("ttl_s", "left_s"), [(None, math.inf), (60.0, 40.0)])
def test_a_key_opens_services_for_as_long_as_it_holds(
    tmp_path: Path, ttl_s: float | None, left_s: float
) -> None:
    store = open_store("memory", tmp_path, "server")
    store.open()
    keys = Keys(store)
    key, token = keys.create("default", ["service"], 1000.0, ttl_s=ttl_s)

    passes = Admission(keys, "default", lambda: 1020.0)(token, "here")

    assert passes == (key.key_id, left_s)


@pytest.mark.parametrize(
    ("text", "found"), [("", range(0)), ("20000-20999", range(20000, 21000)), ("5-5", range(5, 6))]
)
def test_a_range_of_ports(text: str, found: range) -> None:
    assert ports(text) == found


@pytest.mark.parametrize("text", ["20000", "2-1", "0-5", "1-65536", "a-b", "-5"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="20000-20999"):
        ports(text)
