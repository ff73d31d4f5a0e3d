from __future__ import annotations

import pytest

from apothic_backends.model.errors import UsageError
from apothic_backends.remote.address import address_of


@pytest.mark.parametrize(
    ("url", "origin", "socket"),
    [
        ("https://run.apothic.ai", "https://run.apothic.ai:443", "wss://run.apothic.ai:443/v1"),
        (
            "https://Host.example:8443/a/",
            "https://host.example:8443",
            "wss://host.example:8443/a/v1",
        ),
        ("http://127.0.0.1:8377", "http://127.0.0.1:8377", "ws://127.0.0.1:8377/v1"),
        ("http://[::1]:1", "http://[::1]:1", "ws://[::1]:1/v1"),
        ("http://localhost", "http://127.0.0.1:80", "ws://127.0.0.1:80/v1"),
        ("http://LOCALHOST.:1", "http://127.0.0.1:1", "ws://127.0.0.1:1/v1"),
        ("https://localhost", "https://localhost:443", "wss://localhost:443/v1"),
        ("http://app.localhost.", "http://app.localhost:80", "ws://app.localhost:80/v1"),
    ],
)
def test_an_address_names_a_server(url: str, origin: str, socket: str) -> None:
    address = address_of(url)

    assert (address.origin, address.websocket("/v1")) == (origin, socket)
    assert address_of(address.url) == address


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "http://10.0.0.1:8377",
        "http://127.0.0.1.evil.com",
        "http://localhost.evil.com",
        "http://0.0.0.0:8377",
        "http://[::ffff:10.0.0.1]",
    ],
)
def test_no_key_goes_over_plain_http_to_another_machine(url: str) -> None:
    with pytest.raises(UsageError, match="plain http://"):
        address_of(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "begin with https"),
        ("ftp://host", "begin with https"),
        ("https://", "names no host"),
        ("https://host:99999", "no address"),
        ("https://[::1", "no address"),
        ("https://apk_1:secret@host", "does not belong into it"),
        ("https://host?key=secret", "end with the host"),
        ("https://host#x", "end with the host"),
    ],
)
def test_what_is_no_address_is_refused(url: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        address_of(url)

    assert "secret" not in str(caught.value)
