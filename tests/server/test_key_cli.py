"""`apothic key`, beside a server and from elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server.served import Served


def cli(server: Served, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "apothic.cli", *words],
        cwd=server.home,
        env={**os.environ, "APOTHIC_HOME": str(server.home), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_key_is_made_listed_and_revoked(server: Served) -> None:
    token = cli(server, "key", "create", "--scope", "run", "--name", "cli", "--ttl", "8h").stdout
    (row,) = [line for line in cli(server, "key", "list").stdout.splitlines() if "cli" in line]
    key_id = row.split()[0]
    assert server.ask("GET", "/openapi.json", token=token.strip()).status == 200

    assert cli(server, "key", "revoke", key_id).returncode == 0

    assert server.ask("GET", "/openapi.json", token=token.strip()).status == 401


def test_a_server_elsewhere_is_named_by_the_environment(server: Served) -> None:
    url = f"http://{server.own_host}"

    ran = cli(server, "--json", "key", "list", APOTHIC_BACKEND=url, APOTHIC_API_KEY=server.token)

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

    ran = cli(server, "key", "list", **environment)

    assert ran.returncode == 2
    assert said in ran.stderr


def test_a_key_that_others_may_read_is_not_used(server: Served) -> None:
    path = server.home / "server" / "admin.key"
    path.chmod(0o644)
    try:
        ran = cli(server, "key", "list")
    finally:
        path.chmod(0o600)

    assert ran.returncode == 2
    assert f"chmod 600 {path}" in ran.stderr


def test_a_key_behind_a_link_is_not_used(server: Served) -> None:
    path = server.home / "server" / "admin.key"
    real = path.rename(path.with_name("real.key"))
    path.symlink_to(real)
    try:
        ran = cli(server, "key", "list")
    finally:
        path.unlink()
        real.rename(path)

    assert ran.returncode == 2


def test_where_no_server_runs_that_is_said(server: Served, tmp_path: Path) -> None:
    ran = cli(server, "key", "list", APOTHIC_HOME=str(tmp_path))

    assert (ran.returncode, "apothic serve" in ran.stderr) == (4, True)


def test_help_lists_what_others_offer(server: Served) -> None:
    told = cli(server, "--help").stdout

    assert "serve" in told
    assert "key" in told
