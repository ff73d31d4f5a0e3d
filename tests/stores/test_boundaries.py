"""Kills at each boundary of a commit, and disks that are really full."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from apothic_backends.model.errors import StoreFull
from apothic_emulator.stores.opening import open_store
from apothic_emulator.stores.store import LARGE, Store
from tests.stores.cutting import BLOB, POSTGRES, SQLITE, WHOLE
from tests.stores.disks import can_mount, fill, small_disk
from tests.stores.postgres import Server
from tests.stores.test_crashes import commits_in, found
from tests.stores.writer import changes


def cut(point: str, url: str, folder: Path) -> None:
    """Have a program die at a point of its last commit, with all before acknowledged."""
    args = [point, url, str(folder), folder.name]
    done = subprocess.run(
        [sys.executable, "-m", "tests.stores.cutting", *args], stdout=subprocess.PIPE, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == [b"%d" % n for n in range(1, WHOLE + 1)]


@pytest.mark.parametrize("point", SQLITE)
def test_a_commit_is_whole_or_not_there_wherever_it_is_cut_off(point: str, tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'state.db'}"

    cut(point, url, tmp_path)

    assert commits_in(found(url, tmp_path)) == WHOLE + SQLITE[point]


@pytest.mark.parametrize("point", POSTGRES)
def test_a_commit_to_a_server_is_whole_or_not_there(
    point: str, tmp_path: Path, server: Server
) -> None:
    cut(point, server.url, tmp_path)

    assert commits_in(found(server.url, tmp_path)) == WHOLE + POSTGRES[point]


@pytest.mark.parametrize("point", BLOB)
def test_a_large_value_that_was_cut_off_leaves_nothing(point: str, tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'state.db'}"
    cut(point, url, tmp_path)
    assert len(list(tmp_path.glob("*.blobs/*"))) == 1

    assert commits_in(found(url, tmp_path)) == WHOLE

    assert list(tmp_path.glob("*.blobs/*")) == []


# --- full disks -----------------------------------------------------------------------------------


def until_full(store: Store) -> int:
    """The last commit that there was room for, after one."""
    for n in range(2, 1000):
        try:
            store.commit(changes(n))
        except StoreFull:
            return n - 1
    raise AssertionError("it is never full")


if can_mount():

    @pytest.mark.parametrize("left", range(0, 40 << 10, 5 << 10))
    def test_a_store_goes_on_when_there_is_room_again(left: int, tmp_path: Path) -> None:
        with small_disk(tmp_path, 1 << 20):
            url = f"sqlite:{tmp_path / 'state.db'}"
            store = open_store(url, tmp_path)
            store.open()
            store.commit(changes(1))
            filler = fill(tmp_path, but=left)
            done = until_full(store)
            store.load()
            with pytest.raises(StoreFull):
                store.commit([("large", bytes(LARGE + 1))])
            assert commits_in(dict(store.load())) == done

            filler.unlink()

            store.commit(changes(done + 1))
            store.close()
            assert commits_in(found(url, tmp_path)) == done + 1
