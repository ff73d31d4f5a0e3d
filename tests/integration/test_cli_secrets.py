"""`apothic secret`, as people type it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.screens import Terminal

VALUE = "sesame-open-wide"


class Cli:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "APOTHIC_HOME": str(folder), "APOTHIC_SECRETS_KEY": "file"}

    def __call__(self, *args: str, stdin: str = "", code: int = 0, **env: str) -> str:
        """Run `apothic secret ...`; what it printed, both streams."""
        done = subprocess.run(
            [sys.executable, "-m", "apothic.cli", "secret", *args],
            input=stdin,
            env=self.env | env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    def value(self, name: str) -> str:
        return self("get", name, "--reveal", "--yes")


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def test_a_value_is_read_from_stdin(cli: Cli) -> None:
    said = cli("set", "TOKEN", "-", stdin=f"{VALUE}\n")

    assert VALUE not in said
    assert cli.value("TOKEN") == f"TOKEN={VALUE}\n"


def test_values_are_taken_from_the_environment(cli: Cli) -> None:
    cli("set", "db", "USER", "PASSWORD", "--from-env", USER="me", PASSWORD=VALUE)

    assert cli.value("db") == f"PASSWORD={VALUE}\nUSER=me\n"


def test_a_variable_that_is_not_in_the_environment_is_named(cli: Cli) -> None:
    assert "NOWHERE" in cli("set", "db", "NOWHERE", "--from-env", code=4)


def test_a_list_has_names_and_keys_and_no_value(cli: Cli) -> None:
    cli("set", "TOKEN", "-", stdin=VALUE)
    cli("set", "db", "USER", "-", stdin="me")

    assert cli("list") == "TOKEN  TOKEN\ndb     USER\n"
    assert json.loads(cli("list", "--json"))["secrets"][1] == {"name": "db", "keys": ["USER"]}


@pytest.mark.parametrize("typed", [f"TOKEN={VALUE}", VALUE])
def test_a_value_on_the_command_line_is_refused_and_not_repeated(cli: Cli, typed: str) -> None:
    assert VALUE not in cli("set", "TOKEN", typed, code=2)


def test_where_nobody_can_be_asked_the_way_out_is_told(cli: Cli) -> None:
    assert "--from-env" in cli("set", "TOKEN", code=2)


def test_a_name_that_is_no_variable_needs_a_key(cli: Cli) -> None:
    assert "apothic secret set my-db KEY" in cli("set", "my-db", "-", stdin=VALUE, code=2)


def test_what_is_deleted_is_gone(cli: Cli) -> None:
    cli("set", "TOKEN", "-", stdin=VALUE)
    cli("delete", "TOKEN")

    assert cli("list") == ""
    assert "no secret TOKEN" in cli("delete", "TOKEN", code=4)


def test_each_variable_of_a_file_becomes_a_secret(cli: Cli) -> None:
    (cli.folder / ".env").write_text(f"TOKEN='{VALUE}'\nexport USER=me # who\n", "utf-8")
    cli("import")

    assert cli("list") == "TOKEN  TOKEN\nUSER   USER\n"
    assert cli.value("TOKEN") == f"TOKEN={VALUE}\n"


def test_the_variables_of_a_file_become_one_secret_if_it_has_a_name(cli: Cli) -> None:
    (cli.folder / "prod.env").write_text("A=1\nB=2\n", "utf-8")
    cli("import", "prod.env", "--name", "prod")

    assert cli("list") == "prod  A B\n"


def test_values_are_not_printed_where_no_person_reads(cli: Cli) -> None:
    cli("set", "TOKEN", "-", stdin=VALUE)

    assert VALUE not in cli("get", "TOKEN", "--reveal", code=2)
    assert VALUE not in cli("get", "TOKEN", "--yes", code=2)


def test_a_store_that_others_can_read_is_refused(cli: Cli) -> None:
    cli("set", "TOKEN", "-", stdin=VALUE)
    (cli.folder / "secrets.json").chmod(0o644)

    assert "chmod 600" in cli("list", code=6)


def test_a_person_is_asked_and_what_is_typed_is_not_shown(cli: Cli) -> None:
    terminal = Terminal("secret", "set", "TOKEN", folder=cli.folder, env=cli.env)
    terminal.wait_for("TOKEN:")
    terminal.press(f"{VALUE}\n".encode())

    assert terminal.end() == 0
    assert VALUE not in terminal.raw
    assert cli.value("TOKEN") == f"TOKEN={VALUE}\n"


def test_a_value_is_shown_to_a_person_who_wants_to_see_it(cli: Cli) -> None:
    cli("set", "TOKEN", "-", stdin=VALUE)
    terminal = Terminal("secret", "get", "TOKEN", "--reveal", folder=cli.folder, env=cli.env)

    assert terminal.end() == 0
    assert VALUE in terminal.raw
