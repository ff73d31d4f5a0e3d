"""`apothic key`, beside a server and from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.server.served import Served


def test_a_key_is_made_listed_and_revoked(server: Served) -> None:
    token = server.cli("key", "create", "--scope", "run", "--name", "cli", "--ttl", "8h").stdout
    (row,) = [line for line in server.cli("key", "list").stdout.splitlines() if "cli" in line]
    key_id = row.split()[0]
    assert server.ask("GET", "/openapi.json", token=token.strip()).status == 200

    assert server.cli("key", "revoke", key_id).returncode == 0

    assert server.ask("GET", "/openapi.json", token=token.strip()).status == 401


def test_a_server_elsewhere_is_named_by_the_environment(server: Served) -> None:
    ran = server.cli(
        "--json", "key", "list", APOTHIC_BACKEND=server.url, APOTHIC_API_KEY=server.token
    )

    assert json.loads(ran.stdout)[0]["name"] == "first"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"APOTHIC_BACKEND": "http://example.com", "APOTHIC_API_KEY": "apk_x"}, "plain http://"),
        ({"APOTHIC_BACKEND": "https://example.com"}, "APOTHIC_API_KEY"),
    ],
)
def test_a_key_is_sent_nowhere_else(
    server: Served, environment: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("APOTHIC_API_KEY", raising=False)

    ran = server.cli("key", "list", **environment)

    assert ran.returncode == 2
    assert said in ran.stderr


def test_a_key_that_others_may_read_is_not_used(server: Served) -> None:
    path = server.home / "server" / "admin.key"
    path.chmod(0o644)
    try:
        ran = server.cli("key", "list")
    finally:
        path.chmod(0o600)

    assert ran.returncode == 2
    assert f"chmod 600 {path}" in ran.stderr


def test_a_key_behind_a_link_is_not_used(server: Served) -> None:
    path = server.home / "server" / "admin.key"
    real = path.rename(path.with_name("real.key"))
    path.symlink_to(real)
    try:
        ran = server.cli("key", "list")
    finally:
        path.unlink()
        real.rename(path)

    assert ran.returncode == 2


def test_where_no_server_runs_that_is_said(server: Served, tmp_path: Path) -> None:
    ran = server.cli("key", "list", APOTHIC_HOME=str(tmp_path))

    assert (ran.returncode, "apothic serve" in ran.stderr) == (4, True)


def test_help_lists_what_others_offer(server: Served) -> None:
    told = server.cli("--help").stdout

    assert "serve" in told
    assert "key" in told
