"""Whose a store in PostgreSQL is: who has it is told at once, and who had it is waited for."""

from __future__ import annotations

import threading
from pathlib import Path

import psycopg
import pytest

from apothic_backends.model.errors import StoreLocked
from apothic_emulator.stores import postgres
from apothic_emulator.stores.opening import open_store
from tests.integration.support import wait_until
from tests.stores.engines import fresh_name
from tests.stores.postgres import Server
from tests.stores.test_crashes import killed_after, writer

_LOCK = "SELECT pg_advisory_lock(hashtextextended('apothic:' || %s, 0))"
_REFUSED = """
SELECT count(*) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND query LIKE %s AND state = 'idle'
"""


def test_whoever_finds_an_owner_that_lives_does_not_wait(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_FREED_S", (0.0, 3600.0))
    owner = writer(server.url, tmp_path, 1, 10**9)
    assert owner.stdout is not None
    owner.stdout.readline()
    try:
        with pytest.raises(StoreLocked, match=f"in use by process {owner.pid} on "):
            open_store(server.url, tmp_path, tmp_path.name).open()
    finally:
        killed_after(owner, 1)


@pytest.mark.parametrize("mark", ["00000000", postgres._mark(2**22 + 1)])
def test_a_session_whose_process_is_gone_is_waited_for(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    monkeypatch.setattr(postgres, "_FREED_S", (0.0, *[0.01] * 6000))
    name = fresh_name()
    store = open_store(server.url, tmp_path, name)
    with psycopg.connect(server.url, application_name=f"apothic {2**22 + 1} {mark} here") as left:
        left.execute(_LOCK, (name,))
        thread = threading.Thread(target=store.open)
        thread.start()
        with psycopg.connect(server.url, autocommit=True) as looks:
            asked = ("%application_name FROM pg_locks%",)
            wait_until(lambda: looks.execute(_REFUSED, asked).fetchone() != (0,))
    thread.join()

    store.commit([("a", b"1")])
    store.close()
