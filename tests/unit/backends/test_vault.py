from __future__ import annotations

import json
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from apothic_backends import sealing
from apothic_backends.model.errors import InvalidOption, SecretStoreRefused
from apothic_backends.vault import Vault

VALUE = "sesame-open-wide"


@pytest.fixture(autouse=True)
def key_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sealing.VARIABLE, sealing.FILE)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


def values(vault: Vault, name: str) -> dict[str, str] | None:
    found = vault.read([name]).get(name)
    return None if found is None else found[1]


def test_what_was_put_in_is_there_for_the_next_program(vault: Vault, tmp_path: Path) -> None:
    vault.put("db", {"USER": "me", "PASSWORD": VALUE})

    assert values(Vault(tmp_path), "db") == {"USER": "me", "PASSWORD": VALUE}


def test_keys_that_are_not_named_stay(vault: Vault) -> None:
    vault.put("db", {"USER": "me", "PASSWORD": "old"})
    vault.put("db", {"PASSWORD": VALUE})

    assert values(vault, "db") == {"USER": "me", "PASSWORD": VALUE}


def test_a_secret_that_is_not_there_is_left_out(vault: Vault) -> None:
    assert vault.read(["db"]) == {}


def test_names_and_keys_can_be_listed_without_the_key(vault: Vault, tmp_path: Path) -> None:
    vault.put("db", {"USER": "me", "PASSWORD": VALUE})
    (tmp_path / "secrets.key").unlink()

    listed = {name: entry.keys for name, entry in Vault(tmp_path).entries().items()}

    assert listed == {"db": ("PASSWORD", "USER")}


def test_no_file_has_a_value_in_it(vault: Vault, tmp_path: Path) -> None:
    vault.put("db", {"PASSWORD": VALUE})

    assert not [path for path in tmp_path.iterdir() if VALUE.encode() in path.read_bytes()]


def test_every_file_is_for_its_owner_alone(vault: Vault, tmp_path: Path) -> None:
    vault.put("db", {"PASSWORD": VALUE})

    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("how", ["rotated", "deleted", "key deleted"])
def test_nothing_is_left_of_an_old_value(vault: Vault, tmp_path: Path, how: str) -> None:
    vault.put("db", {"USER": "me", "PASSWORD": VALUE})
    sealed = vault.entries()["db"].sealed
    if how == "rotated":
        vault.put("db", {"PASSWORD": "another"})
    else:
        assert vault.delete("db", ["PASSWORD"] if how == "key deleted" else [])

    assert sealed not in (tmp_path / "secrets.json").read_text("utf-8")
    assert VALUE not in str(values(vault, "db"))


def test_the_last_key_takes_the_secret_with_it(vault: Vault) -> None:
    vault.put("db", {"USER": "me"})
    vault.delete("db", ["USER"])

    assert vault.entries() == {}


@pytest.mark.parametrize(("name", "keys"), [("other", ()), ("db", ("OTHER",))])
def test_what_is_not_there_cannot_be_deleted(vault: Vault, name: str, keys: list[str]) -> None:
    vault.put("db", {"USER": "me"})

    assert not vault.delete(name, keys)
    assert values(vault, "db") == {"USER": "me"}


def test_a_change_by_another_program_is_seen(vault: Vault, tmp_path: Path) -> None:
    vault.put("db", {"USER": "me"})
    before = vault.entries()["db"].revision
    Vault(tmp_path).put("db", {"USER": "you"})

    assert vault.entries()["db"].revision != before
    assert values(vault, "db") == {"USER": "you"}


