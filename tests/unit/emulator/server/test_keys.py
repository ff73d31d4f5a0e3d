"""What is kept of keys, and when they hold."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from apothic_backends.model.errors import InvalidOption, NotFound, StoreFull
from apothic_emulator.server.failures import MOST, Failures
from apothic_emulator.server.keys import Keys
from apothic_emulator.stores.base import Change
from apothic_emulator.stores.memory import MemoryEngine
from apothic_emulator.stores.store import Store


class Records(MemoryEngine):
    """Keeps records in memory, and may be full."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, bytes] = {}
        self.is_full = False

    def load(self) -> list[tuple[str, bytes]]:
        return list(self.held.items())

    def commit(self, changes: Sequence[Change]) -> None:
        if self.is_full:
            raise StoreFull("no room is left")
        for key, value in changes:
            if value is None:
                self.held.pop(key, None)
            else:
                self.held[key] = value


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def keys(records: Records) -> Keys:
    return Keys(Store(records))


def test_a_token_finds_its_key(keys: Keys) -> None:
    key, token = keys.create("a", ["run"], 0.0)

    assert keys.find(token, 1.0) == key


def test_a_key_is_there_after_a_restart(keys: Keys, records: Records) -> None:
    key, token = keys.create("a", ["run", "read"], 0.0, name="n", ttl_s=9.0)

    assert Keys(Store(records)).find(token, 1.0) == key


def test_of_a_token_only_a_digest_is_kept(keys: Keys, records: Records) -> None:
    _, token = keys.create("a", ["run"], 0.0)

    assert token.split("_", 2)[2].encode() not in b"".join(records.held.values())


def test_a_key_holds_until_the_moment_of_its_end(keys: Keys) -> None:
    _, token = keys.create("a", ["run"], 100.0, ttl_s=5.0)

    assert keys.find(token, 104.9) is not None
    assert keys.find(token, 105.0) is None


def test_a_key_that_could_not_be_kept_does_not_hold(keys: Keys, records: Records) -> None:
    records.is_full = True
    with pytest.raises(StoreFull):
        keys.create("a", ["run"], 0.0)

    assert keys.listed() == []


def test_a_key_whose_end_could_not_be_kept_holds(keys: Keys, records: Records) -> None:
    key, token = keys.create("a", ["run"], 0.0)
    records.is_full = True
    with pytest.raises(StoreFull):
        keys.revoke(key.key_id)

    assert keys.find(token, 1.0) == key


def test_whoever_asks_is_told_of_a_key_that_is_revoked(keys: Keys) -> None:
    told: list[str] = []
    keys.on_revoked = told.append
    key, _ = keys.create("a", ["run"], 0.0)

    keys.revoke(key.key_id)

    assert told == [key.key_id]


def test_what_expired_long_ago_is_forgotten(keys: Keys, records: Records) -> None:
    keys.create("a", ["agent"], 0.0, ttl_s=5.0)

    kept, _ = keys.create("a", ["run"], 5.0 + 86400.0)

    assert keys.listed() == [kept]
    assert list(records.held) == [f"keys/{kept.key_id}"]


def test_a_key_that_is_not_there_is_not_found(keys: Keys) -> None:
    with pytest.raises(NotFound):
        keys.revoke("x")


@pytest.mark.parametrize("account", ["", "A", "a/b", "..", "a" * 41, "-a", "ä", "a\n"])
def test_an_account_that_could_be_a_path_is_refused(keys: Keys, account: str) -> None:
    with pytest.raises(InvalidOption):
        keys.create(account, ["run"], 0.0)


@given(st.text())
def test_nothing_else_finds_a_key(text: str) -> None:
    keys = Keys(Store(Records()))
    _, token = keys.create("a", ["run"], 0.0)

    for wrong in (text, token + (text or "x"), (text or "x") + token, f"{token[:17]}{text}"):
        assert wrong == token or keys.find(wrong, 1.0) is None


def test_a_source_that_fails_more_often_than_it_may_in_a_second_is_noticed() -> None:
    failures = Failures()

    seen = [failures.note("a", 0.05 * i) for i in range(MOST + 1)]

    assert seen == [False] * MOST + [True]
    assert not failures.note("b", 0.5)
    assert not failures.note("a", 1.0)


def test_sources_without_end_are_not_all_remembered() -> None:
    failures = Failures()

    for i in range(20_000):
        failures.note(str(i), 0.0)

    assert len(failures._since) <= 10_000
