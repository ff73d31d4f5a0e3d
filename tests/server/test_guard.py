"""Nobody gets past the guard: every route, by every method and as a WebSocket."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Iterable

import pytest

from apothic_emulator.server import admin, catalog
from apothic_emulator.server.sockets import SOCKETS
from tests.server.served import Served

PATHS = (
    *catalog.offers(),
    *admin.offers(),
    *(one.path for one in SOCKETS),
    *("/", "/v1/events", "/metrics", "/openapi.json", "/v1/session", "/v1/agent", "/healthz"),
    *("/v2/domain/default/project/main/apps/demo", "/v2/domain/"),
    *("/nothing", "/v1/", "/v1/nothing", "//", "/healthz/", "/%68ealthz", "/../healthz", "/v1/../"),
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
OPEN = {(method, path) for method in ("GET", "HEAD") for path in ("/", "/healthz", "/%68ealthz")}

UPGRADE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)

Headers = list[tuple[str, str]]

ATTACKS: dict[str, Callable[[Served], Headers]] = {
    "no token": lambda s: [("Host", s.own_host)],
    "a wrong token": lambda s: [("Host", s.own_host), bearer("apk_000000000000_x")],
    "a bad host": lambda s: [("Host", f"evil.example:{s.port}"), bearer(s.token)],
    "no host": lambda s: [bearer(s.token)],
    "two hosts": lambda s: [("Host", s.own_host), ("Host", s.own_host), bearer(s.token)],
    "a bad origin": lambda s: [*asks(s), ("Origin", "http://evil.example")],
    "an origin that is null": lambda s: [*asks(s), ("Origin", "null")],
    "another port's origin": lambda s: [*asks(s), ("Origin", "http://127.0.0.1:1")],
    "a fetch across sites": lambda s: [*asks(s), ("Sec-Fetch-Site", "cross-site")],
    "a fetch of the same site": lambda s: [*asks(s), ("Sec-Fetch-Site", "same-site")],
}


def bearer(token: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {token}"


def asks(server: Served) -> Headers:
    return [("Host", server.own_host), bearer(server.token)]


def statuses(
    server: Served, method: str, headers: Headers, paths: Iterable[str] = PATHS
) -> dict[str, int]:
    """What each path says, over one connection as long as it lasts."""
    found: dict[str, int] = {}
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    for path in paths:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        if method == "POST":
            connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", "2")
        connection.endheaders(b"{}" if method == "POST" else None)
        response = connection.getresponse()
        response.read()
        found[path] = response.status
    connection.close()
    return found


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("method", METHODS)
def test_every_route_by_every_method_refuses(server: Served, method: str, attack: str) -> None:
    found = statuses(server, method, ATTACKS[attack](server))

    missed = {path: status for path, status in found.items() if status not in (400, 401, 403, 429)}
    if "token" in attack:
        missed = {path: missed[path] for path in missed if (method, path) not in OPEN}
    assert missed == {}


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_route_as_a_websocket_refuses(server: Served, attack: str) -> None:
    found = {
        path: server.raw(request("GET", path, [*ATTACKS[attack](server), *UPGRADE])).status
        for path in PATHS
    }

    assert {
        path: status for path, status in found.items() if status not in (400, 401, 403, 429)
    } == {}


def request(method: str, path: str, headers: Headers) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def test_what_there_is_not_is_told_to_those_who_may_ask(server: Served) -> None:
    assert server.ask("GET", "/nothing").status == 404


def test_no_route_that_can_be_got_changes_anything(server: Served) -> None:
    headers = [("Host", server.own_host), bearer(server.key("run"))]
    found = statuses(server, "GET", headers, set(PATHS) - {"/v1/events"})

    answered = {path for path, status in found.items() if status == 200}
    assert answered == {"/", "/openapi.json", "/healthz", "/%68ealthz"}


HOSTS = (
    "127.0.0.1.evil.com:{port}",
    "127.0.0.1@evil.com:{port}",
    "evil.com@127.0.0.1:{port}",
    "0.0.0.0:{port}",
    "[::ffff:127.0.0.1]:{port}",
    "[::1]:{port}",
    "LOCALHOST.:{port}",
    "LOCALHOST:{port}",
    "localhost.:{port}",
    "127.0.0.1:1",
    "127.0.0.1",
    "127.1:{port}",
    "0x7f000001:{port}",
    "2130706433:{port}",
    "127.0.0.2:{port}",
    "127.0.0.1:{port}0",
    "127.0.0.1:0{port}",
    "127.0.0.1:{port}, evil.example",
    "localhost.evil.example:{port}",
    "notlocalhost:{port}",
    "",
    "\xe9:{port}",
)


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_that_is_not_ours_is_refused_with_a_valid_key(server: Served, host: str) -> None:
    named = host.format(port=server.port)

    answer = server.raw(request("GET", "/openapi.json", [("Host", named), bearer(server.token)]))

    assert answer.status in (400, 403)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "app.localhost"])
def test_a_host_that_is_ours_is_answered(server: Served, host: str) -> None:
    assert server.ask("GET", "/openapi.json", host=f"{host}:{server.port}").status == 200


@pytest.mark.parametrize("target", ["http://evil.example/", "http://127.0.0.1/", "evil.example:80"])
def test_a_target_that_is_no_path_is_refused(server: Served, target: str) -> None:
    assert server.ask("GET", target).status == 400


def test_a_websocket_whose_target_is_no_path_is_refused(server: Served) -> None:
    headers = [*asks(server), *UPGRADE]

    assert server.raw(request("GET", "http://evil.example/v1/session", headers)).status == 400


def test_a_page_of_our_own_may_ask(server: Served) -> None:
    origin = [("Origin", server.url), ("Sec-Fetch-Site", "same-origin")]

    assert server.ask("GET", "/openapi.json", headers=origin).status == 200


def test_a_preflight_is_told_of_nothing_that_it_may(server: Served) -> None:
    asked = [("Origin", "http://evil.example"), ("Access-Control-Request-Method", "POST")]

    answer = server.ask("OPTIONS", "/v1/submit-job", headers=asked, token=None)

    assert answer.status == 403
    assert [name for name in answer.headers if name.startswith("access-control-")] == []


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json", None],
)
def test_a_body_that_a_form_could_send_is_not_read(server: Served, kind: str | None) -> None:
    headers = [("Content-Type", kind)] if kind else []

    answer = server.ask("POST", "/v1/list-schedules", b"{}", headers=headers)

    assert answer.status == 415


@pytest.mark.parametrize("path", ["/", "/healthz", "/openapi.json"])
def test_a_key_in_the_address_opens_nothing(server: Served, path: str) -> None:
    answer = server.ask("GET", f"{path}?token={server.token}", token=None)

    assert answer.status == 401
    assert server.token not in answer.body.decode() + server.text


def test_every_response_says_what_browsers_may_not_do(server: Served) -> None:
    for answer in (server.ask("GET", "/", token=None), server.ask("GET", "/nothing", token=None)):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_the_page_without_a_key_is_the_same_for_everybody(server: Served) -> None:
    answer = server.ask("GET", "/", token=None)

    assert answer == server.ask("GET", "/")._replace(headers=answer.headers)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert str(server.port) not in answer.body.decode()


def test_a_refused_websocket_is_told_of_once(server: Served) -> None:
    server.raw(request("GET", "/v1/session", [("Host", server.own_host), *UPGRADE]))
    server.ask("GET", "/nothing-after-it", token=None)
    while "/nothing-after-it" not in server.text:
        pass

    assert "handshake" not in server.text


def test_an_error_that_echoes_markup_is_json(server: Served) -> None:
    answer = server.call("get-job", job_id="<img src=x onerror=alert(1)>")

    assert answer.status in (400, 404)
    assert answer.headers["content-type"] == "application/json"


AUTHORIZATIONS = {
    "empty": "",
    "one character": "Bearer x",
    "a prefix": "Bearer {token:.30}",
    "one character more": "Bearer {token}x",
    "one character less": "Bearer {less}",
    "a space after": "Bearer {token}  {token}",
    "twice bearer": "Bearer Bearer {token}",
    "another kind": "Basic {token}",
    "not ASCII": "Bearer \xe9\xff",
    "of digits that are none": "Bearer apk_\xb2\xb3_\xbd",
    "only its id": "Bearer {id}_",
}


@pytest.mark.parametrize("what", AUTHORIZATIONS)
def test_a_token_that_is_wrong_is_refused(server: Served, what: str) -> None:
    token = server.token
    said = AUTHORIZATIONS[what].format(token=token, less=token[:-1], id=token[:16])

    answer = server.raw(
        request("GET", "/openapi.json", [("Host", server.own_host), ("Authorization", said)])
    )

    assert answer.status == 401


def test_two_tokens_are_refused(server: Served) -> None:
    answer = server.raw(request("GET", "/openapi.json", [*asks(server), bearer(server.token)]))

    assert answer.status == 401


def test_a_token_of_megabytes_is_refused(server: Served) -> None:
    with socket.create_connection((server.host, server.port), 20) as sock:
        sock.sendall(request("GET", "/openapi.json", [("Host", server.own_host)])[:-2])
        try:
            sock.sendall(b"Authorization: Bearer " + b"x" * (10 << 20))
            answered = sock.recv(64)
        except (BrokenPipeError, ConnectionResetError):
            answered = b""

    assert not answered.startswith(b"HTTP/1.1 200")


def test_a_source_that_fails_too_often_is_told_so(server: Served) -> None:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    seen: set[int] = set()
    deadline = time.monotonic() + 20
    while 429 not in seen and time.monotonic() < deadline:
        connection.request("GET", "/openapi.json", headers={"Authorization": "Bearer wrong"})
        response = connection.getresponse()
        response.read()
        seen.add(response.status)
    connection.close()

    assert 429 in seen
    assert server.ask("GET", "/openapi.json").status == 200
