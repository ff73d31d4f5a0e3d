"""What a server that a function starts listens at, and what is said of it."""

from __future__ import annotations

import pytest

from apothic_emulator.executors.web.ports import Listener, is_beyond, why_silent


def listener(host: str, port: int = 80) -> Listener:
    return Listener(1, host, port, "serve")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_this_machine_alone(host: str) -> None:
    assert not is_beyond(listener(host))


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.1.2.3", "::ffff:10.1.2.3", "fe80::1%eth0", "2001:db8::1"]
)
def test_others_reach_every_other_address(host: str) -> None:
    assert is_beyond(listener(host))


def test_one_at_another_port_is_told_of_its_port() -> None:
    assert why_silent(80, "1 s", [listener("0.0.0.0", 81), listener("::", 82)]) == (
        "nothing accepts connections at port 80 within 1 s: what it has started listens at "
        "0.0.0.0:81 (process 1, serve), [::]:82 (process 1, serve). Have that use port 80, or "
        "declare the port that it uses: @app.web_server(port)"
    )


def test_one_at_another_address_is_told_of_its_address() -> None:
    assert why_silent(80, "1 s", [listener("10.1.2.3")]).endswith("Have it listen at 127.0.0.1")
