"""API keys: who has one may do what it says, and nothing after it is over."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import pytest

from tests.server.served import Served, served


def id_of(token: str) -> str:
    return token.split("_")[1]


def test_the_first_key_is_for_its_owner_alone_to_read(server: Served) -> None:
    path = server.home / "server" / "admin.key"

    assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_is_listed_without_its_token(server: Served) -> None:
    token = server.key("read", name="listed")

    (found,) = [key for key in server.reply("list-api-keys") if key["name"] == "listed"]

    assert (found["key_id"], found["scopes"]) == (id_of(token), ["read"])
    assert token.split("_", 2)[2] not in json.dumps(server.reply("list-api-keys"))


def test_a_key_that_was_revoked_opens_nothing(server: Served) -> None:
    token = server.key("run")
    assert server.ask("GET", "/openapi.json", token=token).status == 200

    server.reply("revoke-api-key", key_id=id_of(token))

    assert server.ask("GET", "/openapi.json", token=token).status == 401


def test_a_key_that_is_not_there_cannot_be_revoked(server: Served) -> None:
    assert server.call("revoke-api-key", key_id="000000000000").status == 404


def test_a_key_expires(server: Served) -> None:
    token = server.key("run", ttl_s=0.2)

    deadline = time.monotonic() + 20
    while server.ask("GET", "/openapi.json", token=token).status == 200:
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    "fields",
    [
        {"scopes": ["root"]},
        {"scopes": []},
        {"scopes": ["run"], "ttl_s": 0},
        {"scopes": ["run"], "account": "A/B"},
        {"scopes": ["run"], "account": "../x"},
        {"scopes": ["run"], "name": "a\nb"},
    ],
)
def test_a_key_that_cannot_be_is_refused(server: Served, fields: dict[str, object]) -> None:
    assert server.call("create-api-key", **fields).status == 400


MAY = {
    "run": {"open-queue", "list-schedules"},
    "read": {"list-schedules"},
    "agent": set[str](),
    "metrics": set[str](),
}


@pytest.mark.parametrize("scope", MAY)
def test_a_scope_opens_what_it_says_and_nothing_else(server: Served, scope: str) -> None:
    token = server.key(scope)
    asked = {
        "open-queue": server.call("open-queue", token, queue="scopes"),
        "list-schedules": server.call("list-schedules", token),
        "create-api-key": server.call("create-api-key", token, scopes=["run"]),
        "list-api-keys": server.call("list-api-keys", token),
    }

    assert {name for name, answer in asked.items() if answer.status == 200} == MAY[scope]
    assert {answer.status for answer in asked.values()} <= {200, 403}
    assert (server.ask("GET", "/metrics", token=token).status == 200) is (scope == "metrics")


def test_looking_does_not_make_anything(server: Served) -> None:
    token = server.key("read")

    answer = server.call("get-keys", token, name="made-by-looking", keys=["1"], create=True)

    assert (answer.status, answer.code) == (403, "forbidden")


def test_what_goes_on_under_a_key_ends_when_it_is_revoked(server: Served) -> None:
    token = server.key("read")
    with socket.create_connection((server.host, server.port), 20) as watching:
        head = ["GET /v1/events HTTP/1.1", f"Host: {server.own_host}"]
        head.append(f"Authorization: Bearer {token}")
        watching.sendall("\r\n".join([*head, "", ""]).encode())
        assert b"200 OK" in watching.recv(4096)

        server.reply("revoke-api-key", key_id=id_of(token))

        watching.settimeout(1.0)  # that is the promise
        try:
            while watching.recv(4096):
                pass
        except ConnectionResetError:
            pass


def test_a_key_and_its_end_outlive_the_server(home: Path) -> None:
    with served(home) as server:
        kept, gone = server.key("run"), server.key("run")
        server.reply("revoke-api-key", key_id=id_of(gone))
        server.kill()

    with served(home) as server:
        assert server.ask("GET", "/openapi.json", token=kept).status == 200
        assert server.ask("GET", "/openapi.json", token=gone).status == 401


def test_no_token_is_in_the_store_or_told_by_the_server(home: Path) -> None:
    with served(home) as server:
        secrets = [server.token, server.key("run")]
        server.ask("GET", f"/?token={secrets[1]}", token=None)
        said = server.text

    files = [path for path in home.rglob("*") if path.is_file() and path.name != "admin.key"]
    held = b"".join(path.read_bytes() for path in files) + said.encode()
    assert [secret for secret in secrets if secret.split("_", 2)[2].encode() in held] == []
