"""At which ports the services of a server are, and by which name."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from apothic_emulator.gateway.proxies import Proxy
from apothic_emulator.gateway.public import EVERYBODY, Public

SERVICE = "demo/web"


def public(ports: range = range(0), name: str = "here") -> Public:
    return Public("127.0.0.1", socket.AF_INET, name, None, ports, lambda _token, _at: EVERYBODY, 1)


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """A port that somebody else has."""
    with ExitStack() as stack:
        yield stack.enter_context(socket.create_server(("127.0.0.1", 0)))


def test_a_service_keeps_its_port() -> None:
    listener, _ = public().listen(SERVICE, 0)
    port = port_of(listener)
    listener.close()

    again, note = public().listen(SERVICE, port)

    with again:
        assert (port_of(again), note) == (port, "")


def test_a_port_that_is_taken_is_said_and_another_one_is_used(taken: socket.socket) -> None:
    listener, note = public().listen(SERVICE, port_of(taken))

    with listener:
        assert f"port {port_of(taken)} cannot be listened on" in note


def test_ports_are_those_that_were_said(taken: socket.socket) -> None:
    first = port_of(taken)
    ports = range(first, first + 5)

    listener, _ = public(ports).listen(SERVICE, 0)

    with listener:
        assert port_of(listener) in ports


def test_a_port_from_before_is_not_kept_if_it_is_none_of_them(taken: socket.socket) -> None:
    first = port_of(taken)
    ports = range(first, first + 5)

    listener, note = public(ports).listen(SERVICE, 1)

    with listener:
        assert port_of(listener) in ports
        assert "port 1 is none of those" in note


def test_it_is_said_when_they_are_all_taken(taken: socket.socket) -> None:
    port = port_of(taken)

    with pytest.raises(OSError, match=f"all ports from {port} to {port} are taken.*--services"):
        public(range(port, port + 1)).listen(SERVICE, port)


@pytest.mark.parametrize(
    ("name", "url"), [("here", "http://here:80"), ("2001:db8::1", "http://[2001:db8::1]:80")]
)
def test_where_clients_find_it(name: str, url: str) -> None:
    assert public(name=name).url(80) == url


def test_clients_find_it_at_the_proxy_and_speak_as_that_does() -> None:
    it = public()._replace(proxy=Proxy("https://mine.example"))

    assert (it.url(10000), it.scheme) == ("https://mine.example:10000", "https")
