"""Services of a server that others than this machine reach: over TLS, and with a key."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from apothic.functions import DECLARED
from apothic_backends.remote.tls import client_context
from tests.remote.shell import Shell
from tests.services.elsewhere import PATIENCE_S, Elsewhere, asked

HOMES = {"here": 0, "agent": 1}
HEAD = b"GET / HTTP/1.1\r\nhost: localhost\r\n"


@pytest.fixture(scope="module", params=HOMES)
def it(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Elsewhere]:
    declared = dict(DECLARED)
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "pyproject.toml").touch()
    it = Elsewhere(folder, agents=HOMES[request.param])
    try:
        it.deploy()
        yield it
    finally:
        it.close()
        DECLARED.clear()
        DECLARED.update(declared)


@pytest.fixture(scope="module")
def key(it: Elsewhere) -> str:
    """A key that is for services, and nothing else."""
    return it.key("service")[1]


# --- where they are -------------------------------------------------------------------------------


def test_its_url_is_encrypted_and_has_the_name_that_the_server_was_given(it: Elsewhere) -> None:
    assert it.url("web").startswith("https://localhost:")


def test_a_client_that_trusts_the_authority_is_answered(it: Elsewhere, key: str) -> None:
    assert it.ask("web", path="/there", key=key).told["path"] == "/there"


def test_a_public_one_answers_anybody(it: Elsewhere) -> None:
    assert it.ask("anybody").status == 200


# --- keys -----------------------------------------------------------------------------------------


def test_without_a_key_nobody_is_answered(it: Elsewhere) -> None:
    seen = it.ask("web")

    assert (seen.status, seen.headers["www-authenticate"]) == (401, "Bearer")
    assert seen.told["error"]["code"] == "unauthorized"


@pytest.mark.parametrize("scope", ["admin", "run", "service"])
def test_these_scopes_open_services(it: Elsewhere, scope: str) -> None:
    assert it.ask("web", authorization=f"Bearer {it.key(scope)[1]}").status == 200


@pytest.mark.parametrize("scope", ["read", "agent", "metrics"])
def test_these_do_not(it: Elsewhere, scope: str) -> None:
    assert it.ask("web", key=it.key(scope)[1]).status == 403


def test_a_key_for_services_opens_nothing_else(it: Elsewhere, key: str) -> None:
    assert it.call("list-services", key).status == 403


def test_a_key_of_another_account_opens_none(it: Elsewhere) -> None:
    assert it.ask("web", key=it.key("admin", account="other")[1]).status == 403


def test_a_key_that_is_nearly_right_opens_none(it: Elsewhere, key: str) -> None:
    assert it.ask("web", key=key[:-1] + ("a" if key[-1] != "a" else "b")).status == 401


def test_two_keys_open_none(it: Elsewhere, key: str) -> None:
    header = f"apothic-key: {key}\r\n".encode()

    assert it.raw("web", HEAD + header + header + b"\r\n").startswith(b"HTTP/1.1 401 ")


def test_a_key_that_was_revoked_opens_nothing_any_more(it: Elsewhere) -> None:
    key_id, token = it.key("service")
    assert it.ask("web", key=token).status == 200
    it.revoke(key_id)

    assert it.ask("web", key=token).status == 401


def test_one_connection_may_show_another_key_with_each_request(it: Elsewhere, key: str) -> None:
    connection = it.connect("web")

    statuses = [asked(connection, "GET", "/", **said).status for said in ({"key": key}, {})]

    connection.close()
    assert statuses == [200, 401]


def test_no_application_sees_a_key(it: Elsewhere, key: str) -> None:
    passed = it.ask("web", authorization=f"Bearer {key}").passed

    assert key not in str(passed)


def test_with_our_own_header_an_application_has_its_own_authorization(
    it: Elsewhere, key: str
) -> None:
    passed = it.ask("web", key=key, authorization="Bearer of-its-own").passed

    assert (passed["authorization"], "apothic-key" in passed) == ("Bearer of-its-own", False)


def test_who_is_refused_wakes_nobody(it: Elsewhere, key: str) -> None:
    assert it.ask("asleep").status == 401
    assert it.ask("web", key=key).status == 200  # whatever was to start has been begun by now

    assert it.seen("asleep").status == "asleep"


def test_a_key_wakes_it(it: Elsewhere, key: str) -> None:
    try:
        assert it.ask("asleep", key=key).status == 200
    finally:
        it.stop("asleep")


# --- WebSockets -----------------------------------------------------------------------------------


def opening(it: Elsewhere, token: str | None = None) -> ClientConnection:
    """A WebSocket of `web`; the library reads it and writes it in two threads."""
    url = it.url("web").replace("https://", "wss://") + "/socket"
    headers = {} if token is None else {"apothic-key": token}
    return connect(url, ssl=client_context(str(it.trusted)), additional_headers=headers)


def test_a_websocket_is_opened_with_a_key_and_knows_its_client(it: Elsewhere, key: str) -> None:
    with opening(it, key) as socket:
        socket.send("hello")
        said = socket.recv(PATIENCE_S)

    assert said == '["hello", "wss", "127.0.0.1"]'


def test_without_a_key_a_websocket_is_refused_before_it_is_opened(it: Elsewhere) -> None:
    with pytest.raises(InvalidStatus) as refused:
        opening(it)

    assert refused.value.response.status_code == 401


def test_a_websocket_ends_with_its_key(it: Elsewhere) -> None:
    key_id, token = it.key("service")
    with opening(it, token) as socket:
        socket.send("hello")
        socket.recv(PATIENCE_S)
        it.revoke(key_id)

        with pytest.raises(ConnectionClosed):
            socket.recv(PATIENCE_S)


# --- what an application sees ---------------------------------------------------------------------


def test_it_knows_who_asks_and_how(it: Elsewhere, key: str) -> None:
    connection = it.connect("web")
    connection.source_address = ("127.0.0.9", 0)  # type: ignore[attr-defined]

    told = asked(connection, "GET", "/", key=key).told

    connection.close()
    assert (told["client"][0], told["scheme"]) == ("127.0.0.9", "https")


@pytest.mark.parametrize("name", ["x-forwarded-for", "x_forwarded_for", "forwarded", "x-real-ip"])
def test_what_a_client_claims_of_where_it_is_does_not_reach_it(it: Elsewhere, name: str) -> None:
    claimed = f"{name}: 9.9.9.9\r\nx-forwarded-proto: gopher\r\nconnection: x-forwarded-for\r\n\r\n"

    answer = it.raw("anybody", HEAD + b"connection: close\r\n" + claimed.encode())

    assert (b"9.9.9.9" in answer, b"gopher" in answer) == (False, False)
    assert b'["x-forwarded-for", "127.0.0.1"]' in answer


@pytest.mark.parametrize("body", [b"all of it", [b"piece", b" by ", b"piece"]])
def test_a_body_arrives_as_it_was_sent(it: Elsewhere, key: str, body: bytes | list[bytes]) -> None:
    sent = body if isinstance(body, bytes) else b"".join(body)
    given = body if isinstance(body, bytes) else iter(body)

    assert it.ask("web", "POST", "/", given, key=key).told["body"] == sent.decode()


def test_a_large_body_arrives(it: Elsewhere, key: str) -> None:
    told = it.ask("web", "POST", "/", b"x" * (4 << 20), key=key).told

    assert len(told["body"]) == 4 << 20


def test_requests_that_come_at_once_are_answered_in_order(it: Elsewhere) -> None:
    first, last = HEAD.replace(b" / ", b" /first "), HEAD.replace(b" / ", b" /last ")

    answer = it.raw("anybody", first + b"\r\n" + last + b"connection: close\r\n\r\n")

    assert 0 < answer.index(b'"/first"') < answer.index(b'"/last"')


# --- on the command line --------------------------------------------------------------------------


def logs(it: Elsewhere, path: str) -> str:
    shell = Shell(
        it.folder / "home",
        it.folder,
        APOTHIC_BACKEND=it.server.url,
        APOTHIC_API_KEY=it.server.token,
    )
    return shell("deployment", "logs", "demo", "--function-name", "web", "--health-path", path)


def test_its_health_is_asked_with_the_key_of_who_asks(it: Elsewhere, key: str) -> None:
    assert it.ask("web", key=key).status == 200  # it is up

    assert logs(it, "/how") == "at /how"


def test_where_it_sends_others_to_no_key_is_shown(it: Elsewhere, key: str) -> None:
    assert it.ask("web", key=key).status == 200

    assert "at /there" not in logs(it, "/away")
