"""What is left after a crash: all that was acknowledged, and nothing of anything by halves."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from apothic_backends.model.errors import StoreCorrupt, StoreFenced, StoreFull, StoreLocked
from apothic_emulator.stores.opening import open_store
from apothic_emulator.stores.store import LARGE
from tests.stores.conftest import FILES, LASTING
from tests.stores.postgres import Server, serving
from tests.stores.writer import changes, state

Url = Callable[[Path], str]


@pytest.fixture(params=LASTING)
def url(request: pytest.FixtureRequest) -> Url:
    """Where a store is, by engine."""
    if request.param == "postgres":
        server: Server = request.getfixturevalue("server")
        return lambda folder: server.url
    if request.param == "surrealdb":
        return lambda folder: f"surrealkv://{folder / 'surreal'}"
    return lambda folder: f"sqlite:{folder / 'state.db'}"


def writer(url: str, folder: Path, first: int, last: int) -> subprocess.Popen[bytes]:
    """A program that commits and says so."""
    args = [url, str(folder), folder.name, str(first), str(last)]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.stores.writer", *args], stdout=subprocess.PIPE
    )


def killed_after(process: subprocess.Popen[bytes], lines: int) -> int:
    """The last commit that was acknowledged by a writer that was killed after so many lines."""
    assert process.stdout is not None
    told = b"".join(process.stdout.readline() for _ in range(lines))
    process.kill()
    told += process.stdout.read()
    process.wait()
    process.stdout.close()
    whole = told[: told.rindex(b"\n")].split(b"\n")
    return int(whole[-1])


def found(url: str, folder: Path) -> dict[str, bytes]:
    """What the next owner finds."""
    store = open_store(url, folder, folder.name)
    try:
        store.open()
        return dict(store.load())
    finally:
        store.close()


def commits_in(held: dict[str, bytes]) -> int:
    """How many commits a store holds; it has to hold each of them as a whole."""
    n = int(held.get("head", b"0"))
    assert held == state(n)
    return n


def test_a_killed_writer_loses_nothing_that_was_acknowledged(url: Url, tmp_path: Path) -> None:
    rng, at = random.Random(7), url(tmp_path)
    done = 0
    for _ in range(8):
        said = killed_after(writer(at, tmp_path, done + 1, 10**9), rng.randrange(2, 60))
        acknowledged = max(done, said)

        done = commits_in(found(at, tmp_path))

        assert done in (acknowledged, acknowledged + 1)


def test_the_store_of_a_killed_owner_is_free_at_once(url: Url, tmp_path: Path) -> None:
    process = writer(url(tmp_path), tmp_path, 1, 10**9)
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(StoreLocked, match=f"in use by process {process.pid} on "):
        found(url(tmp_path), tmp_path)

    killed_after(process, 1)

    assert commits_in(found(url(tmp_path), tmp_path)) >= 1


# --- files that somebody has damaged --------------------------------------------------------------


def filled(engine: str, folder: Path, commits: int) -> str:
    """A store with commits in it, as a kill has left it."""
    at = f"sqlite:{folder / 'state.db'}" if engine == "sqlite" else f"surrealkv://{folder / 's'}"
    killed_after(writer(at, folder, 1, commits), commits + 1)
    return at


def survivors(at: str, folder: Path) -> int | None:
    """The commits that are left of a damaged store; None if it is refused."""
    try:
        return commits_in(found(at, folder))
    except StoreCorrupt:
        return None


def files_in(folder: Path) -> list[Path]:
    """What can be damaged; the index of the log in shared memory is made anew anyway."""
    harmless = (".reserve", "-shm")
    return sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(harmless))


def change_a_byte(rng: random.Random, victim: Path) -> None:
    data = bytearray(victim.read_bytes())
    data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
    victim.write_bytes(data)


def tear(rng: random.Random, victim: Path) -> None:
    os.truncate(victim, rng.randrange(victim.stat().st_size))


@pytest.mark.parametrize("engine", FILES)
@pytest.mark.parametrize(("damage", "trials"), [(change_a_byte, 60), (tear, 40)])
def test_a_damaged_file_leaves_whole_commits_or_is_refused(
    engine: str, damage: Callable[[random.Random, Path], None], trials: int, tmp_path: Path
) -> None:
    rng, commits = random.Random(11), 40
    before = tmp_path / "before"
    before.mkdir()
    filled(engine, before, commits)
    for trial in range(trials):
        folder = tmp_path / str(trial)
        shutil.copytree(before, folder, ignore=shutil.ignore_patterns("*.reserve"))
        victim = rng.choice([path for path in files_in(folder) if path.stat().st_size])
        damage(rng, victim)
        at = (
            f"sqlite:{folder / 'state.db'}" if engine == "sqlite" else f"surrealkv://{folder / 's'}"
        )

        left = survivors(at, folder)

        assert left is None or 0 <= left <= commits, victim


def test_a_log_that_was_lost_while_it_was_folded_in_is_noticed(tmp_path: Path) -> None:
    at = f"sqlite:{tmp_path / 'state.db'}"
    store = open_store(at, tmp_path)
    store.open()
    for n in range(1, 30):
        store.commit(changes(n))
    store.engine._fold()  # type: ignore[attr-defined]
    kept = tmp_path / "kept"
    kept.mkdir()
    store.close()
    found(at, tmp_path)  # its log is empty now, and the owner's file knows what it held
    empty = open_store(f"sqlite:{kept / 'state.db'}", kept)
    empty.open()
    empty.close()
    shutil.copy(kept / "state.db", tmp_path / "state.db")

    with pytest.raises(StoreCorrupt, match="less than it did before"):
        found(at, tmp_path)


def test_a_store_whose_file_is_gone_is_not_begun_anew(tmp_path: Path) -> None:
    at = filled("sqlite", tmp_path, 3)
    (tmp_path / "state.db").unlink()

    with pytest.raises(StoreCorrupt, match="gone"):
        found(at, tmp_path)


def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("# notes\n" * 1000)

    with pytest.raises(StoreCorrupt, match="let APOTHIC_STATE name another place"):
        found(f"sqlite:{tmp_path / 'state.db'}", tmp_path)

    assert (tmp_path / "state.db").read_text() == "# notes\n" * 1000


@pytest.mark.parametrize("engine", FILES)
def test_a_damaged_large_value_is_refused(engine: str, tmp_path: Path) -> None:
    at = (
        f"sqlite:{tmp_path / 'state.db'}" if engine == "sqlite" else f"surrealkv://{tmp_path / 's'}"
    )
    store = open_store(at, tmp_path)
    store.open()
    store.commit([("large", bytes(LARGE + 1))])
    store.close()
    [blob] = tmp_path.glob("*.blobs/*")
    blob.write_bytes(bytes(LARGE) + b"\1")

    with pytest.raises(StoreCorrupt, match="not hold what was written"):
        found(at, tmp_path)
    blob.unlink()
    with pytest.raises(StoreCorrupt, match="cannot be read"):
        found(at, tmp_path)


# --- no room --------------------------------------------------------------------------------------


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    at = f"sqlite:{tmp_path / 'state.db'}"
    store = open_store(at, tmp_path)
    store.open()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    done: list[int] = []

    def commit_until_full() -> None:
        for n in range(1, 1000):
            store.commit(changes(n))
            done.append(n)

    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    try:
        with pytest.raises(StoreFull, match="intact"):
            commit_until_full()
        assert commits_in(dict(store.load())) == len(done)
        with pytest.raises(StoreFull):
            store.commit([("large", bytes(LARGE + 1))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    store.load()
    store.commit(changes(len(done) + 1))
    store.close()
    assert commits_in(found(at, tmp_path)) == len(done) + 1


# --- a server that goes away ----------------------------------------------------------------------


def test_a_server_that_was_killed_and_is_back_is_used_on(tmp_path: Path) -> None:
    with serving() as server:
        store = open_store(server.url, tmp_path, "n")
        store.open()
        store.commit(changes(1))
        server.stop()
        server.start()

        store.commit(changes(2))

        assert commits_in(dict(store.load())) == 2
        store.close()


def test_an_owner_that_was_cut_off_is_refused_once_somebody_else_has_been_there(
    tmp_path: Path, server: Server
) -> None:
    old = open_store(server.url, tmp_path, "cut-off")
    old.open()
    old.commit(changes(1))
    cut = old.engine._db  # type: ignore[attr-defined]
    with suppress(Exception):
        cut.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    new = open_store(server.url, tmp_path, "cut-off")
    new.open()

    with pytest.raises(StoreFenced):
        old.commit(changes(2))
    new.close()
    with pytest.raises(StoreFenced):
        old.commit(changes(2))

    assert commits_in(found(server.url, tmp_path.parent / "cut-off")) == 1


def test_a_commit_whose_answer_was_lost_is_not_made_twice(tmp_path: Path, server: Server) -> None:
    store = open_store(server.url, tmp_path, "answer")
    store.open()
    engine = store.engine
    send = engine._commit  # type: ignore[attr-defined]

    def commit_and_lose(batch: object) -> None:
        engine._commit = send  # type: ignore[attr-defined]
        send(batch)
        with suppress(Exception):
            engine._db.execute("SELECT pg_terminate_backend(pg_backend_pid())")  # type: ignore[attr-defined]
        raise engine_error()

    def engine_error() -> Exception:
        import psycopg

        return psycopg.OperationalError("the connection is lost")

    engine._commit = commit_and_lose  # type: ignore[attr-defined]

    store.commit(changes(1))

    assert engine._commits == 1  # type: ignore[attr-defined]
    store.close()