@pytest.mark.parametrize("file", ["secrets.json", "secrets.key"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_a_file_that_others_may_open_is_refused_with_the_way_out(
    vault: Vault, tmp_path: Path, file: str, mode: int
) -> None:
    vault.put("db", {"USER": "me"})
    (tmp_path / file).chmod(mode)

    with pytest.raises(SecretStoreRefused, match="chmod 600"):
        Vault(tmp_path).read(["db"])


def test_a_link_in_place_of_the_file_is_refused(vault: Vault, tmp_path: Path) -> None:
    vault.put("db", {"USER": "me"})
    (tmp_path / "secrets.json").rename(tmp_path / "elsewhere")
    (tmp_path / "secrets.json").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(SecretStoreRefused):
        vault.read(["db"])


def test_a_file_of_somebody_else_is_refused(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.put("db", {"USER": "me"})
    another = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: another)

    with pytest.raises(SecretStoreRefused, match="belongs to"):
        vault.read(["db"])


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"key": "file", "key_id": ""}'])
def test_a_broken_file_is_refused_and_kept(vault: Vault, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "secrets.json"
    path.touch(0o600)
    path.write_bytes(data)

    with pytest.raises(SecretStoreRefused, match="not a file of secrets"):
        vault.put("db", {"USER": "me"})
    assert path.read_bytes() == data


def test_a_lost_key_is_told(vault: Vault, tmp_path: Path) -> None:
    vault.put("db", {"USER": "me"})
    (tmp_path / "secrets.key").unlink()

    with pytest.raises(SecretStoreRefused, match="has no key"):
        Vault(tmp_path).read(["db"])


def test_a_value_cannot_be_passed_off_as_another_one(vault: Vault, tmp_path: Path) -> None:
    vault.put("mine", {"USER": "me"})
    vault.put("yours", {"USER": "you"})
    path = tmp_path / "secrets.json"
    told = json.loads(path.read_bytes())
    told["apothic.secrets.v1"]["mine"]["sealed"] = told["apothic.secrets.v1"]["yours"]["sealed"]
    path.write_text(json.dumps(told), "utf-8")

    with pytest.raises(SecretStoreRefused, match="another key"):
        vault.read(["mine"])


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("", {"A": "x"}, "name of a secret"),
        ("../up", {"A": "x"}, "name of a secret"),
        (".hidden", {"A": "x"}, "name of a secret"),
        ("held:1", {"A": "x"}, "name of a secret"),
        ("db", {"1A": "x"}, "environment variable"),
        ("db", {"A=B": "x"}, "environment variable"),
        ("db", {"A": VALUE + "\0"}, "value of A has a NUL"),
        ("db", {"A": VALUE * 5000}, "value of A has 80000 bytes"),
        ("db", {f"K{number}": "x" for number in range(101)}, "at most 100 keys, not 101"),
        ("db", {"A": 12345678}, "value of A must be a string, not of type int"),
        ("db", {"A": VALUE + "\ud800"}, "value of A cannot be encoded"),
    ],
)
def test_what_cannot_be_meant_is_refused_without_showing_it(
    vault: Vault, name: str, given: dict[str, str], told: str
) -> None:
    with pytest.raises(InvalidOption, match=told) as caught:
        vault.put(name, given)
    assert VALUE not in repr(caught.value)
    assert "12345678" not in repr(caught.value)


def _put_some(folder: Path, who: int) -> None:
    for number in range(10):
        Vault(folder).put(f"s{who}-{number}", {"A": str(number)})


def test_programs_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_put_some, args=(tmp_path, who)) for who in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert len(Vault(tmp_path).entries()) == 30


# --- where the key is -------------------------------------------------------------------------


class Ring:
    """A keyring of a desktop, in the shape of the package `keyring`."""

    def __init__(self, priority: float = 5) -> None:
        self.priority = priority
        self.held: dict[tuple[str, str], str] = {}

    def get_keyring(self) -> Ring:
        return self

    def get_password(self, service: str, name: str) -> str | None:
        return self.held.get((service, name))

    def set_password(self, service: str, name: str, value: str) -> None:
        self.held[service, name] = value


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Ring:
    found = Ring()
    monkeypatch.delenv(sealing.VARIABLE)
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
    monkeypatch.setattr(sealing, "_keyring", lambda: found)
    return found


def test_the_key_is_in_the_keyring_where_one_works(
    vault: Vault, tmp_path: Path, ring: Ring
) -> None:
    vault.put("db", {"USER": "me"})

    assert len(ring.held) == 1
    assert not (tmp_path / "secrets.key").exists()
    assert values(Vault(tmp_path), "db") == {"USER": "me"}


def test_a_keyring_that_may_ask_a_terminal_is_not_used(
    vault: Vault, tmp_path: Path, ring: Ring
) -> None:
    ring.priority = 0.6
    vault.put("db", {"USER": "me"})

    assert (tmp_path / "secrets.key").exists()


def test_a_keyring_is_not_looked_for_where_none_can_run(
    vault: Vault, tmp_path: Path, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS")
    vault.put("db", {"USER": "me"})

    assert (tmp_path / "secrets.key").exists()


def test_a_keyring_that_has_lost_the_key_is_told(vault: Vault, tmp_path: Path, ring: Ring) -> None:
    vault.put("db", {"USER": "me"})
    ring.held.clear()

    with pytest.raises(SecretStoreRefused, match="keyring"):
        Vault(tmp_path).read(["db"])


def test_a_wish_that_cannot_be_fulfilled_is_told(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(sealing.VARIABLE, "keyring")
    monkeypatch.setattr(sealing, "_keyring", lambda: None)

    with pytest.raises(SecretStoreRefused, match="no keyring answers"):
        vault.put("db", {"USER": "me"})


def test_a_wish_that_cannot_be_meant_is_told(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sealing.VARIABLE, "safe")

    with pytest.raises(SecretStoreRefused, match="'keyring' or 'file'"):
        vault.put("db", {"USER": "me"})
