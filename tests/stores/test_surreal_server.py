"""SurrealDB on a server: leases, connections that are lost at any point, and damage."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apothic import App, Queue
from apothic_backends.connection import use
from apothic_backends.model.errors import StoreCorrupt, StoreError, StoreFenced, StoreLocked
from apothic_backends.project import STATE
from apothic_backends.registry import open_backend
from apothic_emulator.stores import surreal as engines
from apothic_emulator.stores.opening import open_store
from apothic_emulator.stores.store import Store
from tests.stores.surreal import ANSWER, HOLD, LOSE, Shim, next_commits, surreal_serving
from tests.stores.test_crashes import commits_in, killed_after, writer
from tests.stores.writer import changes

DB = "state"

app = App("surreal-server")


@app.function()
def read(gate: str) -> str:
    return Path(gate).read_text()


@pytest.fixture
def server() -> Iterator[Shim]:
    """A server of the test's own."""
    with surreal_serving() as shim:
        yield shim


def opened(server: Shim, **who: str) -> Store:
    """A store there that is open."""
    store = open_store(server.url(DB, **who), Path())
    store.open()
    return store


def found(server: Shim) -> dict[str, bytes]:
    """What the next owner finds."""
    store = opened(server)
    try:
        return dict(store.load())
    finally:
        store.close()


def counted(server: Shim) -> int:
    """The commits that the database has counted."""
    commits: int = server.query(DB, "SELECT * FROM apothic_store:owner")[0]["result"][0]["commits"]
    return commits


def let_lease_end(server: Shim) -> None:
    """As if its owner had been silent for long enough."""
    server.query(DB, "UPDATE apothic_store:owner SET until = time::now() - 1s")


# --- who owns it ----------------------------------------------------------------------------------


def test_the_store_of_a_killed_owner_is_free_when_its_lease_ends(
    server: Shim, tmp_path: Path
) -> None:
    said = killed_after(writer(server.url(DB), tmp_path, 1, 10**9), 10)
    with pytest.raises(StoreLocked, match="its lease ends within 10 s"):
        found(server)

    let_lease_end(server)

    assert commits_in(found(server)) in (said, said + 1)


def test_an_owner_that_was_silent_is_refused_once_somebody_else_has_been_there(
    server: Shim,
) -> None:
    old = opened(server)
    old.commit(changes(1))
    let_lease_end(server)
    opened(server).close()

    with pytest.raises(StoreFenced):
        old.commit(changes(2))
    server.cut_off()
    with pytest.raises(StoreFenced):
        old.commit(changes(2))

    old.close()
    assert commits_in(found(server)) == 1


def test_an_owner_whose_lease_has_ended_goes_on_if_nobody_has_been_there(server: Shim) -> None:
    store = opened(server)
    let_lease_end(server)
    server.cut_off()

    store.commit(changes(1))

    with pytest.raises(StoreLocked):
        opened(server)
    store.close()


class Renewals:
    """Sees leases renewed."""

    def __init__(self, server: Shim) -> None:
        server.fault = self._look
        self._seen = threading.Semaphore(0)

    def _look(self, query: str) -> None:
        if query == engines._RENEW.replace("$lease", "time::now() + 10s"):
            self._seen.release()

    def wait(self, times: int) -> None:
        for _ in range(times):
            assert self._seen.acquire(timeout=20.0)


