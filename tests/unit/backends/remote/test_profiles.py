from __future__ import annotations

import os
from pathlib import Path

import pytest

from apothic_backends.model.errors import InvalidOption, NotFound, UsageError
from apothic_backends.remote.address import address_of
from apothic_backends.remote.errors import KeyRefused
from apothic_backends.remote.profiles import DEFAULT_URL, Profile, Profiles, key_for

HERE, THERE = "https://here.example", "https://there.example"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path / "home"))
    for name in ("APOTHIC_API_KEY", "APOTHIC_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


def key_of(url: str) -> str | None:
    return key_for(address_of(url))


def test_one_profile_is_always_there() -> None:
    profiles = Profiles()

    assert [(it.name, it.url, it.api_key) for it in profiles.list().values()] == [
        ("default", DEFAULT_URL, None)
    ]
    assert profiles.chosen is None


def test_a_key_belongs_to_its_server() -> None:
    Profiles().put(Profile("here", HERE, "k1"))

    assert key_of(HERE) == key_of(f"{HERE}:443/path") == "k1"
    assert key_of(THERE) is None
    assert key_of("https://here.example:444") is None
    assert key_of("https://here.example.evil.com") is None


def test_the_key_of_the_environment_belongs_to_the_server_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Profiles().put(Profile("there", THERE, "k2"))
    monkeypatch.setenv("APOTHIC_API_KEY", "k3")
    assert key_of(HERE) is None

    monkeypatch.setenv("APOTHIC_BACKEND", HERE)

    assert (key_of(HERE), key_of(THERE)) == ("k3", "k2")


@pytest.mark.parametrize("key", [" ", "two words", "line\n", "k\u00e9y", "x" * 513])
def test_what_can_be_no_key_is_refused(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APOTHIC_API_KEY", key)
    monkeypatch.setenv("APOTHIC_BACKEND", HERE)

    with pytest.raises(KeyRefused) as caught:
        key_of(HERE)
    assert key not in str(caught.value) or key == " "


def test_the_file_is_for_its_owner_alone(home: Path) -> None:
    before = os.umask(0)
    try:
        Profiles().put(Profile("here", HERE, "k1"))
    finally:
        os.umask(before)

    assert (home / "profiles.json").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o604])
def test_a_file_that_others_may_see_is_refused(home: Path, mode: int) -> None:
    Profiles().put(Profile("here", HERE, "k1"))
    (home / "profiles.json").chmod(mode)

    with pytest.raises(UsageError, match="chmod 600"):
        key_of(HERE)


def test_a_link_is_refused(home: Path, tmp_path: Path) -> None:
    Profiles().put(Profile("here", HERE, "k1"))
    (home / "profiles.json").rename(tmp_path / "elsewhere")
    (home / "profiles.json").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UsageError, match="cannot be read"):
        key_of(HERE)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"profiles": {"a": {}}}', '{"profiles": 7}'])
def test_a_damaged_file_is_refused(home: Path, text: str) -> None:
    Profiles().put(Profile("here", HERE, "k1"))
    (home / "profiles.json").write_text(text)

    with pytest.raises(UsageError, match=r"is damaged .*delete it"):
        Profiles().list()


def test_one_is_chosen_and_forgotten() -> None:
    profiles = Profiles()
    profiles.put(Profile("here", HERE, "k1"))
    profiles.choose("here")
    assert profiles.chosen == Profile("here", HERE, "k1")

    assert profiles.delete("here")

    assert profiles.chosen is None
    assert not profiles.delete("here")
    with pytest.raises(NotFound, match="there are: default"):
        profiles.choose("here")


@pytest.mark.parametrize(
    ("profile", "error"),
    [
        (Profile("a b", HERE, "k"), InvalidOption),
        (Profile("a", "http://example.com", "k"), UsageError),
        (Profile("a", HERE, "k k"), KeyRefused),
    ],
)
def test_what_can_be_no_profile_is_refused(profile: Profile, error: type[Exception]) -> None:
    with pytest.raises(error):
        Profiles().put(profile)


def test_a_profile_does_not_show_its_key() -> None:
    assert "k1" not in repr(Profile("here", HERE, "k1"))
