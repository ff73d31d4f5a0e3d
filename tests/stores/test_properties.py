"""Whatever is committed is what is loaded."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from tests.stores.conftest import FILES, place_of
from tests.stores.postgres import Server

keys = st.sampled_from(["a", "b", "c", "item/1", "item/2"]) | st.text(min_size=1, max_size=20)
values = st.none() | st.binary(max_size=64)
batches = st.lists(st.lists(st.tuples(keys.filter(lambda k: "\0" not in k), values), max_size=8))


def no_server() -> Server:
    raise AssertionError("files only")


@pytest.mark.parametrize("engine", FILES)
@settings(max_examples=25, deadline=None)
@given(commits=batches)
def test_what_is_committed_is_what_is_loaded(
    engine: str, commits: list[list[tuple[str, bytes | None]]]
) -> None:
    expected: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = place_of(engine, Path(folder), no_server)
        store = place()
        store.open()
        for changes in commits:
            store.commit(changes)
            for key, value in changes:
                expected.pop(key, None)
                if value is not None:
                    expected[key] = value
        assert dict(store.load()) == expected
        store.close()
        again = place()
        again.open()
        assert dict(again.load()) == expected
        again.close()
