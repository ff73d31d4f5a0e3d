"""Secrets of sandboxes: variables of what runs in them, and of nobody else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apothic import App, Sandbox, Secret, SecretNotFound
from apothic_backends.vault import Vault
from tests.conformance.client import Client

app = App("sandbox-secrets")

pytestmark = pytest.mark.needs("processes")

Make = Callable[..., Sandbox]


@pytest.fixture(autouse=True)
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vault:
    home = tmp_path / "home"
    monkeypatch.setenv("APOTHIC_HOME", str(home))
    monkeypatch.setenv("APOTHIC_SECRETS_KEY", "file")
    home.mkdir(0o700)
    return Vault(home)


def made(secrets: list[Secret], **how: Any) -> Sandbox:
    env = how.pop("env", None)
    return app.sandbox("secret", secrets=secrets, timeout_s=300, **how).create(env=env)


def seen(box: Sandbox, *names: str) -> list[str]:
    """Variables, as a program of the sandbox has them."""
    echo = "; ".join(f"echo ${{{name}-none}}" for name in names)
    return box.exec("sh", "-c", echo).stdout.read().split()


def test_programs_have_the_secrets_of_their_sandbox(client: Client, vault: Vault) -> None:
    vault.put("kept", {"TOKEN": "open-sesame", "OTHER": "one"})
    with made([Secret.from_name("kept"), Secret.from_dict({"HELD": "in-memory"})]) as box:
        assert seen(box, "TOKEN", "OTHER", "HELD") == ["open-sesame", "one", "in-memory"]
        assert box.session().run("echo $TOKEN").stdout == "open-sesame\n"


def test_what_is_said_of_the_environment_counts_over_secrets(client: Client) -> None:
    secrets = [Secret.from_dict({"A": "secret", "B": "secret"})]
    with made(secrets, env={"A": "said"}) as box:
        assert seen(box, "A", "B") == ["said", "secret"]


def test_a_sandbox_without_secrets_has_none(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APOTHIC_SECRETS", "HELD")  # as a program that has some itself
    monkeypatch.setenv("HELD", "of others")
    with made([Secret.from_dict({"MINE": "mine"})]) as one, made([]) as other:
        assert seen(one, "MINE", "HELD", "APOTHIC_SECRETS") == ["mine", "none", "none"]
        assert seen(other, "MINE", "HELD", "APOTHIC_SECRETS") == ["none"] * 3


def test_a_secret_that_is_changed_ends_no_sandbox(client: Client, vault: Vault) -> None:
    vault.put("kept", {"TOKEN": "before"})
    with made([Secret.from_name("kept")]) as box:
        vault.put("kept", {"TOKEN": "after"})
        assert seen(box, "TOKEN") == ["before"]
    with made([Secret.from_name("kept")]) as box:
        assert seen(box, "TOKEN") == ["after"]


def test_without_one_of_its_secrets_there_is_no_sandbox(client: Client) -> None:
    with pytest.raises(SecretNotFound, match="nowhere"):
        made([Secret.from_name("nowhere")])
    assert app.sandbox("secret").list() == []
