"""Which names a Host header may have where any page may send a browser."""

from __future__ import annotations

import pytest

from apothic_emulator.executors.web.hosts import ALLOWED, allowed, is_known


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
