"""What every engine does, whatever it is made of."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from apothic_backends.model.errors import StoreError, StoreFenced, StoreLocked
from apothic_emulator.stores.base import Change
from apothic_emulator.stores.store import LARGE, Store
from tests.stores.conftest import Place


def kept(place: Place) -> dict[str, bytes]:
    """What somebody finds who opens the store."""
    store = place()
    store.open()
    found = dict(store.load())
    store.close()
    return found


def opened(place: Place) -> Store:
    """A store that is open and loaded."""
    store = place()
    store.open()
    assert dict(store.load()) == {}
    return store


def test_a_new_store_is_empty(place: Place) -> None:
    assert kept(place) == {}


def test_what_is_committed_is_found_by_the_next_owner(place: Place) -> None:
    store = opened(place)

    store.commit([("job/1", b"one"), ("job/2", b"two")])
    store.close()

    assert kept(place) == {"job/1": b"one", "job/2": b"two"}


def test_the_last_change_of_a_key_counts(place: Place) -> None:
    store = opened(place)

    store.commit([("a", b"old"), ("b", b"old"), ("a", None), ("b", b"new"), ("c", b"")])
    store.commit([("c", None), ("d", b"")])
    store.close()

    assert kept(place) == {"b": b"new", "d": b""}


def test_a_commit_may_have_any_number_of_changes(place: Place) -> None:
    store = opened(place)
    for count in (255, 256, 257, 700):
        store.commit([(f"item/{i}", b"%d" % i) for i in range(count)])
        store.commit([(f"item/{i}", None) for i in range(0, count, 2)])
    store.close()

    assert kept(place) == {f"item/{i}": b"%d" % i for i in range(1, 700, 2)}


def test_what_was_never_there_can_be_dropped(place: Place) -> None:
    store = opened(place)

    store.commit([("nothing", None)])
    store.close()

    assert kept(place) == {}


def test_an_empty_commit_is_one(place: Place) -> None:
    store = opened(place)

    store.commit([])
    store.commit([("a", b"1")])
    store.close()

    assert kept(place) == {"a": b"1"}


@pytest.mark.parametrize("key", ["a/b c", "ключ/🗝", "'; DROP TABLE records", "x" * 500, "⟩`\\"])
def test_any_text_is_a_key(place: Place, key: str) -> None:
    store = opened(place)

    store.commit([(key, b"value"), (f"{key}2", b"other")])
    store.commit([(f"{key}2", None)])
    store.close()

    assert kept(place) == {key: b"value"}


def test_any_bytes_are_a_value(place: Place) -> None:
    every = bytes(range(256))
    store = opened(place)

    store.commit([("a", every), ("b", b"\0"), ("c", every * 2000)])
    store.close()

    assert kept(place) == {"a": every, "b": b"\0", "c": every * 2000}


def test_large_values_come_back(place: Place) -> None:
    large = os.urandom(LARGE + 1)
    store = opened(place)

    store.commit([("large", large), ("as large", large)])
    store.commit([("as large", None), ("small", b"1")])
    store.close()

    assert kept(place) == {"large": large, "small": b"1"}


def test_thousands_of_records_go_in_one_commit(place: Place) -> None:
    many: list[Change] = [(f"item/{n}", b"%d" % n) for n in range(5000)]
    store = opened(place)

    store.commit(many)
    store.commit([(key, None) for key, _ in many[1000:]])
    store.close()

    assert kept(place) == dict(many[:1000])


def test_a_store_can_be_loaded_again_while_it_is_open(place: Place) -> None:
    store = opened(place)
    store.commit([("a", b"1")])

    assert dict(store.load()) == {"a": b"1"}
    store.commit([("b", b"2")])
    assert dict(store.load()) == {"a": b"1", "b": b"2"}
    store.close()


def test_closing_twice_is_nothing(place: Place) -> None:
    store = opened(place)

    store.close()
    store.close()


def test_each_owner_has_a_higher_fence_than_the_one_before(place: Place) -> None:
    first = place()
    fence = first.open()
    first.close()

    second = place()

    assert second.open() > fence
    second.close()


@pytest.mark.needs("lasting")
def test_a_store_that_somebody_owns_is_refused(place: Place) -> None:
    store = opened(place)

    with pytest.raises(StoreLocked, match="in use by this very program") as refused:
        place().open()

    assert refused.value.data["owner"] == {"pid": os.getpid(), "host": socket.gethostname()}
    store.commit([("a", b"1")])
    store.close()
    assert kept(place) == {"a": b"1"}


@pytest.mark.needs("lasting")
def test_a_store_that_is_closed_takes_nothing(place: Place) -> None:
    store = opened(place)
    store.close()

    with pytest.raises(StoreError):
        store.commit([("a", b"1")])

    assert kept(place) == {}


@pytest.mark.needs("files")
def test_files_of_large_values_go_with_their_records(place: Place, tmp_path: Path) -> None:
    store = opened(place)
    store.commit([("a", bytes(LARGE + 1)), ("b", bytes(LARGE + 1)), ("c", bytes(LARGE + 2))])
    [blobs] = tmp_path.glob("*.blobs")

    assert len(list(blobs.iterdir())) == 2
    store.commit([("a", None), ("c", b"small")])
    assert len(list(blobs.iterdir())) == 1
    store.commit([("b", None)])
    assert not list(blobs.iterdir())
    store.close()


@pytest.mark.needs("files")
def test_files_that_no_record_names_are_collected(place: Place, tmp_path: Path) -> None:
    store = opened(place)
    store.commit([("a", bytes(LARGE + 1))])
    store.close()
    [blobs] = tmp_path.glob("*.blobs")
    (blobs / "left.part").write_bytes(b"by a crash")

    assert kept(place) == {"a": bytes(LARGE + 1)}

    assert len(list(blobs.iterdir())) == 1


@pytest.mark.needs("files")
def test_nobody_else_may_read_the_files(place: Place, tmp_path: Path) -> None:
    store = opened(place)
    store.commit([("a", bytes(LARGE + 1))])

    loose = [path for path in tmp_path.iterdir() if path.stat().st_mode & 0o077]

    store.close()
    assert not loose or loose == [tmp_path / "surreal"]  # the engine makes that one itself


@pytest.mark.needs("lasting")
def test_an_owner_whose_fence_is_old_is_refused(place: Place) -> None:
    store = opened(place)
    store.commit([("a", b"1")])
    store.engine._fence -= 1  # type: ignore[attr-defined]  # somebody newer has been there

    with pytest.raises(StoreFenced):
        store.commit([("a", b"2"), ("b", b"2")])

    store.close()
    assert kept(place) == {"a": b"1"}