def test_a_lease_is_renewed_while_nothing_is_committed_over_new_connections_too(
    server: Shim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_BEAT_S", 0.1)
    store = opened(server)
    seen = Renewals(server)
    seen.wait(1)
    server.cut_off()
    seen.wait(4)

    with pytest.raises(StoreLocked):
        opened(server)

    store.close()


def test_renewing_a_lease_does_not_undo_a_commit(
    server: Shim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_BEAT_S", 0.001)
    store = opened(server)
    for n in range(1, 61):
        store.commit(changes(n))

    assert commits_in(dict(store.load())) == 60
    store.close()


# --- connections that are lost --------------------------------------------------------------------


@pytest.mark.parametrize("where", [LOSE, ANSWER])
def test_a_commit_whose_connection_is_lost_is_made_once(server: Shim, where: str) -> None:
    store = opened(server)
    store.commit(changes(1))
    server.fault = next_commits(where)

    store.commit(changes(2))
    store.commit(changes(3))

    store.close()
    assert commits_in(found(server)) == 3
    assert counted(server) == 3


def test_a_server_that_was_restarted_is_used_on(server: Shim) -> None:
    store = opened(server)
    store.commit(changes(1))
    server.stop()
    server.start()

    assert commits_in(dict(store.load())) == 1
    store.commit(changes(2))

    store.close()
    assert commits_in(found(server)) == 2


def test_a_commit_that_the_server_is_late_with_undoes_nothing(server: Shim) -> None:
    store = opened(server)
    server.fault = next_commits(HOLD)
    store.commit(changes(1))
    store.commit(changes(2))

    [answer] = server.carry_out_held()

    assert "fenced" in str(answer)
    assert commits_in(dict(store.load())) == 2
    store.close()


def gone_under_a_commit(server: Shim, store: Store, where: str) -> StoreError:
    """The error of a commit that nobody knows of."""
    server.fault = next_commits(where)
    with pytest.raises(StoreError) as caught:
        store.commit(changes(2))
    return caught.value


@pytest.mark.parametrize("where", [LOSE, HOLD, ANSWER])
def test_after_a_commit_that_nobody_knows_of_a_store_is_what_it_says_when_loaded(
    server: Shim, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_PAUSES_S", ())
    store = opened(server)
    store.commit(changes(1))
    gone_under_a_commit(server, store, where)

    held = commits_in(dict(store.load()))
    server.carry_out_held()
    store.commit(changes(held + 1))

    assert held == (2 if where == ANSWER else 1)
    store.close()
    assert commits_in(found(server)) == held + 1


def test_a_connection_that_is_lost_for_good_is_told_with_the_way_out(server: Shim) -> None:
    store = opened(server)
    store.commit(changes(1))
    server.stop()

    with pytest.raises(StoreError, match=r"kept there.* start the program again when") as caught:
        store.commit(changes(2))

    assert caught.value.code == "store"
    with pytest.raises(StoreError, match="start the program again"):
        store.load()
    store.close()


def test_everybody_who_waits_hears_of_a_connection_that_is_lost_for_good(
    server: Shim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    monkeypatch.setenv(STATE, server.url(DB))
    backend = open_backend("local")
    before = use(backend)
    try:
        queue = Queue.from_name("q", create_if_missing=True)
        running, called = read.spawn(str(gate)), asked(lambda: read.remote(str(gate)))
        waiting = [asked(running.wait), asked(lambda: queue.get(timeout_s=60.0)), called]
        server.go_away_at_a_commit()

        waiting.append(asked(lambda: queue.put(1)))

        for thread, got in waiting:
            thread.join(60.0)
            assert [type(one) for one in got] == [StoreError]
            assert "start the program again" in str(got[0])
        with pytest.raises(StoreError, match="start the program again"):
            queue.put(2)
    finally:
        use(before)
        backend.close()


def asked(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Have another thread do something; what it gets, or the error."""
    got: list[Any] = []

    def run() -> None:
        try:
            got.append(work())
        except Exception as error:
            got.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, got


# --- what cannot be used --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE apothic_record:head",
        "UPDATE apothic_record:head SET v = <bytes> 'garbage'",
        "UPDATE apothic_store:owner SET sum = 1",
        'CREATE type::thing("apothic_record", "more") SET v = <bytes> "of somebody else"',
    ],
)
def test_a_database_that_somebody_has_changed_is_refused(server: Shim, damage: str) -> None:
    store = opened(server)
    store.commit(changes(1))
    store.close()
    assert all(one["status"] == "OK" for one in server.query(DB, damage))

    with pytest.raises(StoreCorrupt, match="Restore the database"):
        found(server)


@pytest.mark.parametrize("who", [{"password": "wrong"}, {"user": "nobody"}])
def test_whom_the_server_does_not_know_is_refused(server: Shim, who: dict[str, str]) -> None:
    with pytest.raises(StoreError, match=r"authentication\. See to it that") as caught:
        opened(server, **who)

    assert "wrong" not in str(caught.value)


def test_a_server_that_is_not_there_is_told(server: Shim) -> None:
    server.stop()

    with pytest.raises(StoreError, match="See to it that a database runs there"):
        opened(server)


def test_a_server_that_goes_away_while_a_store_is_opened_is_told(server: Shim) -> None:
    server.fault = lambda query: LOSE

    with pytest.raises(StoreError, match="start the program again"):
        opened(server)
