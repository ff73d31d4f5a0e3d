"""Which names a Host header may have where any page may send a browser."""

from __future__ import annotations

import pytest

from apothic_emulator.executors.web.hosts import ALLOWED, allowed, hosts_in, is_known


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:8000", "app.localhost:1", "127.0.0.1:5", "10.1.2.3", "[::1]:9"],
)
def test_this_machine_is_known_by_its_own_names_and_by_addresses(host: str) -> None:
    assert is_known(host, ())


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil", "", "a b"],
)
def test_it_is_known_by_no_other(host: str) -> None:
    assert not is_known(host, ())


@pytest.mark.parametrize("host", ["mine.test", "mine.test:8000", "Mine.Test"])
def test_it_is_known_by_what_was_listed(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALLOWED, "other.test, mine.test")

    assert is_known(host, allowed())


HEAD = b"GET / HTTP/1.1\r\nhost: here\r\n"


def test_the_host_of_a_request_is_known_once_its_head_is_there() -> None:
    assert hosts_in(HEAD + b"\r\nbody") == ("here",)


@pytest.mark.parametrize("cut", [5, 10, 15, 16, 20, len(HEAD)])
def test_until_then_it_is_not(cut: int) -> None:
    assert hosts_in(HEAD[:cut]) is None


def test_all_hosts_of_a_request_are_seen() -> None:
    assert hosts_in(b"X-OWN /path HTTP/1.1\r\nHOST:a\r\nx: y\r\nHost : b\r\n\r\n") == ("a", "b")


@pytest.mark.parametrize(
    "said",
    [b"hello", b"GET", b"EHLO here\r\n", b"\x16\x03\x01", b"PING /\r\n", b"PRI * HTTP/2.0\r\n\r\n"],
)
def test_what_is_no_request_has_none(said: bytes) -> None:
    assert hosts_in(said) == ()
